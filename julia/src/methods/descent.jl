# Fixed-step gradient descent (FSGD), eq. (5): x ← x - α ∂U/∂x.
#
# A thread takes a block of windows and runs all the iterations over it before the next, so the
# block stays in cache. An iteration depends on the past only through the state x, so that a run in
# several pieces gives the same bits as one without interruption.

"""
    descend!(x, y, mask, scheme, m, h, λ₁, λ₂, α, iterations, data = nothing)

Run `iterations` of FSGD with step `α` on every window of `x`, `(state, time, window)`, in place. `data` are
Points or FunctionData.
"""
function descend!(x::AbstractArray{S,3}, y, mask, scheme, m, h, λ₁, λ₂, α, iterations, data = nothing) where {S}
    D, T, windows = size(x)
    R = scalar_type(numbers_for(S, m))
    γ₁ = R(2λ₁ * α)
    γ₂ = R(2λ₂ * α / ((T - 1) * D))
    each_block(numbers_for(S, m), windows) do ranges
        N = numbers_for(S, m)           # inside, because a type captured by a closure is not inferred
        (b, ws) = (WindowBlock{N}(D, T), sweep_workspace(N, m))
        besides = gradient_besides(N, data, mask)
        for range in ranges
            gather!(b, x, y, mask, range, data)
            iterate!(b, ws, scheme, retype(scalar_type(N), m), scalar_type(N)(h), γ₁, γ₂, iterations, besides, range)
            scatter!(x, b.x, range)
        end
    end
    return x
end

"The part of the gradient that `sweep!` does not compute: that of data that are a function of the state."
gradient_besides(::Type, data, mask) = nothing
gradient_besides(::Type{N}, data::FunctionData, mask) where {N} = FunctionGradient{N}(data, mask)

iterate!(b, ws, scheme, m, h, γ₁, γ₂, iterations, ::Nothing = nothing, range = nothing) =
    iterate_on!(b, ws, scheme, m, h, γ₁, γ₂, iterations, isempty(b.points.c) ? nothing : b.points)

function iterate_on!(b, ws, scheme, m, h, γ₁, γ₂, iterations, points)
    x = b.x
    for _ in 1:iterations
        sweep!((i, t, gᵢ) -> (@inbounds x[i, t] -= gᵢ), b, ws, scheme, m, h, γ₁, γ₂, points)
    end
    return b
end

function iterate!(b, ws, scheme, m, h, γ₁, γ₂, iterations, f::FunctionGradient, range)
    (x, g) = (b.x, clear!(f).g)
    for _ in 1:iterations
        evaluate!(f, x, range, γ₁)
        sweep!((i, t, gᵢ) -> (@inbounds x[i, t] -= gᵢ + g[i, t]), b, ws, scheme, m, h, γ₁, γ₂, nothing)
    end
    return b
end
