# A block of windows in lanes, with the window innermost, as the kernels want it.
#
# Observations are few: only the steps at which some window of the block has one are kept, and
# `slot[t]` says where (0: none), so that a block stays in the processor's second-level cache.

struct WindowBlock{N<:Real}
    x::Matrix{N}         # (state, time)
    y::Matrix{N}         # (state, observed step)
    c::Matrix{N}         # (state, observed step): mask / number of observations of the window
    slot::Vector{Int}    # (time)
    windows::UnitRange{Int}
end

"""
    WindowBlock{N}(x, y, mask, windows)

Gather `windows` of the `(state, time, window)` arrays; lanes without a window hold zeros.
"""
function WindowBlock{N}(x, y, mask, windows) where {N}
    D, T, _ = size(x)
    slot = zeros(Int, T)
    K = 0
    for t in 1:T
        if any(!iszero, view(mask, :, t, windows))
            K += 1
            slot[t] = K
        end
    end
    b = WindowBlock{N}(zeros(N, D, T), zeros(N, D, K), zeros(N, D, K), slot, windows)
    xs, ys, cs = scalars(b.x), scalars(b.y), scalars(b.c)
    for (l, w) in enumerate(windows)
        n = count(!iszero, view(mask, :, :, w))
        for t in 1:T
            k = slot[t]
            for i in 1:D
                xs[l, i, t] = x[i, t, w]
                if k > 0
                    ys[l, i, k] = y[i, t, w]
                    cs[l, i, k] = mask[i, t, w] / max(n, 1)
                end
            end
        end
    end
    return b
end

"View a matrix of lanes as the `(lane, row, column)` array of its scalars, on the same memory."
scalars(a::Array{N}) where {N} =
    reshape(reinterpret(scalar_type(N), a), lanes(N), size(a)...)

"Copy the block's windows of a matrix in lanes back into a `(state, time, window)` array."
function scatter!(out, a::Matrix, windows)
    s = scalars(a)
    for (l, w) in enumerate(windows), t in axes(a, 2), i in axes(a, 1)
        out[i, t, w] = s[l, i, t]
    end
    return out
end

"""
    each_block(f, N, windows)

Call `f(range)` for blocks of as many windows as the number type `N` holds, on all threads.
"""
function each_block(f, ::Type{N}, windows::Integer) where {N}
    W = lanes(N)
    Threads.@threads for b in 1:cld(windows, W)
        f((b - 1) * W + 1:min(b * W, windows))
    end
    return nothing
end
