# The weak-constraint cost of eqs. (2), (4), one value per window:
#
#     U = λ₁ Σ c (x - y)² + λ₂/n Σₜ ‖x(t+1) - Φ(x(t))‖²,   c = mask / number of observations,
#
# with n = (T - 1) D. Its gradient is local in time: with the residual r(t) = x(t) - Φ(x(t-1)),
#
#     ∂U/∂x(t) = 2λ₁ c (x(t) - y(t)) + 2λ₂/n [r(t) - 𝚽(x(t))ᵀ r(t+1)],   r(1) = 0,
#
# so one sweep through time computes it, with the adjoint right after the step it belongs to while
# the stages are still in registers or in the first-level cache.

"Workspace for a sweep: nothing for a small model."
sweep_workspace(::Type{N}, ::SmallModel) where {N} = nothing

struct SweepWorkspace{N,S}
    step::S
    r::Vector{N}
    r⁺::Vector{N}
    points::Vector{N}       # gradient of the data after a step; zeros without data
end
function sweep_workspace(::Type{N}, m::ArrayModel) where {N}
    step = step_workspace(N, m)
    return SweepWorkspace{N,typeof(step)}(step, ntuple(_ -> zeros(N, length(m)), Val(3))...)
end

"    numbers_for(S, m) -> the number type of kernels on arrays of S: lanes, or one window at a time"
numbers_for(::Type{S}, ::Model) where {S} = lanes_for(S)
numbers_for(::Type{S}, ::VectorModel) where {S} = Float64

"""
    sweep!(f, block, ws, scheme, m, h, γ₁, γ₂, points = block.points) -> Σ c (x - y)², Σ r²

Call `f(i, t, g)` with each component of the gradient for 2λ₁ = γ₁ and 2λ₂/n = γ₂. At that point
x(t) is no longer needed, so `f` may overwrite it. If the block has no points, `points` can be
`nothing`, which compiles to code without them.
"""
@inline function sweep!(f::F, b::WindowBlock{N}, ::Nothing, scheme, m::SmallModel, h, γ₁, γ₂, points = b.points) where {F,N}
    T = size(b.x, 2)
    D = size_of(m)
    r = ntuple(_ -> zero(N), D)
    x = column(b.x, 1, D)
    misfit = zero(N)
    residual = zero(N)
    for t in 1:T
        if t < T
            x̂, stages = step(scheme, m, x, h)
            x⁺ = column(b.x, t + 1, D)
            r⁺ = map(-, x⁺, x̂)
            residual = muladd_sum(r⁺, r⁺, residual)
            g = times(γ₂, map(-, r, step_adjoint(scheme, m, stages, r⁺, h)))
        else
            (x⁺, r⁺, g) = (x, r, times(γ₂, r))
        end
        k = @inbounds b.slot[t]
        if k > 0
            d = map(-, x, column(b.y, k, D))
            cd = map(*, column(b.c, k, D), d)
            misfit = muladd_sum(cd, d, misfit)
            g = axpy(γ₁, cd, g)
            isempty(points_at(points, t)) ||
                ((misfit, g) = add_points(points, t, x, misfit, g, scheme, m, h, γ₁))
        end
        each_component((i, gᵢ) -> f(i, t, gᵢ), g)
        (x, r) = (x⁺, r⁺)
    end
    return misfit, residual
end

@inline function sweep!(f::F, b::WindowBlock{N}, ws::SweepWorkspace{N}, scheme, m::ArrayModel, h, γ₁, γ₂, points = b.points) where {F,N}
    T = size(b.x, 2)
    (r, r⁺) = (ws.r, ws.r⁺)
    fill!(r, zero(N))
    misfit = zero(N)
    residual = zero(N)
    for t in 1:T
        x = @inbounds view(b.x, :, t)
        k = @inbounds b.slot[t]
        some = !isempty(points_at(points, t))
        some && (misfit += add_points!(ws.points, ws.step, points, t, x, scheme, m, h))
        if t < T
            residual!(r⁺, ws.step, scheme, m, x, (@inbounds view(b.x, :, t + 1)), h)
            @inbounds for i in eachindex(r⁺)
                residual = muladd(r⁺[i], r⁺[i], residual)
            end
            a = step_adjoint!(ws.step, scheme, m, x, r⁺, h)
        else
            a = fill!(ws.step.x₂, zero(N))
        end
        @inbounds for i in eachindex(x)
            g = γ₂ * (r[i] - a[i])
            if k > 0
                d = x[i] - b.y[i, k]
                cd = b.c[i, k] * d
                misfit = muladd(cd, d, misfit)
                g = muladd(γ₁, cd + ws.points[i], g)
            end
            f(i, t, g)
        end
        some && fill!(ws.points, zero(N))
        (r, r⁺) = (r⁺, r)
    end
    return misfit, residual
end

@inline column(a::Matrix, t, ::Val{D}) where {D} = ntuple(i -> (@inbounds a[i, t]), Val(D))
@inline muladd_sum(a::Tuple, b::Tuple, s) = muladd_sum(Base.tail(a), Base.tail(b), muladd(a[1], b[1], s))
@inline muladd_sum(::Tuple{}, ::Tuple{}, s) = s
@inline each_component(f::F, g::NTuple{D,Any}) where {F,D} = (ntuple(i -> (f(i, g[i]); nothing), Val(D)); nothing)

"""
    cost_gradient!(cost, gradient, x, y, mask, scheme, m, h, λ₁, λ₂, points = nothing)

Evaluate U and ∂U/∂x of each window.

- `cost`: `(3, window)`, out: λ₁ Σ c (x - y)², λ₂/n Σ r², and the squared norm of the gradient
- `gradient`: `(state, time, window)`, out; `nothing` if only the costs are wanted
- `x`, `y`, `mask`: `(state, time, window)`; `mask` is 0 where nothing was observed, else a weight
- `points`: data at arbitrary times (cost/point_observations.jl)
"""
function cost_gradient!(cost, gradient, x::AbstractArray{S,3}, y, mask, scheme, m, h, λ₁, λ₂, points = nothing) where {S}
    D, T, windows = size(x)
    n = (T - 1) * D
    each_block(numbers_for(S, m), windows) do ranges
        N = numbers_for(S, m)           # inside, because a type captured by a closure is not inferred
        R = scalar_type(N)
        (b, ws, g) = (WindowBlock{N}(D, T), sweep_workspace(N, m), zeros(N, D, T))
        for range in ranges
            gather!(b, x, y, mask, range, points)
            misfit, residual =
                store_gradient!(g, b, ws, scheme, retype(R, m), R(h), R(2λ₁), R(2λ₂ / n))
            for (l, w) in enumerate(range)
                cost[1, w] = λ₁ * lane(misfit, l)
                cost[2, w] = λ₂ / n * lane(residual, l)
                GC.@preserve g cost[3, w] = sum(abs2, view(unsafe_scalars(g), l, :, :))
            end
            gradient === nothing || scatter!(gradient, g, range)
        end
    end
    return cost
end

store_gradient!(g, b, ws, scheme, m, h, γ₁, γ₂) =
    sweep!((i, t, gᵢ) -> (@inbounds g[i, t] = gᵢ), b, ws, scheme, m, h, γ₁, γ₂)
