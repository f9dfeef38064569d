# A chain of convolutions over time that keep a window's length, with ReLUs between: what a learned
# solver takes a gradient through. Beyond its edges a window is zero.
#
# A layer is a product of the patches of its inputs, as they lie in memory, with its weights (tap and
# input down, outputs across). The backward pass computes the layers again: that takes less time than to
# store what is between them.

"""
`forward` has the weights with (tap, input) down and outputs across, or with inputs down and (tap, output)
across (`splits`); `back` those with (tap, output) down, the taps turned around.
"""
struct Layer{T}
    inputs::Int
    outputs::Int
    width::Int
    relu::Bool
    forward::Panel{T}
    back::Panel{T}
end
"The weights are (tap, input, output), in Julia's order."
function Layer(memory::Memory{T}, relu, w::Array{T,3}) where {T}
    (K, I, O) = size(w)
    split = splits(T, K, I, O)
    forward = split ? panel!(memory, I, K * O) : panel!(memory, K * I, O)
    back = panel!(memory, K * O, I)
    for o in 1:O, i in 1:I, k in 1:K
        to = split ? row(forward, i - 1) + sizeof(T) * (k - 1) * O : row(forward, (k - 1) * I + i - 1)
        unsafe_store!(to, w[k, i, o], o)
        unsafe_store!(row(back, (K - k) * O + o - 1), w[k, i, o], i)
    end
    return Layer{T}(I, O, K, relu, forward, back)
end
"Whether the outputs, which are much fewer than a register holds, are computed tap by tap and then added."
splits(::Type{T}, width, inputs, outputs) where {T} = width > 1 && outputs < inputs && outputs <= lanes(half_lanes(lanes_for(T)))
splits(l::Layer{T}) where {T} = splits(T, l.width, l.inputs, l.outputs)
"Whether sums for the weights' gradient go as `back`: with the patches of the few outputs."
narrows(l::Layer) = l.outputs < l.inputs

"A window's channels, a row a step, with zeros before and behind; `patch` is of the layer that takes it."
struct Channels{T}
    inside::Panel{T}
    reach::Int
    rows::Ptr{Int}
    patch::Ptr{Int}
end
function Channels(memory::Memory{T}, steps, channels, width) where {T}
    reach = width ÷ 2
    panel = panel!(memory, steps + 2reach + TILE_ROWS, channels)
    return Channels{T}(Panel{T}(row(panel, reach), panel.stride), reach,
        addresses!(memory, [panel.stride * t for t in 0:steps+TILE_ROWS]),
        addresses!(memory, [panel.stride * k + sizeof(T) * c for k in 0:width-1 for c in 0:channels-1]))
end
@inline patches(c::Channels{T}) where {T} = Entries{T}(row(c.inside, -c.reach), c.rows, c.patch)
"The channels alone: a patch begins with those of one step."
@inline center(c::Channels{T}) where {T} = Entries{T}(c.inside.at, c.rows, c.patch)

"A thread's room: values and cotangents between the layers, and sums of the weights' gradients."
struct ChainRoom{T}
    values::Vector{Channels{T}}
    cotangents::Vector{Channels{T}}     # of the result of each layer, and of the input behind them
    sums::Vector{Panel{T}}
    taps::Vector{Channels{T}}           # of a layer that splits: what each tap adds, (tap, output) across
end
function ChainRoom(memory::Memory{T}, layers, steps) where {T}
    input = first(layers)
    values = [Channels(memory, steps, l.inputs, l.width) for l in layers]
    push!(values, Channels(memory, steps, last(layers).outputs, 1))
    cotangents = [Channels(memory, steps, l.outputs, l.width) for l in layers]
    push!(cotangents, Channels(memory, steps, input.inputs, 1))
    return ChainRoom{T}(values, cotangents,
        [narrows(l) ? panel!(memory, l.width * l.outputs, l.inputs) : panel!(memory, l.width * l.inputs, l.outputs) for l in layers],
        [Channels(memory, splits(l) ? steps : 0, l.width * l.outputs, l.width) for l in layers])
end

"The memory and the rooms, one a thread, for these windows."
function chain_rooms(layers::Vector{Layer{T}}, steps, windows) where {T}
    threads = threads_for(windows)
    shapes = [(l.inputs, l.outputs, l.width) for l in layers]
    found = workspace((ChainRoom{T}, shapes, steps, threads)) do
        memory = Memory{T}()
        (memory, [ChainRoom(memory, layers, steps) for _ in 1:threads])
    end
    return found::Tuple{Memory{T},Vector{ChainRoom{T}}}
end

"    convolutions!(y, x, layers) -> y in place; arrays are (channel, time, window)"
function convolutions!(y::Array{T,3}, x::Array{T,3}, layers) where {T}
    (steps, windows) = (size(x, 2), size(x, 3))
    (memory, rooms) = chain_rooms(layers, steps, windows)
    GC.@preserve memory x y each_window(rooms, windows) do room, w
        take!(first(room.values), pointer(x, (w - 1) * steps * size(x, 1) + 1), size(x, 1), steps)
        chain!(room, layers, length(layers), steps)
        give!(pointer(y, (w - 1) * steps * size(y, 1) + 1), last(room.values), size(y, 1), steps)
    end
    return y
