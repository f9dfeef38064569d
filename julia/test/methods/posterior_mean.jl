# The posterior mean from a library: its sums against plain loops, its two stages against a Gaussian
# posterior that is known in closed form.

include("../shared/problems.jl")
include("../shared/linear.jl")
include("../shared/kalman.jl")

function sparse_data(rng, D, T, windows)
    y = randn(rng, D, T, windows)
    precision = (rand(rng, D, T, windows) .< 0.4) .* (0.5 .+ rand(rng, D, T, windows))
    return y, precision
end

@testset "moments are those of the weighted members, signs $signs" for signs in ([1.0, 1.0, 1.0], [-1.0, -1.0, 1.0])
    (T, lead, each, windows) = (10, 3, 21, 4)
    rng = MersenneTwister(61)
    l = VDA.Library(randn(rng, 3, lead + 4 * (each - 1) + T, 3), lead, signs)
    y, precision = sparse_data(rng, 3, T, windows)
    precision[:, :, 4] .*= 100                   # the others than the best have less weight than is summed
    mean, stdev, info = zero(y), zero(y), zeros(3, windows)
    VDA.posterior_mean!(mean, stdev, info, y, precision, l, zeros(3, 0), RungeKutta4(), PAPER[1], 0.01, 1.0, zeros(3))
    x = [s .* l.states[:, lead + 4j .+ (1:T), q] for s in unique([ones(3), signs]) for q in 1:3 for j in 0:each-1]
    for w in 1:windows
        J = [sum(precision[:, :, w] .* (y[:, :, w] - states) .^ 2) / 2 for states in x]
        v = exp.(minimum(J) .- J) / sum(exp.(minimum(J) .- J))
        expected = sum(v .* x)
        @test mean[:, :, w] ≈ expected rtol = 1e-9
        @test stdev[:, :, w] ≈ sqrt.(sum(v .* [(states - expected) .^ 2 for states in x])) rtol = 1e-6 atol = 1e-4 * (w == 4)
        @test info[:, w] ≈ [1 / sum(v .^ 2), minimum(J), 0] rtol = 1e-9
    end
end

"Members whose states `lead` steps before the window are normal, one a trajectory."
function gaussian_library(m, x̄, B, lead, T, count, h)
    M = step_matrix(m, h)
    x = x̄ .+ cholesky(B).L * randn(MersenneTwister(63), 2, count)
    states = zeros(2, lead + T, count)
    for t in 1:lead+T
        states[:, t, :] .= x
        x = M * x
    end
    return VDA.Library(states, lead, [1.0, 1.0])
end

@testset "tends to the Gaussian posterior, stage $stage" for stage in (1, 2)
    (m, h, T, lead) = (Rotation(2.0, 0.3), 0.1, 9, 4)
    (x̄, B, spread) = ([1.0, -0.5], [1.0 0.3; 0.3 0.8], [0.9, 0.7])
    l = gaussian_library(m, x̄, B, lead, T, 20_000, h)
    y, precision = sparse_data(MersenneTwister(64), 2, T, 3)
    precision[:, :, 2:3] .= 0
    precision[1, 4, 2] = 2.0                    # one datum, then none
    noise = stage == 1 ? zeros(2, 0) : randn(MersenneTwister(65), 2, 40_000)
    mean, stdev, info = zeros(2, T, 3), zeros(2, T, 3), zeros(3, 3)
    VDA.posterior_mean!(mean, stdev, info, y, precision, l, noise, RungeKutta4(), m, h, 1e9, spread)
    M = step_matrix(m, h)
    prior = M^lead * (stage == 1 ? B : B + Diagonal(spread .^ 2)) * (M^lead)'
    for w in 1:3
        expected, σ = kalman_smoother(M, M^lead * x̄, prior, y[:, :, w], precision[:, :, w], 0)
        error = 5 / sqrt(info[1, w])            # five standard errors, and those of the library
        @test maximum(abs.(mean[:, :, w] - expected) ./ σ) < error + (stage == 2) * 0.03
        @test maximum(abs.(stdev[:, :, w] ./ σ .- 1)) < error + (stage == 2) * 0.03
        @test info[3, w] == size(noise, 2)
    end
    @test info[1, 3] ≈ (stage == 1 ? 20_000 : 40_000) rtol = 1e-6      # without data all weigh the same
    @test info[2, 3] == 0
end

