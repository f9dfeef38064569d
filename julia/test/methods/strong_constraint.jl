# Strong-constraint 4D-Var: on a linear model against the Kalman smoother, on the paper's models
# against finite differences of the cost, and jobs that do not touch each other.

include("../shared/problems.jl")
include("../shared/linear.jl")
include("../shared/kalman.jl")
include("../shared/plain_costs.jl")

function minimised(m, h, y, precision, starts, b, B⁻¹; lead = 0, growth = 0, iterations = 200, tolerance = 1e-9)
    D, count, windows = size(starts)
    p = VDA.StrongConstraint(m, RungeKutta4(), h, lead, growth, iterations, tolerance, b, B⁻¹, fill(0.02, D), y, precision, starts)
    x, H, info = fill(NaN, D, count, windows), fill(NaN, D, D, count, windows), fill(NaN, 4, count, windows)
    VDA.strong_constraint!(x, H, info, p)
    return x, H, info
end

function followed(m, h, T, x₀, H; lead = 0)
    x, stdev = zeros(length(m), T, size(x₀, 2)), zeros(length(m), T, size(x₀, 2))
    VDA.trajectories!(x, stdev, x₀, H, RungeKutta4(), m, h, lead)
    return x, stdev
end

@testset "equals the Kalman smoother on $(name(m)), lead $lead, growth $growth" for
        m in (Rotation(2.0, 0.3), Transport(1.5, 0.2, 11)), lead in (0, 3), growth in (0, 5)
    rng = MersenneTwister(71)
    D, T, windows, h = length(m), 21, 11, 0.1
    y = randn(rng, D, T, windows)
    precision = (rand(rng, size(y)...) .< 0.2) ./ (0.2 .+ rand(rng, size(y)...))
    precision[:, :, 2] .= 0
    precision[1, 9, 2] = 0.7                    # one datum
    precision[:, :, 3] .= 1.3                   # all observed
    b = randn(rng, D)
    A = randn(rng, D, D)
    B = A * A' + I
    x₀, H, info = minimised(m, h, y, precision, randn(rng, D, 1, windows), b, inv(B); lead = lead, growth = growth)
    @test all(==(0), info[4, :, :])
    x, stdev = followed(m, h, T, x₀[:, 1, :], H[:, :, 1, :]; lead = lead)
    M = step_matrix(m, h)
    for w in 1:windows
        expected, σ, P = kalman_smoother(M, M^lead * b, M^lead * B * (M^lead)', y[:, :, w], precision[:, :, w], 0)
        @test norm(x[:, :, w] - expected) <= 1e-10 * norm(expected)
        @test norm(stdev[:, :, w] - σ) <= 1e-10 * norm(σ)
        # The Hessian holds all covariances there are, those between two times as well.
        for t in (1, 8, T)
            forward = M^(lead + t - 1)
            @test norm(forward * inv(H[:, :, 1, w]) * forward' - P[t]) <= 1e-10 * norm(P[t])
        end
    end
end

@testset "ends where the cost has no slope, $(name(m))" for (m, T) in ((PAPER[1], 60), (Lorenz96(8.0, 5), 12))
    rng = MersenneTwister(72)
    h, lead, D = usual_step(m), 4, length(m)
    truth = zeros(D, T + lead, 2)
    simulate!(truth, states(rng, m, 2), m, h, 30.0, 1e-9, 1e-9)
    y = truth[:, lead+1:end, :] .+ randn(rng, D, T, 2)
    precision = Float64.(rand(rng, size(y)...) .< 0.3)
    b, B⁻¹ = fill(2.0, D), Matrix(0.02I, D, D)
    x₀, H, info = minimised(m, h, y, precision, truth[:, 1:1, :] .+ 0.3, b, B⁻¹; lead = lead, tolerance = 1e-14)
    for w in 1:2
        J(x) = plain_cost(m, h, y[:, :, w], precision[:, :, w], b, B⁻¹, lead, x)
        x = x₀[:, 1, w]
        @test info[1, 1, w] ≈ J(x) rtol = 1e-10
        σ = sqrt.(diag(inv(H[:, :, 1, w])))
        for i in 1:D
            e = (1:D .== i) .* σ[i] * 1e-4
            # the slope in units of the standard deviation, and a curvature of about one there
            @test abs(J(x + e) - J(x - e)) / 2e-4 < 1e-5
            @test J(x + 3000e) > J(x)
        end
    end
end

@testset "jobs do not touch each other; one that diverges says so" begin
    m = PAPER[1]
    rng = MersenneTwister(74)
    T, windows = 50, 21
    truth = zeros(3, T, windows)
    simulate!(truth, states(rng, m, windows), m, 0.01, 30.0, 1e-9, 1e-9)
    y = truth .+ randn(rng, size(truth)...)
    precision = zero(y)
    precision[1, 1:8:end, :] .= 1
    starts = truth[:, 1:1, :] .+ randn(rng, 3, 3, windows)
    b, B⁻¹ = [0.0, 0.0, 24.0], Matrix(0.015I, 3, 3)
    precision[:, 1:20, 5] .= 0                  # a window that grows by nothing at first
    precision[2, 7, 9] = 2                      # and one with more data than the others
    for growth in (8, 0)
        x, H, info = minimised(m, 0.01, y, precision, starts, b, B⁻¹; growth = growth)
        for w in (1, 5, 9, 21)
            alone, _, _ = minimised(m, 0.01, y[:, :, w:w], precision[:, :, w:w], starts[:, :, w:w], b, B⁻¹; growth = growth)
            @test alone[:, :, 1] == x[:, :, w]
        end
    end
    x, H, info = minimised(m, 0.01, y, precision, starts, b, B⁻¹)
    bad = copy(starts)
    bad[:, 2, 4] .= 1e200
    x′, _, info′ = minimised(m, 0.01, y, precision, bad, b, B⁻¹)
    @test info′[4, 2, 4] == 3
    info′[:, 2, 4] .= info[:, 2, 4]
    x′[:, 2, 4] .= x[:, 2, 4]
    @test x′ == x && info′ == info
    _, _, limited = minimised(m, 0.01, y, precision, starts .+ 5, b, B⁻¹; iterations = 1)
    @test any(==(1), limited[4, :, :])
end
