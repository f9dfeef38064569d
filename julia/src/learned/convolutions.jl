# A chain of size-preserving convolutions with optional ReLUs: the network that a learned solver applies to
# a gradient. They run over time, or over time and an axis of points. Beyond its edges a window is zero, or
# periodic along the second axis.
#
# A layer is a product of the patches of its inputs, read where they are in memory, with its weights (rows:
# tap and input, columns: outputs). The backward pass recomputes the layers, which takes less time than
# storing their results.

"""
    Field(strips, along, periodic)

Layout of a window: `strips` consecutive strips of `along` positions each. A strip is a step with its points,
or all steps if time is the only axis.
"""
struct Field
    strips::Int
    along::Int
    periodic::Bool
end
Field(steps) = Field(1, steps, false)
positions(f::Field) = f.strips * f.along

"""
    Layer(memory, relu, weights, taps)

`taps` is the size of the kernel: strips, and positions along a strip. `forward` holds the weights with rows
(tap, input) and columns outputs, or rows inputs and columns (tap, output) if the layer `splits`; `back` holds
them with rows (tap, output) and reversed taps.
"""
struct Layer{T}
    inputs::Int
    outputs::Int
    taps::Tuple{Int,Int}
    relu::Bool
    forward::Panel{T}
    back::Panel{T}
end
tap_count(l::Layer) = prod(l.taps)

"The weights are (tap, input, output) in Julia's order; taps along a strip vary fastest."
function Layer(memory::Memory{T}, relu, w::Array{T,3}, taps = (1, size(w, 1))) where {T}
    (K, I, O) = size(w)
    split = splits(T, K, I, O)
    forward = split ? panel!(memory, I, K * O) : panel!(memory, K * I, O)
    back = panel!(memory, K * O, I)
    for o in 1:O, i in 1:I, k in 1:K
        to = split ? row(forward, i - 1) + sizeof(T) * (k - 1) * O : row(forward, (k - 1) * I + i - 1)
        unsafe_store!(to, w[k, i, o], o)
        unsafe_store!(row(back, (K - k) * O + o - 1), w[k, i, o], i)
    end
    return Layer{T}(I, O, taps, relu, forward, back)
end
"Whether outputs, much fewer than a register holds, are computed for each tap and then added."
splits(::Type{T}, width, inputs, outputs) where {T} = width > 1 && outputs < inputs && outputs <= lanes(half_lanes(lanes_for(T)))
splits(l::Layer{T}) where {T} = splits(T, tap_count(l), l.inputs, l.outputs)
"Whether the weights' gradient is summed in the layout of `back`, with patches of the few outputs."
narrows(l::Layer) = l.outputs < l.inputs

"""
Channels of a padded window, one row per position; `patch` has the offsets of a patch of the layer that reads
them.
"""
struct Channels{T}
    inside::Panel{T}                # begins with the first position inside
    reach::Tuple{Int,Int}           # width of the padding: strips, positions
    breadth::Int                    # rows from one strip to the next
    rows::Ptr{Int}
    patch::Ptr{Int}
end
function Channels(memory::Memory{T}, field, channels, taps) where {T}
    reach = taps .÷ 2
    breadth = field.along + 2reach[2]
    panel = panel!(memory, (field.strips + 2reach[1]) * breadth + TILE_ROWS, channels)
    return Channels{T}(Panel{T}(row(panel, reach[1] * breadth + reach[2]), panel.stride), reach, breadth,
        addresses!(memory, [panel.stride * k for k in 0:field.along+TILE_ROWS]),
        addresses!(memory, [panel.stride * (s * breadth + k) + sizeof(T) * c
                            for s in 0:taps[1]-1 for k in 0:taps[2]-1 for c in 0:channels-1]))
end
@inline strip(c::Channels{T}, s) where {T} = Panel{T}(row(c.inside, s * c.breadth), c.inside.stride)
@inline patches(c::Channels{T}, s) where {T} =
    Entries{T}(row(strip(c, s - c.reach[1]), -c.reach[2]), c.rows, c.patch)
"The channels without neighbours: the beginning of a patch."
@inline center(c::Channels{T}, s) where {T} = Entries{T}(strip(c, s).at, c.rows, c.patch)

"Workspace of a thread: values and cotangents between the layers, and sums of the weights' gradients."
struct ChainRoom{T}
    values::Vector{Channels{T}}
    cotangents::Vector{Channels{T}}     # of each layer's result, then of the input
    sums::Vector{Panel{T}}
    taps::Vector{Channels{T}}           # contribution of each tap in a layer that splits, columns (tap, output)
