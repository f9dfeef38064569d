# Steps of a vector model are those of the same equations as a large model; its own step is taken as it is.

include("../shared/problems.jl")
using VDA: step!, step_adjoint!, step_tangent!, step_workspace

"Lorenz-96 on whole arrays."
struct Whole{T} <: VDA.VectorModel
    F::T
    n::Int
end
VDA.dimensions(m::Whole) = (x = m.n,)
of(m::Whole) = Lorenz96(m.F, m.n)
VDA.tendency!(dx, m::Whole, x, work) = VDA.tendency!(dx, of(m), x)
VDA.tangent_linear!(dy, m::Whole, x, dx, work) = VDA.tangent_linear!(dy, of(m), x, dx)
VDA.adjoint!(xbar, m::Whole, x, ybar, work) = VDA.adjoint!(xbar, of(m), x, ybar)

"A field of two variables that moves by a place a step."
struct Turning <: VDA.VectorModel
    n::Int
end
VDA.variables(::Type{Turning}) = ("u", "v")
VDA.dimensions(m::Turning) = (x = m.n,)
VDA.has_own_step(::Turning) = true
VDA.time_step(::Type{Turning}) = 1.0
VDA.step!(x1, m::Turning, x, work) = (x1 .= circshift(x, (1, 0)); x1[:, 2] .*= 2; x1)
VDA.tangent_linear!(dy, m::Turning, x, dx, work) = VDA.step!(dy, m, dx, work)
VDA.adjoint!(xbar, m::Turning, x, ybar, work) = (y = copy(ybar); y[:, 2] .*= 2; xbar .= circshift(y, (-1, 0)))

rng = MersenneTwister(9)
(large, whole) = (Lorenz96(8.0, 7), Whole(8.0, 7))

@testset "$(nameof(typeof(scheme)))" for scheme in SCHEMES
    (x, δ, v) = (8 .* randn(rng, 7), randn(rng, 7), randn(rng, 7))
    ws = step_workspace(Float64, whole)
    expected = linearised(scheme, large, x, x, 0.05, FORECAST)
    @test step!(ws, scheme, whole, x, 0.05) ≈ expected rtol = 1e-14
    @test step_tangent!(zeros(7), ws, scheme, whole, x, δ, 0.05) ≈ linearised(scheme, large, x, δ, 0.05, TANGENT) rtol = 1e-13
    @test step_adjoint!(ws, scheme, whole, x, v, 0.05) ≈ linearised(scheme, large, x, v, 0.05, ADJOINT) rtol = 1e-13
    @test VDA.residual!(zeros(7), ws, scheme, whole, x, expected, 0.05) ≈ zeros(7) atol = 1e-13
end

@testset "a model's own step" begin
    m = Turning(3)
    ws = step_workspace(Float64, m)
    x = collect(1.0:6.0)
    @test VDA.array_shape(m) == (3, 2)
    @test step!(ws, RungeKutta4(), m, x, 1.0) == [3, 1, 2, 12, 8, 10]
    (δ, v) = (randn(rng, 6), randn(rng, 6))
    δ̂ = step_tangent!(zeros(6), ws, Euler(), m, x, δ, 1.0)
    @test dot(δ̂, v) ≈ dot(δ, step_adjoint!(ws, Euler(), m, x, v, 1.0)) rtol = 1e-14
    @test step!(ws, RungeKutta4(), m, x, 0.0) == x           # no time, no step
    @test step_tangent!(zeros(6), ws, Euler(), m, x, δ, 0.0) == δ
    @test step!(ws, RungeKutta4(), m, x, 0.25) ≈ 0.75x + 0.25 * [3, 1, 2, 12, 8, 10]   # between two steps
    δ̂ = step_tangent!(zeros(6), ws, Euler(), m, x, δ, 0.25)
    @test dot(δ̂, v) ≈ dot(δ, step_adjoint!(ws, Euler(), m, x, v, 0.25)) rtol = 1e-14
end
