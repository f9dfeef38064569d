# Derivatives that a model does not define, by dual numbers, against those written by hand.

include("../shared/problems.jl")
using VDA: parameters, with_parameters

"Lorenz-63 with its tendency alone."
struct Alone{T} <: VDA.SmallModel
    σ::T
    ρ::T
    β::T
end
VDA.variables(::Type{<:Alone}) = ("x", "y", "z")
VDA.tendency(m::Alone, x) = VDA.tendency(VDA.Lorenz63(m.σ, m.ρ, m.β), x)

"A circle of places that relax towards their neighbours."
struct Relaxing{T} <: VDA.LargeModel
    rate::T
    n::Int
end
VDA.dimensions(m::Relaxing) = (x = m.n,)
VDA.tendency(m::Relaxing, x, s) = m.rate * (x[s.l] * x[s.r] - x[s.i])

const HAND, DUAL = Lorenz63(10.0, 28.0, 8 / 3), Alone(10.0, 28.0, 8 / 3)
rng = MersenneTwister(3)

@testset "of a small model" begin
    for _ in 1:10
        (x, δ, v, θ′) = (Tuple(8 .* randn(rng, 3)), Tuple(randn(rng, 3)), Tuple(randn(rng, 3)), Tuple(randn(rng, 3)))
        @test collect(VDA.tangent_linear(DUAL, x, δ)) ≈ collect(VDA.tangent_linear(HAND, x, δ)) rtol = 1e-14
        @test collect(VDA.adjoint(DUAL, x, v)) ≈ collect(VDA.adjoint(HAND, x, v)) rtol = 1e-14
        @test collect(VDA.parameter_tangent(DUAL, x, θ′)) ≈ collect(VDA.parameter_tangent(HAND, x, θ′)) rtol = 1e-13
        @test collect(VDA.parameter_adjoint(DUAL, x, v)) ≈ collect(VDA.parameter_adjoint(HAND, x, v)) rtol = 1e-13
    end
end

@testset "of a large model by its parameters" begin
    m = Relaxing(0.7, 6)
    (x, v) = (randn(rng, 6), randn(rng, 6))
    bracket = [x[mod1(i - 1, 6)] * x[mod1(i + 1, 6)] - x[i] for i in 1:6]
    places = VDA.Neighbours[]
    VDA.each_place(s -> push!(places, s), m)
    @test [VDA.parameter_tangent(m, x, (2.0,), s) for s in places] ≈ 2 .* bracket
    @test collect(VDA.parameter_adjoint(m, x, v)) ≈ [dot(v, bracket)]
end
