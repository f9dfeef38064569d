# The passes of learned/genn.jl over all windows, in parallel.

"Workspace of a thread: one for each scale, and a window."
struct GENNRoom{T}
    scales::Vector{ScaleRoom{T}}
    window::Ptr{T}
end
GENNRoom(memory::Memory{T}, scales, steps) where {T} = GENNRoom{T}(
    [ScaleRoom(memory, s, steps, k > 1) for (k, s) in enumerate(scales)],
    numbers!(memory, steps * state_size(first(scales).grid)))

"Memory and workspaces, one per thread, for these windows."
function genn_rooms(scales::Vector{Scale{T}}, steps, windows) where {T}
    threads = threads_for(windows)
    shapes = [(s.grid, s.features, s.latent, s.factor) for s in scales]
    found = workspace((GENNRoom{T}, shapes, steps, threads)) do
        memory = Memory{T}()
        (memory, [GENNRoom(memory, scales, steps) for _ in 1:threads])
    end
    return found::Tuple{Memory{T},Vector{GENNRoom{T}}}
end

"""
    residual_gradient!(g, v, x, scales) -> g = (I - ∂Φ/∂x)ᵀ v and v = x - Φ(x) in place

Arrays are `(state, time, window)`, a state being (point, channel); `scales` is a vector of `Scale`, whose memory
the caller must preserve.
"""
function residual_gradient!(g::Array{T,3}, v::Array{T,3}, x::Array{T,3}, scales) where {T}
    (C, steps, windows) = size(x)
    (memory, rooms) = genn_rooms(scales, steps, windows)
    GC.@preserve memory g v x each_window(rooms, windows) do room, w
        k = (w - 1) * C * steps + 1
        residual_gradient!(pointer(g, k), pointer(v, k), pointer(x, k), scales, room, steps)
    end
    return g
end

function residual_gradient!(g::Ptr, v, x, scales, room, steps)
    unsafe_copyto!(v, x, steps * state_size(first(scales).grid))
    for k in length(scales):-1:1
        (s, own) = (scales[k], room.scales[k])
        pool!(own.x, s, own, x, steps)
        clear_back!(s, own)
        each_stretch(own) do a, n
            features!(own, s, a, n)
            value!(own, s, a, n)
            subtract_outputs!(v, s, own.y, a, n, steps)
            k == 1 && pullback!(s, own, v, a, n, steps)
        end
    end
    # The first scale's v was complete after each stretch; that of the others is complete only now.
    for k in 2:length(scales)
        (s, own) = (scales[k], room.scales[k])
        each_stretch((a, n) -> pullback!(s, own, v, a, n, steps), own)
    end
    unsafe_copyto!(g, v, steps * state_size(first(scales).grid))
    for (s, own) in zip(scales, room.scales)
        subtract_back!(g, s, own, steps)
    end
end

"    each_stretch(f, room): call f(a, n) for the n positions after the first a, and so on"
@inline function each_stretch(f, room)
    for a in 0:room.stretch:room.positions-1
        f(a, min(room.stretch, room.positions - a))
    end
end

function pullback!(s, room, v, a, n, steps)
    gather_outputs!(room.v, s, v, a, n, steps)
    reverse!(room, s, a, n)
    put_back!(room, s, room.a_back, a, n)
end

"""
    residual_gradient_back!(x_bar, totals, x, v, g_bar, scales)

Gradient x_bar of ḡ·g with respect to x. `totals` is nothing, or holds for each scale the gradients of W, M and
O, shaped as the weights that `Scale` takes; v is the result of `residual_gradient!`.
"""
function residual_gradient_back!(x_bar::Array{T,3}, totals, x::Array{T,3}, v::Array{T,3}, g_bar::Array{T,3}, scales) where {T}
    (C, steps, windows) = size(x)
    (memory, rooms) = genn_rooms(scales, steps, windows)
    trained = totals !== nothing
    trained && foreach(room -> foreach(clear_sums!, scales, room.scales), rooms)
    GC.@preserve memory x_bar x v g_bar begin
        each_window(rooms, windows) do room, w
            k = (w - 1) * C * steps + 1
            residual_gradient_back!(pointer(x_bar, k), trained, pointer(x, k), pointer(v, k), pointer(g_bar, k), scales, room, steps)
        end
        # Thread after thread, so that the same call gives the same bits.
        trained && foreach(room -> foreach(subtract_sums!, totals, scales, room.scales), rooms)
    end
    return x_bar
end

function residual_gradient_back!(x_bar::Ptr, trained, x, v, g_bar, scales, room, steps)
    v_bar = room.window
    unsafe_copyto!(v_bar, g_bar, steps * state_size(first(scales).grid))
    for k in length(scales):-1:1
        (s, own) = (scales[k], room.scales[k])
        pool!(own.x, s, own, x, steps)
        pool!(own.direction, s, own, g_bar, steps)
        clear_back!(s, own)
        each_stretch(own) do a, n
            tangent_pass!(v_bar, s, own, v, a, n, steps)
            k == 1 && second_pullback!(s, own, v_bar, trained, a, n, steps)
        end
    end
    for k in 2:length(scales)
        (s, own) = (scales[k], room.scales[k])
        each_stretch(own) do a, n
            own.stretch < own.positions && again!(s, own, v, a, n, steps)
            second_pullback!(s, own, v_bar, trained, a, n, steps)
        end
    end
    unsafe_copyto!(x_bar, v_bar, steps * state_size(first(scales).grid))
    for (s, own) in zip(scales, room.scales)
        subtract_back!(x_bar, s, own, steps)
    end
end

function tangent_pass!(v_bar, s, room, v, a, n, steps)
    features!(room, s, a, n)
    tangent_features!(room, s, a, n)
    again!(s, room, v, a, n, steps)
    tangent!(room, s, a, n)
    subtract_outputs!(v_bar, s, room.y, a, n, steps)
end

"Recompute the results of the tangent pass that are kept for one stretch only."
function again!(s, room, v, a, n, steps)
    gather_outputs!(room.v, s, v, a, n, steps)
    reverse!(room, s, a, n)
    is_quadratic(s) && return
    multiply!(room, s, a, n)
    multiply_tangent!(room, s, a, n)
end

function second_pullback!(s, room, v_bar, trained, a, n, steps)
    gather_outputs!(room.v_bar, s, v_bar, a, n, steps)
    second!(room, s, a, n)
    put_back!(room, s, room.a_bar, a, n)
    trained && add_weights!(room, s, a, n)
end

function clear_sums!(s::Scale, room)
    clear!(room.first, patch(s))
    clear!(room.mix, s.features)
    clear!(room.product, rows_of_last(s))
end

"Subtract the sums: ḡ·g contains -v_bar·Φ and -v·(∂Φ/∂x) ḡ."
function subtract_sums!(total, s::Scale, room)
    (W, M, O) = total
    for (j, place) in enumerate(patch_places(s.grid)), f in 1:s.features
        W[place, f] -= unsafe_load(row(room.first, j - 1), f)
    end
    for k in 1:mixed(s), f in 1:s.features
        M[f, k] -= unsafe_load(row(room.mix, f - 1), k)
    end
    for k in 1:outputs(s), l in 1:rows_of_last(s)
        O[l, k] -= unsafe_load(row(room.product, l - 1), k)
    end
end
