# Weak-constraint 4D-Var: on linear models the Kalman smoother, on others a vanishing gradient.

include("../shared/problems.jl")
include("../shared/linear.jl")

"Kalman filter and Rauch-Tung-Striebel smoother; the model error q, a number or a matrix, enters where a node begins."
function kalman_smoother(M, b, B, y, mask, R, q, every)
    D, T = size(y)
    forecast, filtered = Vector{Any}(undef, T), Vector{Any}(undef, T)
    x, P = b, B
    for t in 1:T
        if t > 1
            Q = (t - 1) % every == 0 ? q : 0.0
            x, P = M * x, M * P * M' + (Q isa Number ? Q * I : Q)
        end
        forecast[t] = (x, P)
        seen = findall(mask[:, t] .> 0)
        H = Matrix{Float64}(I, D, D)[seen, :]
        noise = Diagonal(R ./ mask[seen, t])
        G = P * H' / (H * P * H' + noise)
        x, P = x + G * (y[seen, t] - H * x), (I - G * H) * P
        filtered[t] = (x, P)
    end
    smoothed = copy(filtered)
    for t in T-1:-1:1
        (x, P), (x⁻, P⁻), (xˢ, Pˢ) = filtered[t], forecast[t+1], smoothed[t+1]
        C = P * M' / P⁻
        smoothed[t] = (x + C * (xˢ - x⁻), P + C * (Pˢ - P⁻) * C')
    end
    return reduce(hcat, first.(smoothed)), last.(smoothed)
end

"Covariance of each node of one window: the diagonal blocks of the inverse Hessian at x, in full."
function node_covariances(x, y, mask, R, b, B⁻¹, m, h, every, w)
    D, T, _ = size(x)
    N = VDA.numbers_of(m)
    block = VDA.gather!(VDA.WindowBlock{N}(D, T), x, y, mask, 1:1)
    VDA.reweigh!(block, mask, nothing, [R], 1:1)
    s = VDA.shooting(block, VDA.in_lanes(N, b, 1:1), VDA.ShootingCost(every, 1, h, B⁻¹), m)
    VDA.linearise!(s, RungeKutta4(), m, w)
    VDA.factorise!(s.blocks, zero(N))
    return diagonal_blocks(s.blocks, D, size(s.x, 2))
end
function diagonal_blocks(A::VDA.LaneBlocks{D,N}, _, K) where {D,N}
    Z = VDA.inverse_diagonal!(zeros(N, D, D, K), A)
    return [VDA.lane.(Z[:, :, k], 1) for k in 1:K]
end
function diagonal_blocks(A::VDA.DenseBlocks, D, K)
    P = 8 * cld(D, 8)
    return [Z[1:D, 1:D] for Z in VDA.inverse_diagonal!([zeros(P, P) for _ in 1:K], A)]
end

"One call with everything in its place; `result` has status, iterations, cost, norm of the gradient."
function solved(x, y, mask, divisor, b, B⁻¹, m, h, every, weights; iterations = 50, tolerance = 1e-10,
                drop = 0.0, stage = 0, limits = fill(Inf, size(x, 3)), scheme = RungeKutta4(), substeps = 1)
    x, stdev, result = copy(x), similar(x), zeros(4, size(x, 3))
    VDA.weak_constraint!(x, stdev, result, y, mask, divisor, b, scheme, m,
                         VDA.ShootingCost(every, substeps, h / substeps, B⁻¹), weights,
                         VDA.Stopping(iterations, tolerance, drop, stage, limits))
    return x, stdev, result
end

@testset "linear: the Kalman smoother, $(name(m)), nodes every $every, Q a $form" for
        m in LINEAR, every in (1, 4), form in ("number", "matrix")
    rng = MersenneTwister(61)
    D, T, W, h, R = length(m), 15, 11, 0.1, 0.3
    q = 0.07
    if form == "matrix"
        E = randn(rng, D, D)
        q = 0.02 .* (E * E' + I)
    end
    weight = inv(q)
    x, y, mask = noisy_problem(rng, m, T, W)
    G = randn(rng, D, D)
    B = G * G' + I
    b = randn(rng, D, W)
    analysis, stdev, result = solved(x, y, mask, fill(R, W), b, inv(B), m, h, every, [weight])
    @test all(result[1, :] .== VDA.CONVERGED) && all(result[2, :] .<= 3)
    for w in 1:W
        mean, covariance = kalman_smoother(step_matrix(m, h), b[:, w], B, y[:, :, w], mask[:, :, w], R, q, every)
        variance = reduce(hcat, diag.(covariance))
        @test norm(analysis[:, :, w] - mean) <= 1e-10 * norm(mean)
        @test norm(stdev[:, :, w] .^ 2 - variance) <= 1e-10 * norm(variance)
        # An analysis file has the standard deviations. They are made of the nodes' covariances, which
        # are compared in full; those between two times are nowhere computed.
        only = (analysis[:, :, w:w], y[:, :, w:w], mask[:, :, w:w])
        found = node_covariances(only..., R, b[:, w:w], inv(B), m, h, every, weight)
        for (P, expected) in zip(found, covariance[1:every:T])
            @test norm(P - expected) <= 1e-10 * norm(expected)
        end
    end
end

# The gradient of cost/weak_constraint_cost.jl, which has tests of its own, at random states and after convergence.
@testset "cost (4): its value, gradient and minimum, $(name(m))" for m in PAPER
    rng = MersenneTwister(62)
    D, T, W, h = length(m), 24, 9, usual_step(m)
    truth = zeros(D, T, W)
    simulate!(truth, 5 .+ randn(rng, D, W), m, h, 5.0, 1e-9, 1e-9)
    mask = (rand(rng, size(truth)...) .< 1 / 3) .* (0.5 .+ rand(rng, size(truth)...))
    y = (truth + randn(rng, size(truth)...)) .* (mask .> 0)
    x = truth + randn(rng, size(truth)...)
    divisor = [count(!iszero, mask[:, :, w]) / 0.02 for w in 1:W]
    weights = [2 / ((T - 1) * D)]
    flat, none = zeros(D, W), zeros(D, D)
    _, _, result = solved(x, y, mask, divisor, flat, none, m, h, 1, weights; iterations = 0)
    terms, gradient = cost_of(x, y, mask, RungeKutta4(), m, h, 0.01, 1.0)
    @test result[3, :] ≈ vec(sum(terms[1:2, :], dims = 1)) rtol = 1e-11
    @test result[4, :] ≈ sqrt.(terms[3, :]) rtol = 1e-9
    analysis, _, result = solved(x, y, mask, divisor, flat, none, m, h, 1, weights; tolerance = 1e-8)
    after, _ = cost_of(analysis, y, mask, RungeKutta4(), m, h, 0.01, 1.0)
    @test all(result[1, :] .== VDA.CONVERGED)
    @test all(sqrt.(after[3, :]) .<= 2e-8 .* sqrt.(terms[3, :]))
    @test all(sum(after[1:2, :], dims = 1) .< sum(terms[1:2, :], dims = 1))
end

@testset "a window that diverges, or has no observation, is no one's concern, $(name(m))" for m in PAPER
    rng = MersenneTwister(64)
    D, T, W, h = length(m), 21, 10, usual_step(m)
    truth = zeros(D, T, W)
    simulate!(truth, 5 .+ randn(rng, D, W), m, h, 5.0, 1e-9, 1e-9)
    mask = zeros(size(truth))
    mask[1:2, 1:4:T, :] .= 1
    y = (truth + randn(rng, size(truth)...)) .* mask
    B⁻¹, b = Matrix{Float64}(I / 50, D, D), zeros(D, W)
    arguments = (fill(1.0, W), b, B⁻¹, m, h, 4, [1.0, 10.0])
    x = y .+ 1.0
    expected, _, result = solved(x, y, mask, arguments...; tolerance = 1e-7)
    @test all(result[1, :] .!= VDA.DIVERGED)
    wild, blind = copy(x), copy(mask)
    wild[1, 1, 3] = 1e200
    blind[:, :, 6] .= 0
    analysis, stdev, result = solved(wild, y, blind, arguments...; tolerance = 1e-7)
    @test result[1, 3] == VDA.DIVERGED
    others = [1, 2, 4, 5, 7, 8, 9, 10]
    @test analysis[:, :, others] == expected[:, :, others]
    @test all(isfinite, stdev[:, :, others])
end

# The squares in the norm overflow before the cost does; an infinite norm is not small beside another.
@testset "a gradient that overflows is no convergence, tolerance $tolerance" for tolerance in (0.0, 1e-8, 1.0)
    p = VDA.Progress(6)
    p.first_norm .= [1e200, Inf, 1.0, Inf, 1.0, 2.0]
    p.norm .= [Inf, Inf, NaN, 1.0, 0.0, 1.0]
    p.active .= true
    VDA.settle!(p, VDA.Stopping(10, tolerance, 0.0, 0, Float64[]))
    @test all(p.status[1:4] .== VDA.DIVERGED) && !any(p.active[1:4])
    @test p.status[5] == VDA.CONVERGED && !p.active[5]
    @test (p.status[6] == VDA.CONVERGED) == (tolerance == 1.0)
    m = PAPER[1]
    x, y, mask = noisy_problem(MersenneTwister(67), m, 17, 2)
    mask[1, 5, 1] = 1
    y[1, 5, 1] = x[1, 5, 1] = 1e20
    _, _, result = solved(x, y, mask, ones(2), zeros(3, 2), Matrix{Float64}(I, 3, 3), m, 0.01, 1, [1.0]; tolerance = tolerance)
    @test result[1, :] == [VDA.DIVERGED, tolerance > 0 ? VDA.CONVERGED : result[1, 2]]
end

@testset "stages: given up, or left when the cost hardly falls" begin
    m = PAPER[1]
    x, y, mask = noisy_problem(MersenneTwister(65), m, 17, 3)
    arguments = (fill(1.0, 3), zeros(3, 3), Matrix{Float64}(I, 3, 3), m, 0.01, 4, [1.0, 2.0, 4.0])
    _, _, long = solved(x, y, mask, arguments...; tolerance = 0.0, drop = 1e-3)
    _, _, short = solved(x, y, mask, arguments...; tolerance = 0.0, drop = 1e9)
    @test all(short[2, :] .== 3) && all(long[2, :] .> 3) && all(long[1, :] .== VDA.CONVERGED)
    # Each window by its own limit: one that its cost just meets, and one that it does not.
    for given_up in 1:3
        limits = long[3, :] .* [w == given_up ? 1 - 1e-9 : 1 + 1e-9 for w in 1:3]
        _, _, result = solved(x, y, mask, arguments...; tolerance = 0.0, drop = 1e-3, stage = 3, limits = limits)
        @test result[1, :] == [w == given_up ? VDA.GIVEN_UP : VDA.CONVERGED for w in 1:3]
    end
end
