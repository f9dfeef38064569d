# The passes of genn.jl over all windows, on all threads.

"What a thread works in: room for each scale, a window, and what is kept of one if the caller keeps none."
struct GENNRoom{T}
    scales::Vector{ScaleRoom{T}}
    window::Ptr{T}
    kept::Ptr{T}
end
function GENNRoom(memory::Memory{T}, scales, steps) where {T}
    rooms = [ScaleRoom(memory, s, steps, k == 1 ? STRETCH : steps) for (k, s) in enumerate(scales)]
    return GENNRoom{T}(rooms, numbers!(memory, steps * first(scales).channels), numbers!(memory, kept_numbers(scales, steps)))
end

"Call f(s, own, kept), with a scale, its room and what is kept of it, for the scales of these numbers."
function each_scale(f, scales, room, kept, steps, numbers)
    for k in eachindex(scales)
        (own, next) = Kept(kept, scales[k], steps)
        k in numbers && f(scales[k], room.scales[k], own)
        kept = next
    end
end

"""
    residual_gradient!(g, v, kept, x, scales) -> g = (I - ∂Φ/∂x)ᵀ v and v = x - Φ(x) in place

Arrays are `(state, time, window)`; `scales` is a vector of `Scale`, whose memory the caller keeps. `kept`
is nothing, or has `kept_numbers(scales, steps)` rows and a column a window, for the backward pass.
"""
function residual_gradient!(g::Array{T,3}, v::Array{T,3}, kept, x::Array{T,3}, scales) where {T}
    (C, steps, windows) = size(x)
    memory = Memory{T}()
    rooms = [GENNRoom(memory, scales, steps) for _ in 1:threads_for(windows)]
    GC.@preserve memory g v kept x each_window(rooms, windows) do room, w
        own = kept === nothing ? room.kept : pointer(kept, (w - 1) * size(kept, 1) + 1)
        (first_v, first_x) = (pointer(v, (w - 1) * C * steps + 1), pointer(x, (w - 1) * C * steps + 1))
        residual_gradient!(pointer(g, (w - 1) * C * steps + 1), first_v, own, first_x, scales, room, steps)
    end
    return g
end

function residual_gradient!(g::Ptr, v, kept, x, scales, room, steps)
    (C, others) = (first(scales).channels, 2:length(scales))
    unsafe_copyto!(v, x, steps * C)
    each_scale(scales, room, kept, steps, others) do s, own, kept
        pool!(own.x, s, own, x, steps)
        values!(v, s, own, kept, 0, own.cells, steps)
    end
    each_scale(scales, room, kept, steps, 1:1) do s, own, kept
        pool!(own.x, s, own, x, steps)
        clear_back!(s, own)
        for a in 0:own.stretch:own.cells-1
            n = min(own.stretch, own.cells - a)
            values!(v, s, own, below(kept, a), a, n, steps)
            pullback!(s, own, below(kept, a), v, a, n, steps)
        end
    end
    unsafe_copyto!(g, v, steps * C)
    each_scale(scales, room, kept, steps, others) do s, own, kept
        clear_back!(s, own)
        pullback!(s, own, kept, v, 0, own.cells, steps)
    end
    for (s, own) in zip(scales, room.scales)
        subtract_back!(g, s, own, steps)
    end
end

function values!(v, s, room, kept, a, n, steps)
    features!(room, kept, s, a, n)
    subtract_values!(v, room, s, room.pq, kept.m, a, n, steps)
end

function pullback!(s, room, kept, v, a, n, steps)
    gather_outputs!(room.v, s, v, a, n, steps)
    mixed_back!(room, kept, s, n)
    first_back!(kept.a_back, room, kept, s, room.m_back, n)
    put_back!(room, s, kept.a_back, a, n)
end