@testset "Lorenz-63: the truth in the library is found, mirrored too" begin
    m = PAPER[1]
    T, lead = 30, 5
    states = zeros(3, lead + 4 * 199 + T, 4)
    simulate!(states, randn(MersenneTwister(66), 3, 4) .* 8 .+ [0, 0, 25], m, 0.01, 30.0, 1e-9, 1e-9)
    l = VDA.Library(states, lead, [-1.0, -1.0, 1.0])
    truth = cat(states[:, lead+401:lead+400+T, 2], [-1, -1, 1] .* states[:, lead+41:lead+40+T, 3], dims = 3)
    precision = zero(truth)
    precision[1:2, 1:4:end, :] .= 1e4
    mean, stdev, info = zero(truth), zero(truth), zeros(3, 2)
    VDA.posterior_mean!(mean, stdev, info, truth, precision, l, zeros(3, 0), RungeKutta4(), m, 0.01, 1.0, zeros(3))
    @test mean ≈ truth rtol = 1e-9
    @test maximum(stdev) < 1e-5
    @test info[1, :] ≈ [1, 1] rtol = 1e-6
    starts = zeros(3, 3, 2)
    precision .*= 1e-6                           # so that others are not hopeless
    VDA.best_starts!(starts, truth, precision, l, fill(1.0, 3))
    @test starts[:, 1, 1] == states[:, 401, 2]
    @test starts[:, 1, 2] == [-1, -1, 1] .* states[:, 41, 3]
    for w in 1:2, k in 2:3, j in 1:k-1
        @test maximum(abs, starts[:, k, w] - starts[:, j, w]) >= 1
    end
    VDA.best_starts!(starts, truth, precision, l, fill(1e3, 3))
    @test starts[:, 2, 1] == starts[:, 1, 1] && all(isfinite, starts)      # repeated
end

# Float32 holds no square of 1e20 and no precision of 1e40; what overflows may be NaN as well (0 × Inf).
@testset "absurd data: NaN, no second stage, and the other windows as before" begin
    m = PAPER[1]
    (T, lead) = (12, 3)
    states = zeros(3, lead + 4 * 49 + T, 2)
    simulate!(states, randn(MersenneTwister(67), 3, 2) .* 8 .+ [0, 0, 25], m, 0.01, 30.0, 1e-9, 1e-9)
    noise = randn(MersenneTwister(68), 3, 64)
    function posterior(l, y, precision)
        mean, stdev, info = zero(y), zero(y), zeros(3, size(y, 3))
        VDA.posterior_mean!(mean, stdev, info, y, precision, l, noise, RungeKutta4(), m, 0.01, 1e9, fill(0.1, 3))
        starts = fill(NaN, 3, 2, size(y, 3))
        VDA.best_starts!(starts, y, precision, l, fill(0.1, 3))
        return mean, stdev, info, starts
    end
    for l in (VDA.Library(states, lead, ones(3)), VDA.Library(states, lead, [-1.0, -1.0, 1.0]))
        y, precision = sparse_data(MersenneTwister(69), 3, T, 5)
        precision[1, 2, :] .= 0.5
        mean, stdev, info, starts = posterior(l, y, precision)
        wild, sure = copy(y), copy(precision)
        wild[1, 2, 1] = 1e20
        wild[1, 2, 2] = -1e300
        sure[:, :, 3] .*= 1e40
        sure[1, 2, 4] = 1e300
        found = posterior(l, wild, sure)
        @test all(isnan, found[1][:, :, 1:4]) && all(isnan, found[2][:, :, 1:4])
        @test all(isnan, found[3][1:2, 1:4]) && all(found[3][3, :] .== [0, 0, 0, 0, 64])
        @test found[1][:, :, 5] == mean[:, :, 5] && found[2][:, :, 5] == stdev[:, :, 5]
        @test found[3][:, 5] == info[:, 5] && found[4][:, :, 5] == starts[:, :, 5]
        @test all(isfinite, found[4])
    end
end

# A Gaussian posterior again: the least J of all trajectories is known, and no draw can have less.
@testset "the least J is that of a trajectory" begin
    (m, h, T, lead) = (Rotation(2.0, 0.3), 0.1, 9, 4)
    l = gaussian_library(m, [1.0, -0.5], [1.0 0.3; 0.3 0.8], lead, T, 2_000, h)
    y, precision = sparse_data(MersenneTwister(70), 2, T, 6)
    y .*= 4                                     # so that the members' J differ by much
    noise = randn(MersenneTwister(71), 2, 800)
    mean, stdev, info = zeros(2, T, 6), zeros(2, T, 6), zeros(3, 6)
    VDA.posterior_mean!(mean, stdev, info, y, precision, l, noise, RungeKutta4(), m, h, 1e9, [2.0, 2.0])
    M = step_matrix(m, h)
    for w in 1:6
        A = vcat([Diagonal(sqrt.(precision[:, t, w])) * M^(t - 1) for t in 1:T]...)
        b = vcat([sqrt.(precision[:, t, w]) .* y[:, t, w] for t in 1:T]...)
        least = sum(abs2, b - A * (A \ b)) / 2
        @test least * (1 - 1e-6) <= info[2, w] < 2 * least + 10
    end
end
