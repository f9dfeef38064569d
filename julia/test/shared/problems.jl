# What the tests share: models and states to run over, and a cost written as it reads in the paper.

include("exceptions.jl")
using LinearAlgebra, Random, Test, VDA

# 4 is the smallest circle, on which every place lies at a seam; 5 has one that does not.
const MODELS = (
    Lorenz63(10.0, 28.0, 8 / 3), Lorenz63(9.0, 20.0, 2.0),
    Lorenz96(8.0, 4), Lorenz96(8.0, 5), Lorenz96(7.5, 40),
)
const PAPER = (Lorenz63(10.0, 28.0, 8 / 3), Lorenz96(8.0, 40))
const SCHEMES = (Euler(), RungeKutta4())

name(m) = string(nameof(typeof(m)), " of ", length(m), " components")
usual_step(::Lorenz63) = 0.01
usual_step(::Lorenz96) = 0.05

"States about as large as those of the attractor, `(state, count)`."
states(rng, m, count) = 8 .* randn(rng, length(m), count)

"Windows of noise with about every third entry observed and unequal weights: x, y, mask."
function noisy_problem(rng, m, T, windows, ::Type{S} = Float64) where {S}
    x = 8 .* randn(rng, length(m), T, windows)
    y = x .+ randn(rng, size(x)...)
    mask = (rand(rng, size(x)...) .< 1 / 3) .* (0.5 .+ rand(rng, size(x)...))
    return Array{S}(x), Array{S}(y .* (mask .> 0)), Array{S}(mask)
end

# --- the equations, as they stand in the paper ---------------------------------------------------

paper_tendency(m::Lorenz63, x) =
    [m.σ * (x[2] - x[1]), x[1] * (m.ρ - x[3]) - x[2], x[1] * x[2] - m.β * x[3]]
function paper_tendency(m::Lorenz96, x)
    at(i) = x[mod1(i, length(x))]
    return [(at(i + 1) - at(i - 2)) * at(i - 1) - at(i) + m.F for i in eachindex(x)]
end

paper_step(::Euler, m, x, h) = x + h * paper_tendency(m, x)
function paper_step(::RungeKutta4, m, x, h)
    k₁ = paper_tendency(m, x)
    k₂ = paper_tendency(m, x + h / 2 * k₁)
    k₃ = paper_tendency(m, x + h / 2 * k₂)
    k₄ = paper_tendency(m, x + h * k₃)
    return x + h / 6 * (k₁ + 2k₂ + 2k₃ + k₄)
end

"U of one window, `(state, time)` arrays: its observation term and its dynamical term."
function paper_cost(x, y, mask, scheme, m, h, λ₁, λ₂)
    D, T = size(x)
    n = count(!iszero, mask)
    misfit = n == 0 ? 0.0 : sum(mask .* (x .- y) .^ 2) / n
    residual = sum(sum(abs2, x[:, t+1] - paper_step(scheme, m, x[:, t], h)) for t in 1:T-1)
    return λ₁ * misfit, λ₂ * residual / ((T - 1) * D)
end

# --- the package, on plain vectors ---------------------------------------------------------------

const FORECAST, TANGENT, ADJOINT = 0, 1, 2
linearised(scheme, m, x, v, h, what) =
    vec(VDA.linearised_steps!(similar(x, length(m), 1), reshape(x, :, 1), reshape(v, :, 1), scheme, m, h, what))

"U of every window and its gradient."
function cost_of(x, y, mask, scheme, m, h, λ₁ = 0.01, λ₂ = 1.0)
    terms = fill(NaN, 3, size(x, 3))
    gradient = fill(eltype(x)(NaN), size(x))
    cost_gradient!(terms, gradient, x, y, mask, scheme, m, h, λ₁, λ₂)
    return terms, gradient
end
total(terms) = sum(terms[1:2, :])
