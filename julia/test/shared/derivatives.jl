# The derivatives of a model's tendency, with its parameters: central differences and transposes.

include("exceptions.jl")
using LinearAlgebra, Random, Test, VDA

"Test tangent linear and adjoint, by the state and by the parameters, of the tendency at random states about x."
function test_derivatives(m, x, rng = MersenneTwister(17))
    joint = VDA.WithParameters(m)
    z = vcat(x .+ randn(rng, length(x)), collect(VDA.parameters(m)))
    tendency(z) = VDA.tendency!(similar(z), joint, z)
    (δ, v) = (randn(rng, length(z)), randn(rng, length(z)))
    central(ε) = (tendency(z + ε * δ) - tendency(z - ε * δ)) / 2ε
    difference = (4 * central(1e-2) - central(2e-2)) / 3            # exact for polynomials of degree 4
    𝐌δ = VDA.tangent_linear!(similar(z), joint, z, δ)
    @test norm(𝐌δ - difference) <= 1e-9 * norm(difference)
    𝐌ᵀv = VDA.adjoint!(similar(z), joint, z, v)
    @test abs(dot(𝐌δ, v) - dot(δ, 𝐌ᵀv)) <= 1e-12 * norm(𝐌δ) * norm(v)
end

"The same of the step of a VectorModel that has its own, by the state alone."
function test_step_derivatives(m, x, size, rng = MersenneTwister(18))
    h = VDA.time_step(m)
    ws = VDA.step_workspace(Float64, m)
    step(x) = copy(VDA.step!(ws, RungeKutta4(), m, x, h))
    (δ, v) = (size .* randn(rng, length(x)), randn(rng, length(x)))
    central(ε) = (step(x + ε * δ) - step(x - ε * δ)) / 2ε
    difference = (4 * central(1e-3) - central(2e-3)) / 3
    𝐌δ = VDA.step_tangent!(zero(x), ws, RungeKutta4(), m, x, δ, h)
    @test norm(𝐌δ - difference) <= 1e-7 * norm(difference)
    𝐌ᵀv = VDA.step_adjoint!(ws, RungeKutta4(), m, x, v, h)
    @test abs(dot(𝐌δ, v) - dot(δ, 𝐌ᵀv)) <= 1e-11 * norm(𝐌δ) * norm(v)
end

tendency_of(m, x) = VDA.tendency!(similar(x), m, x)
