# One step, its tangent linear and its adjoint.

include("../shared/problems.jl")
rng = MersenneTwister(6)

@testset "$(nameof(typeof(scheme))), $(name(m))" for scheme in SCHEMES, m in MODELS
    h = usual_step(m)
    for x in eachcol(states(rng, m, 10))
        x = collect(x)
        δ, v = randn(rng, length(m)), randn(rng, length(m))

        @test linearised(scheme, m, x, v, h, FORECAST) ≈ paper_step(scheme, m, x, h) rtol = 1e-14

        # Central differences with steps ε and 2ε, extrapolated: the error is of order ε⁴.
        central(ε) = (paper_step(scheme, m, x + ε * δ, h) - paper_step(scheme, m, x - ε * δ, h)) / 2ε
        difference = (4 * central(1e-3) - central(2e-3)) / 3
        Φδ = linearised(scheme, m, x, δ, h, TANGENT)
        @test norm(Φδ - difference) <= 1e-10 * norm(difference)

        Φᵀv = linearised(scheme, m, x, v, h, ADJOINT)
        @test abs(dot(Φδ, v) - dot(δ, Φᵀv)) <= 1e-13 * norm(Φδ) * norm(v)

        # Linear in the direction, and the state is left alone.
        @test linearised(scheme, m, x, 2δ, h, TANGENT) == 2Φδ
        @test linearised(scheme, m, x, 2v, h, ADJOINT) == 2Φᵀv
    end
end

# The Jacobian by columns: the adjoint is its transpose in every entry, not only in one product.
@testset "adjoint matrix, $(nameof(typeof(scheme))), $(name(m))" for scheme in SCHEMES, m in MODELS
    x = vec(states(rng, m, 1))
    unit(i) = Float64.(eachindex(x) .== i)
    columns(what) = reduce(hcat, [linearised(scheme, m, x, unit(i), usual_step(m), what) for i in eachindex(x)])
    J = columns(TANGENT)
    @test norm(columns(ADJOINT) - J') <= 1e-14 * norm(J)
end

# Local error of the order of the method plus one: halving h divides it by 4 (Euler), 32 (RK4).
@testset "order, $(name(m))" for m in PAPER
    start = vec(states(MersenneTwister(7), m, 1)) ./ 4
    function local_error(scheme, h)
        exact = Array{Float64}(undef, length(m), 2, 1)
        simulate!(exact, reshape(start, :, 1), m, h, 0.0, 1e-13, 1e-13)
        return norm(linearised(scheme, m, start, start, h, FORECAST) - exact[:, 2, 1])
    end
    h = usual_step(m)
    @test local_error(Euler(), h / 4) / local_error(Euler(), h / 8) ≈ 4 rtol = 0.1
    @test local_error(RungeKutta4(), h) / local_error(RungeKutta4(), h / 2) ≈ 32 rtol = 0.25
end