"""
    residual_gradient_back!(x_bar, totals, x, v, kept, g_bar, scales)

The gradient x_bar of ḡ·g with respect to x. `totals` is nothing, or for each scale the arrays W, M, O of
its gradients, shaped as the weights that `Scale` takes; v and kept come from `residual_gradient!`.
"""
function residual_gradient_back!(x_bar::Array{T,3}, totals, x::Array{T,3}, v::Array{T,3}, kept::Matrix{T}, g_bar::Array{T,3}, scales) where {T}
    (C, steps, windows) = size(x)
    memory = Memory{T}()
    rooms = [GENNRoom(memory, scales, steps) for _ in 1:threads_for(windows)]
    trained = totals !== nothing
    GC.@preserve memory x_bar x v kept g_bar begin
        each_window(rooms, windows) do room, w
            (a, b, c, d) = map(array -> pointer(array, (w - 1) * C * steps + 1), (x_bar, x, v, g_bar))
            residual_gradient_back!(a, trained, b, c, pointer(kept, (w - 1) * size(kept, 1) + 1), d, scales, room, steps)
        end
        # Thread after thread, so that the same call gives the same bits.
        trained && foreach(room -> foreach(subtract_sums!, totals, scales, room.scales), rooms)
    end
    return x_bar
end

function residual_gradient_back!(x_bar::Ptr, trained, x, v, kept, g_bar, scales, room, steps)
    (C, others, v_bar) = (first(scales).channels, 2:length(scales), room.window)
    unsafe_copyto!(v_bar, g_bar, steps * C)
    each_scale(scales, room, kept, steps, others) do s, own, kept
        pools!(s, own, x, g_bar, trained, steps)
        tangent!(v_bar, s, own, kept, 0, own.cells, steps)
    end
    each_scale(scales, room, kept, steps, 1:1) do s, own, kept
        pools!(s, own, x, g_bar, trained, steps)
        for a in 0:own.stretch:own.cells-1
            n = min(own.stretch, own.cells - a)
            tangent!(v_bar, s, own, below(kept, a), a, n, steps)
            second_pullback!(s, own, below(kept, a), v, v_bar, trained, a, n, steps)
        end
    end
    unsafe_copyto!(x_bar, v_bar, steps * C)
    each_scale(scales, room, kept, steps, others) do s, own, kept
        second_pullback!(s, own, kept, v, v_bar, trained, 0, own.cells, steps)
    end
    for (s, own) in zip(scales, room.scales)
        subtract_back!(x_bar, s, own, steps)
    end
end

function pools!(s, room, x, g_bar, trained, steps)
    trained && pool!(room.x, s, room, x, steps)
    pool!(room.direction, s, room, g_bar, steps)
    clear_back!(s, room)
end

function tangent!(v_bar, s, room, kept, a, n, steps)
    tangent_features!(room, kept, s, a, n)
    subtract_values!(v_bar, room, s, room.pq_dot, room.m_dot, a, n, steps)
end

function second_pullback!(s, room, kept, v, v_bar, trained, a, n, steps)
    gather_outputs!(room.v, s, v, a, n, steps)
    mixed_back!(room, kept, s, n)
    gather_outputs!(room.v_bar, s, v_bar, a, n, steps)
    second!(room, kept, s, n)
    put_back!(room, s, room.a_bar, a, n)
    trained && multiply!(room.pq, kept.m, s, n)
    trained && add_weights!(room, kept, s, a, n)
end

"ḡ·g has -v_bar·Φ and -v·(∂Φ/∂x) ḡ: the sums, subtracted, are its gradient."
function subtract_sums!(total, s::Scale, room)
    (W, M, O) = total
    for (j, place) in enumerate(patch_places(s.channels, s.taps)), f in 1:s.features
        W[place, f] -= unsafe_load(row(room.first, j - 1), f)
    end
    for k in 1:mixed(s), f in 1:s.features
        M[f, k] -= unsafe_load(row(room.mix, f - 1), k)
    end
    for k in 1:outputs(s), l in 1:s.latent
        O[l, k] -= unsafe_load(row(room.product, l - 1), k)
    end
end
