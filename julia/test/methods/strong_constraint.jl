# Strong-constraint 4D-Var: on a linear model against the Kalman smoother, on the paper's models
# against finite differences of the cost, and jobs that do not touch each other.

include("../shared/problems.jl")
include("../shared/linear.jl")
include("../shared/kalman.jl")

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

"Minimisations of the windows from `first` on, as many as there are places, with their data in place."
function placed!(e, p, windows, first = 1)
    (slots, next) = ([VDA.Minimisation(length(p.m)) for _ in 1:VDA.width(e)], Threads.Atomic{Int}(first))
    for (l, s) in enumerate(slots)
        VDA.take_job!(s, p, next, windows) && VDA.hold!(e, p, l, VDA.window_of(s.job, p))
    end
    return slots
end

"½|x₀ - b|² in B⁻¹ and ½ the misfit, with the model from the paper's formulas."
function plain_cost(m, h, y, precision, b, B⁻¹, lead, x₀)
    J = dot(x₀ - b, B⁻¹ * (x₀ - b)) / 2
    x = x₀
    for _ in 1:lead
        x = paper_step(RungeKutta4(), m, x, h)
    end
    for t in axes(y, 2)
        J += sum(precision[:, t] .* (y[:, t] .- x) .^ 2) / 2
        x = paper_step(RungeKutta4(), m, x, h)
    end
    return J
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

@testset "the distinct parts of J: gradient by finite differences" begin
    m = PAPER[1]
    rng = MersenneTwister(73)
    y, precision = 8 .* randn(rng, 3, 20, 8), Float64.(rand(rng, 3, 20, 8) .< 0.3)
    b, B⁻¹ = randn(rng, 3), [1.0 0.2 0.1; 0.2 0.8 0.0; 0.1 0.0 0.5]
    starts = 8 .* randn(rng, 3, 1, 8)
    p = VDA.StrongConstraint(m, RungeKutta4(), 0.01, 2, 0, 10, 1e-9, b, B⁻¹, fill(0.02, 3), y, precision, starts)
    e = VDA.evaluator(m, 20)
    slots = placed!(e, p, 8)
    VDA.evaluate!(e, p, slots)
    for s in 1:8
        J(x) = plain_cost(m, 0.01, y[:, :, s], precision[:, :, s], b, B⁻¹, 2, x)
        (found, g) = (slots[s].found, slots[s].found.g)
        x = starts[:, 1, s]
        @test found.J ≈ J(x) rtol = 1e-12
        @test g ≈ [(J(x + 1e-5 .* (1:3 .== i)) - J(x - 1e-5 .* (1:3 .== i))) / 2e-5 for i in 1:3] rtol = 1e-5
        @test isposdef(Symmetric(found.H))
    end
    @test @allocated(VDA.evaluate!(e, p, slots)) == 0
    for s in slots                              # a step accepted, a step refused
        VDA.decide!(s, p)
        s.found.J = s.here.J + 1
        @test @allocated(VDA.decide!(s, p)) == 0
    end
end

@testset "what a longer window says is found in passing, $(name(m))" for m in (PAPER[1], Lorenz96(8.0, 8))
    rng = MersenneTwister(76)
    (D, T, W, h) = (length(m), 20, 8, usual_step(m))
    y, precision = 3 .* randn(rng, D, T, W), Float64.(rand(rng, D, T, W) .< 0.3)
    precision[:, 1:9, 3] .= 0                   # nothing where its first length ends
    precision[:, :, 4] .= 0                     # nothing at all
    starts = 3 .* randn(rng, D, 1, W)
    (b, B⁻¹) = (zeros(D), Matrix(0.1I, D, D))
    of(growth, y, precision) = VDA.StrongConstraint(m, RungeKutta4(), h, 1, growth, 10, 1e-9, b, B⁻¹, fill(0.1, D), y, precision, starts)
    p = of(6, y, precision)
    e = VDA.evaluator(m, T)
    for first in 1:VDA.width(e):W
        slots = placed!(e, p, W, first)
        VDA.evaluate!(e, p, slots)
        for s in slots
            w = VDA.window_of(s.job, p)
            for (q, steps) in ((s.found, s.stop), (s.ahead, s.reach))
                steps > s.stop || q === s.found || continue
                short = copy(precision)
                short[:, steps+1:end, :] .= 0
                alone = VDA.evaluator(m, T)
                only = placed!(alone, of(0, y, short), w, w)
                VDA.evaluate!(alone, of(0, y, short), only)
                @test (q.J, q.g, q.H) == (only[1].found.J, only[1].found.g, only[1].found.H)
            end
            w == 3 && @test s.stop == 0 && s.reach > 9
            w == 4 && @test s.stop == s.reach == 0
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
