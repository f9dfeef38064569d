# Trajectories from a control, and their spread: on linear models powers of the matrix of a step.

include("../shared/problems.jl")
include("../shared/linear.jl")

@testset "mean and spread, $(name(m)), lead $lead" for m in LINEAR, lead in (0, 3)
    (D, T, W, h) = (length(m), 7, 3, 0.1)
    rng = MersenneTwister(86)
    x₀, H = randn(rng, D, W), zeros(D, D, W)
    for w in 1:W
        E = randn(rng, D, D)
        H[:, :, w] = E * E' + I
    end
    H[:, :, 2] .= -H[:, :, 2]                       # no minimum there
    x, stdev = zeros(D, T, W), zeros(D, T, W)
    VDA.trajectories!(x, stdev, x₀, H, RungeKutta4(), m, h, lead)
    for w in 1:W, t in 1:T
        M = power(step_matrix(m, h), lead + t - 1)
        @test x[:, t, w] ≈ M * x₀[:, w] rtol = 1e-12
        w == 2 || @test stdev[:, t, w] ≈ sqrt.(diag(M * inv(H[:, :, w]) * M')) rtol = 1e-10
    end
    @test all(isnan, stdev[:, :, 2])
end

@testset "a trajectory is that of the paper's steps, $(name(m))" for m in PAPER
    (D, h) = (length(m), usual_step(m))
    x₀ = states(MersenneTwister(87), m, 1)
    x, stdev = zeros(D, 4, 1), zeros(D, 4, 1)
    VDA.trajectories!(x, stdev, x₀, reshape(Matrix(1.0I, D, D), D, D, 1), RungeKutta4(), m, h, 0)
    expected = vec(x₀)
    for t in 1:4
        @test x[:, t, 1] ≈ expected rtol = 1e-11
        expected = paper_step(RungeKutta4(), m, expected, h)
    end
    @test stdev[:, 1, 1] ≈ ones(D) rtol = 1e-13
end
