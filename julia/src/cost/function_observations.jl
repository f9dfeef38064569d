# Observations that are any function h of the state at a step, nonlinear or not:
#
#     y = h(x(t)) + error,
#
# K values (channels) at each step of a window. h takes plain numbers, one state at a time, also where
# windows are in lanes.

"""
    FunctionData(values!, pullback, y, weight)

Data that are a function h of the state at a step.

- `values!`: `values!(y, x)` puts h of the state x into y, and returns nothing or a sentence
- `pullback`: `pullback()` returns a function for the use of one thread, `back!(xbar, x, y, c)`, which puts
  Hᵀ c (h(x) - y) into xbar and returns nothing or a sentence; H is ∂h/∂x
- `y`, `weight`: `(channel, time, window)`; zero weight marks padding
"""
struct FunctionData
    values!::Any        # the types are known where they are called: one compilation of a method for all functions
    pullback::Any
    y::Array{Float64,3}
    weight::Array{Float64,3}
end

"What a block of windows has no place for: no data, or those of a function."
const NotInBlock = Union{Nothing,FunctionData}

count_data(mask, data::FunctionData, w) =
    max(count(!iszero, view(mask, :, :, w)) + count(!iszero, view(data.weight, :, :, w)), 1)

"""
    FunctionGradient{N}(data, mask)

The gradient of Σ c (h(x) - y)² / 2 for blocks of windows in numbers N, with c = weight / number of
observations of the window; for the use of one thread.
"""
struct FunctionGradient{N,F}
    back!::F
    data::FunctionData
    c::Array{Float64,3}
    g::Matrix{N}            # (state, time); 0 at steps without data
    x::Vector{Float64}
    xbar::Vector{Float64}
end
function FunctionGradient{N}(data::FunctionData, mask) where {N}
    (D, T, windows) = size(mask)
    n = [count_data(mask, data, w) for _ in 1:1, _ in 1:1, w in 1:windows]
    back! = data.pullback()
    return FunctionGradient{N,typeof(back!)}(back!, data, data.weight ./ n, zeros(N, D, T), zeros(D), zeros(D))
end

"""
    evaluate!(f, x, windows, γ) -> f, with γ Hᵀ c (h(x) - y) in `f.g`

`x` is the matrix of the block of these windows. NaN where x is not finite: h is not called there.
"""
function evaluate!(f::FunctionGradient, x, windows, γ)
    (y, g) = (f.data.y, f.g)
    GC.@preserve g x begin
        (states, gradients) = (unsafe_scalars(x), unsafe_scalars(g))
        for (l, w) in enumerate(windows), t in axes(y, 2)
            c = view(f.c, :, t, w)
            any(!iszero, c) || continue
            @inbounds for i in eachindex(f.x)
                f.x[i] = states[l, i, t]
            end
            if all(isfinite, f.x)
                refused = f.back!(f.xbar, f.x, view(y, :, t, w), c)
                refused === nothing || error(refused)
            else
                fill!(f.xbar, NaN)
            end
            @inbounds for i in eachindex(f.x)
                gradients[l, i, t] = γ * f.xbar[i]
            end
        end
    end
    return f
end

"    clear!(f) -> f, with a gradient of zero: another block has data at other steps"
clear!(f::FunctionGradient{N}) where {N} = (fill!(f.g, zero(N)); f)
