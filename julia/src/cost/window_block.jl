# A block of windows in lanes, with the window innermost, the layout that the kernels use.
#
# Observations are sparse in time: only the steps at which a window of the block is observed are kept,
# at the index `slot[t]` (0: not observed), so that a block fits in the processor's second-level cache.

struct WindowBlock{N<:Real}
    x::Matrix{N}         # (state, time)
    y::Matrix{N}         # (state, observed step)
    c::Matrix{N}         # (state, observed step): mask / number of observations of the window
    slot::Vector{Int}    # (time)
    points::PointBlock{N}
end

"    WindowBlock{N}(D, T): an empty block, to be filled by `gather!`"
WindowBlock{N}(D::Integer, T::Integer) where {N} =
    WindowBlock{N}(zeros(N, D, T), zeros(N, D, T), zeros(N, D, T), zeros(Int, T), PointBlock{N}(T))

"    WindowBlock{N}(x, y, mask, windows, points = nothing): a block with these windows"
WindowBlock{N}(x, y, mask, windows::AbstractUnitRange, points = nothing) where {N<:Real} =
    gather!(WindowBlock{N}(size(x, 1), size(x, 2)), x, y, mask, windows, points)

"""
    gather!(block, x, y, mask, windows, points = nothing)

Copy `windows` of the `(state, time, window)` arrays into a block; lanes without a window hold zeros.
"""
function gather!(b::WindowBlock, x, y, mask, windows, points = nothing)
    D, T, _ = size(x)
    slot = b.slot
    make_room!(b.points, points, windows)
    K = 0
    for t in 1:T
        observed = any(!iszero, view(mask, :, t, windows)) || !isempty(points_at(b.points, t))
        slot[t] = observed ? (K += 1) : 0
    end
    GC.@preserve b place_windows!(unsafe_scalars(b.x), unsafe_scalars(b.y), unsafe_scalars(b.c), b, x, y, mask, windows, points)
    return b
end

function place_windows!(xs, ys, cs, b, x, y, mask, windows, points)
    (D, T, _) = size(x)
    slot = b.slot
    if length(windows) < size(xs, 1)
        fill!(xs, 0), fill!(ys, 0), fill!(cs, 0)
    end
    for (l, w) in enumerate(windows)
        n = count_data(mask, points, w)
        place_points!(b.points, l, points, w, 1:T, n)
        for t in 1:T
            k = slot[t]
            for i in 1:D
                xs[l, i, t] = x[i, t, w]
                if k > 0
                    ys[l, i, k] = y[i, t, w]
                    cs[l, i, k] = mask[i, t, w] / n
                end
            end
        end
    end
    return nothing
end

"View a matrix of lanes as the `(lane, row, column)` array of its scalars, on the same memory."
scalars(a::AbstractArray{N}) where {N} =
    reshape(reinterpret(scalar_type(N), a), lanes(N), size(a)...)

"""
    unsafe_scalars(a) -> the same as `scalars(a)`, but fast: in Julia 1.5 an access to the latter takes tens
of nanoseconds

It does not keep `a` alive: use it inside `GC.@preserve a`, or store it beside `a` in a struct.
"""
unsafe_scalars(a::Array{N}) where {N} =
    unsafe_wrap(Array, Ptr{scalar_type(N)}(pointer(a)), (lanes(N), size(a)...))

"Copy the block's windows of a matrix in lanes back into a `(state, time, window)` array."
function scatter!(out, a::Matrix, windows)
    GC.@preserve a begin
        s = unsafe_scalars(a)
        @inbounds for (l, w) in enumerate(windows), t in axes(a, 2), i in axes(a, 1)
            out[i, t, w] = s[l, i, t]
        end
    end
    return out
end

"""
    each_block(f, N, windows)

Call `f(ranges)` once per thread, with ranges of as many windows as the number type `N` holds, so that
`f` can use one workspace for all of them.
"""
function each_block(f, ::Type{N}, windows::Integer) where {N}
    W = lanes(N)
    blocks = cld(windows, W)
    threads = threads_for(blocks)
    in_threads(threads) do k
        own = (k - 1) * blocks ÷ threads + 1:k * blocks ÷ threads
        f((b - 1) * W + 1:min(b * W, windows) for b in own)
    end
    return nothing
end