end

"""
    convolutions_back!(x_bar, totals, x, y_bar, layers)

The gradients of y_bar·y with respect to x and, unless `totals` is nothing, the weights.
"""
function convolutions_back!(x_bar::Array{T,3}, totals, x::Array{T,3}, y_bar::Array{T,3}, layers) where {T}
    (steps, windows) = (size(x, 2), size(x, 3))
    (memory, rooms) = chain_rooms(layers, steps, windows)
    L = length(layers)
    totals === nothing || foreach(room -> foreach(clear_sums!, layers, room.sums), rooms)
    GC.@preserve memory x x_bar y_bar begin
        each_window(rooms, windows) do room, w
            take!(first(room.values), pointer(x, (w - 1) * steps * size(x, 1) + 1), size(x, 1), steps)
            chain!(room, layers, last(layers).relu ? L : L - 1, steps)
            take!(room.cotangents[L], pointer(y_bar, (w - 1) * steps * size(y_bar, 1) + 1), size(y_bar, 1), steps)
            last(layers).relu && mask!(room.cotangents[L].inside, last(room.values).inside, steps)
            chain_back!(room, layers, totals !== nothing, steps)
            give!(pointer(x_bar, (w - 1) * steps * size(x_bar, 1) + 1), last(room.cotangents), size(x_bar, 1), steps)
        end
        # Thread after thread, so that the same call gives the same bits.
        totals === nothing || foreach(room -> foreach(add_sums!, totals, layers, room.sums), rooms)
    end
    return x_bar
end

"The first `count` layers."
function chain!(room, layers, count, steps)
    for k in 1:count
        (l, from, to) = (layers[k], room.values[k], room.values[k+1])
        if splits(l)
            product!(room.taps[k].inside, center(from), l.forward, steps, l.width * l.outputs, l.inputs, STORE)
            clear_behind!(room.taps[k].inside, steps)
            add_taps!(to.inside, room.taps[k], l, steps)
        else
            product!(to.inside, patches(from), l.forward, steps, l.outputs, l.width * l.inputs, l.relu ? RELU : STORE)
            clear_behind!(to.inside, steps)
        end
    end
end

"What the taps add at every step, with ReLU. Behind the last output a row is not looked at."
function add_taps!(to::Panel{T}, taps, l, steps) where {T}
    half = half_lanes(lanes_for(T))
    for t in 0:steps-1
        sum = zero(half)
        for k in 0:l.width-1
            sum += in_lanes(half, row(taps.inside, t + k - taps.reach) + sizeof(T) * k * l.outputs)
        end
        in_lanes!(row(to, t), l.relu ? where_positive(sum, sum) : sum)
    end
end

function chain_back!(room, layers, trained, steps)
    for k in length(layers):-1:1
        (l, value, cotangent) = (layers[k], room.values[k], room.cotangents[k])
        if trained && narrows(l)
            product!(room.sums[k], transpose(patches(cotangent)), value.inside, l.width * l.outputs, l.inputs, steps, ADD)
        elseif trained
            product!(room.sums[k], transpose(patches(value)), cotangent.inside, l.width * l.inputs, l.outputs, steps, ADD)
        end
        to = k > 1 ? room.cotangents[k-1] : last(room.cotangents)
        finish = k > 1 && layers[k-1].relu ? MASK : STORE
        product!(to.inside, patches(cotangent), l.back, steps, l.inputs, l.width * l.outputs, finish, value.inside)
        clear_behind!(to.inside, steps)
    end
end

"What whole tiles left behind a window's end."
function clear_behind!(p::Panel{T}, steps) where {T}
    for t in steps:TILE_ROWS*cld(steps, TILE_ROWS)-1, k in 1:p.stride÷sizeof(T)
        unsafe_store!(row(p, t), zero(T), k)
    end
end

function mask!(p::Panel{T}, like, steps) where {T}
    N = lanes_for(T)
    for t in 0:steps-1, g in 0:sizeof(N):p.stride-1
        in_lanes!(row(p, t) + g, where_positive(in_lanes(N, row(like, t) + g), in_lanes(N, row(p, t) + g)))
    end
end

function take!(to::Channels, x::Ptr, channels, steps)
    for t in 0:steps-1, c in 1:channels
        unsafe_store!(row(to.inside, t), unsafe_load(x, t * channels + c), c)
    end
end
function give!(x::Ptr, from::Channels, channels, steps)
    for t in 0:steps-1, c in 1:channels
        unsafe_store!(x, unsafe_load(row(from.inside, t), c), t * channels + c)
    end
end

clear_sums!(l::Layer, sums::Panel) = clear!(sums, l.width * min(l.inputs, l.outputs))

function add_sums!(total, l::Layer, sums)
    for k in 1:l.width, i in 1:l.inputs, o in 1:l.outputs
        total[k, i, o] += narrows(l) ? unsafe_load(row(sums, (l.width - k) * l.outputs + o - 1), i) :
                          unsafe_load(row(sums, (k - 1) * l.inputs + i - 1), o)
    end
end