end
function ChainRoom(memory::Memory{T}, layers, field) where {T}
    input = first(layers)
    values = [Channels(memory, field, l.inputs, l.taps) for l in layers]
    push!(values, Channels(memory, field, last(layers).outputs, (1, 1)))
    cotangents = [Channels(memory, field, l.outputs, l.taps) for l in layers]
    push!(cotangents, Channels(memory, field, input.inputs, (1, 1)))
    return ChainRoom{T}(values, cotangents,
        [narrows(l) ? panel!(memory, tap_count(l) * l.outputs, l.inputs) : panel!(memory, tap_count(l) * l.inputs, l.outputs) for l in layers],
        [Channels(memory, splits(l) ? field : Field(0), tap_count(l) * l.outputs, l.taps) for l in layers])
end

"Memory and workspaces, one per thread, for these windows."
function chain_rooms(layers::Vector{Layer{T}}, field, windows) where {T}
    threads = threads_for(windows)
    shapes = [(l.inputs, l.outputs, l.taps) for l in layers]
    found = workspace((ChainRoom{T}, shapes, field, threads)) do
        memory = Memory{T}()
        (memory, [ChainRoom(memory, layers, field) for _ in 1:threads])
    end
    return found::Tuple{Memory{T},Vector{ChainRoom{T}}}
end

"    convolutions!(y, x, layers, field) -> y in place; arrays are (channel, position, window)"
function convolutions!(y::Array{T,3}, x::Array{T,3}, layers, field = Field(size(x, 2))) where {T}
    windows = size(x, 3)
    (memory, rooms) = chain_rooms(layers, field, windows)
    GC.@preserve memory x y each_window(rooms, windows) do room, w
        take!(first(room.values), window_at(x, w), size(x, 1), field)
        chain!(room, layers, length(layers), field)
        give!(window_at(y, w), last(room.values), size(y, 1), field)
    end
    return y
end
@inline window_at(x, w) = pointer(x, (w - 1) * size(x, 1) * size(x, 2) + 1)

"""
    convolutions_back!(x_bar, totals, x, y_bar, layers, field)

Gradients of y_bar·y with respect to x and, unless `totals` is nothing, to the weights.
"""
function convolutions_back!(x_bar::Array{T,3}, totals, x::Array{T,3}, y_bar::Array{T,3}, layers, field = Field(size(x, 2))) where {T}
    windows = size(x, 3)
    (memory, rooms) = chain_rooms(layers, field, windows)
    L = length(layers)
    totals === nothing || foreach(room -> foreach(clear_sums!, layers, room.sums), rooms)
    GC.@preserve memory x x_bar y_bar begin
        each_window(rooms, windows) do room, w
            take!(first(room.values), window_at(x, w), size(x, 1), field)
            chain!(room, layers, last(layers).relu ? L : L - 1, field)
            take!(room.cotangents[L], window_at(y_bar, w), size(y_bar, 1), field)
            last(layers).relu && mask!(room.cotangents[L], last(room.values), field)
            chain_back!(room, layers, totals !== nothing, field)
            give!(window_at(x_bar, w), last(room.cotangents), size(x_bar, 1), field)
        end
        # Thread after thread, so that the same call gives the same bits.
        totals === nothing || foreach(room -> foreach(add_sums!, totals, layers, room.sums), rooms)
    end
    return x_bar
end

"Apply the first `count` layers."
function chain!(room, layers, count, field)
    for k in 1:count
        (l, from, to) = (layers[k], room.values[k], room.values[k+1])
        if splits(l)
            (taps, n) = (room.taps[k], tap_count(l) * l.outputs)
            for s in 0:field.strips-1
                product!(strip(taps, s), center(from, s), l.forward, field.along, n, l.inputs, STORE)
            end
            surround!(taps, field)
            add_taps!(to, taps, l, field)
        else
            for s in 0:field.strips-1
                product!(strip(to, s), patches(from, s), l.forward, field.along, l.outputs, tap_count(l) * l.inputs, l.relu ? RELU : STORE)
            end
        end
        surround!(to, field)
    end
end

"Add the contributions of the taps at every position, with an optional ReLU. Entries past the last output are not used."
function add_taps!(to::Channels{T}, taps, l, field) where {T}
    half = half_lanes(lanes_for(T))
    (across, along) = l.taps
    for s in 0:field.strips-1, i in 0:field.along-1
        sum = zero(half)
        for a in 0:across-1, b in 0:along-1
            from = row(strip(taps, s + a - taps.reach[1]), i + b - taps.reach[2])
            sum += in_lanes(half, from + sizeof(T) * (a * along + b) * l.outputs)
        end
        in_lanes!(row(strip(to, s), i), l.relu ? where_positive(sum, sum) : sum)
    end
end

function chain_back!(room, layers, trained, field)
    for k in length(layers):-1:1
        (l, value, cotangent) = (layers[k], room.values[k], room.cotangents[k])
        to = k > 1 ? room.cotangents[k-1] : last(room.cotangents)
        finish = k > 1 && layers[k-1].relu ? MASK : STORE
        for s in 0:field.strips-1
            trained && add_weights!(room.sums[k], l, value, cotangent, s, field)
            product!(strip(to, s), patches(cotangent, s), l.back, field.along, l.inputs, tap_count(l) * l.outputs, finish, strip(value, s))
        end
        surround!(to, field)
    end
end

"Add the contribution of a strip to the gradient of the weights."
function add_weights!(sums, l::Layer, value, cotangent, s, field)
    if narrows(l)
        product!(sums, transpose(patches(cotangent, s)), strip(value, s), tap_count(l) * l.outputs, l.inputs, field.along, ADD)
    else
        product!(sums, transpose(patches(value, s)), strip(cotangent, s), tap_count(l) * l.inputs, l.outputs, field.along, ADD)
    end
end

"""
Fill the padding: with zeros, or with the other end of a periodic axis. Products of whole tiles have written
there, past the end of a strip and into the next one, which is computed later.
"""
function surround!(c::Channels, field)
    for s in 0:field.strips-1
        own = strip(c, s)
        for k in 1:c.reach[2]
            if field.periodic
                copy_row!(row(own, -k), row(own, field.along - k), own)
                copy_row!(row(own, field.along + k - 1), row(own, k - 1), own)
            else
                zero_row!(row(own, -k), own)
                zero_row!(row(own, field.along + k - 1), own)
            end
        end
    end
    field.strips > 0 || return
    last = strip(c, field.strips - 1)
    for k in field.along+c.reach[2]:TILE_ROWS*cld(field.along, TILE_ROWS)-1
        zero_row!(row(last, k), last)
    end
end
function copy_row!(to::Ptr{T}, from, p) where {T}
    N = lanes_for(T)
    for g in 0:sizeof(N):p.stride-1
        in_lanes!(to + g, in_lanes(N, from + g))
    end
end
function zero_row!(to::Ptr{T}, p) where {T}
    N = lanes_for(T)
    for g in 0:sizeof(N):p.stride-1
        in_lanes!(to + g, zero(N))
    end
end

function mask!(c::Channels{T}, like, field) where {T}
    N = lanes_for(T)
    for s in 0:field.strips-1, i in 0:field.along-1, g in 0:sizeof(N):c.inside.stride-1
        (to, by) = (row(strip(c, s), i) + g, row(strip(like, s), i) + g)
        in_lanes!(to, where_positive(in_lanes(N, by), in_lanes(N, to)))
    end
    surround!(c, field)
end

function take!(to::Channels, x::Ptr, channels, field)
    for s in 0:field.strips-1, i in 0:field.along-1, c in 1:channels
        unsafe_store!(row(strip(to, s), i), unsafe_load(x, (s * field.along + i) * channels + c), c)
    end
    surround!(to, field)
end
function give!(x::Ptr, from::Channels, channels, field)
    for s in 0:field.strips-1, i in 0:field.along-1, c in 1:channels
        unsafe_store!(x, unsafe_load(row(strip(from, s), i), c), (s * field.along + i) * channels + c)
    end
end

clear_sums!(l::Layer, sums::Panel) = clear!(sums, tap_count(l) * min(l.inputs, l.outputs))

function add_sums!(total, l::Layer, sums)
    for k in 1:tap_count(l), i in 1:l.inputs, o in 1:l.outputs
        total[k, i, o] += narrows(l) ? unsafe_load(row(sums, (tap_count(l) - k) * l.outputs + o - 1), i) :
                          unsafe_load(row(sums, (k - 1) * l.inputs + i - 1), o)
    end
end
