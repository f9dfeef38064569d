# Observations at arbitrary times: the cost against a formula, its derivatives against differences.

include("../shared/problems.jl")
using VDA: Points

"Data at random times of random combinations of the state; some have weight 0, and are none."
function random_points(rng, m, T, windows, ::Type{S} = Float64; count = 4) where {S}
    step = rand(rng, 0:T-1, count, windows)
    weight = (0.5 .+ rand(rng, count, windows)) .* (rand(rng, count, windows) .< 0.8)
    return Points{S}(step, rand(rng, count, windows), 5 .* randn(rng, count, windows), weight,
                     randn(rng, length(m), count, windows))
end

function cost_with(points, x, y, mask, scheme, m, h, λ₁ = 0.3, λ₂ = 2.0)
    (terms, gradient) = (zeros(3, size(x, 3)), similar(x))
    VDA.cost_gradient!(terms, gradient, x, y, mask, scheme, m, h, λ₁, λ₂, points)
    return terms, gradient
end

"λ₁ times the mean over all data of weighted squares, as it reads."
function paper_misfit(points, x, y, mask, w, scheme, m, h, λ₁)
    squares = [mask[i, t, w] * (x[i, t, w] - y[i, t, w])^2
               for t in axes(x, 2), i in axes(x, 1) if mask[i, t, w] != 0]
    for k in axes(points.step, 1)
        points.weight[k, w] == 0 && continue
        there = paper_step(scheme, m, x[:, points.step[k, w]+1, w], points.fraction[k, w] * h)
        push!(squares, points.weight[k, w] * (dot(points.operator[:, k, w], there) - points.y[k, w])^2)
    end
    return λ₁ * sum(squares) / length(squares)
end

@testset "cost, $(nameof(typeof(scheme))), $(name(m))" for scheme in SCHEMES, m in MODELS
    rng = MersenneTwister(20)
    x, y, mask = noisy_problem(rng, m, 7, 43)       # several blocks for each thread
    points = random_points(rng, m, 7, 43)
    h = usual_step(m)
    terms, gradient = cost_with(points, x, y, mask, scheme, m, h)
    for w in axes(x, 3)
        @test terms[1, w] ≈ paper_misfit(points, x, y, mask, w, scheme, m, h, 0.3) rtol = 1e-12
        @test terms[2, w] ≈ last(paper_cost(x[:, :, w], y[:, :, w], mask[:, :, w], scheme, m, h, 0.3, 2.0)) rtol = 1e-12
        @test terms[3, w] ≈ sum(abs2, gradient[:, :, w]) rtol = 1e-12
    end
    @test cost_with(nothing, x, y, mask, scheme, m, h)[2] != gradient
end

@testset "gradient is the central difference, $(nameof(typeof(scheme))), $(name(m))" for scheme in SCHEMES, m in MODELS
    rng = MersenneTwister(21)
    x, y, mask = noisy_problem(rng, m, 6, 2)
    points = random_points(rng, m, 6, 2; count = 9)
    U(x) = sum(first(cost_with(points, x, y, mask, scheme, m, usual_step(m)))[1:2, :])
    gradient = last(cost_with(points, x, y, mask, scheme, m, usual_step(m)))
    for _ in 1:3
        δ = randn(rng, size(x))
        central(ε) = (U(x + ε * δ) - U(x - ε * δ)) / 2ε
        difference = (4 * central(1e-3) - central(2e-3)) / 3
        @test abs(dot(gradient, δ) - difference) <= 1e-8 * norm(gradient) * norm(δ)
    end
end

@testset "rows by their entries are those in full, $(name(m))" for m in MODELS
    rng = MersenneTwister(27)
    (D, count, windows) = (length(m), 6, 19)
    x, y, mask = noisy_problem(rng, m, 7, windows)
    index = [j == 1 ? rand(rng, 0:1) : rand(rng, 2:D-1) for j in 1:2, _ in 1:count, _ in 1:windows]
    rows = VDA.SparseRows(index, randn(rng, 2, count, windows), D)
    operator = zeros(D, count, windows)
    for w in 1:windows, k in 1:count, j in 1:2
        operator[index[j, k, w]+1, k, w] += rows.coefficient[j, k, w]
    end
    θ = rand(rng, count, windows)
    θ[1:3, :] .= 0      # at a step
    times = (rand(rng, 0:6, count, windows), θ, randn(rng, count, windows), rand(rng, count, windows))
    sparse = Points(times..., rows, m isa VDA.SmallModel)
    full = Points(times..., operator)
    @test sparse.operator[:, 2, 3] == full.operator[:, 2, 3] == operator[:, 2, 3]
    for scheme in SCHEMES
        (found, expected) = (cost_with(p, x, y, mask, scheme, m, usual_step(m)) for p in (sparse, full))
        @test found[1] ≈ expected[1] rtol = 1e-13
        @test found[2] ≈ expected[2] rtol = 1e-13
        seen = [VDA.observed!(zeros(count, windows), x, p, scheme, m, usual_step(m)) for p in (sparse, full)]
        @test seen[1] ≈ seen[2] rtol = 1e-13
    end
    block = VDA.make_room!(VDA.PointBlock{VDA.numbers_for(Float64, m)}(7), sparse, 1:windows)
    @test isempty(block.operator) == !(m isa VDA.SmallModel)
end

@testset "a block takes windows of more data and of fewer, $N" for N in (Float64, VDA.lanes_for(Float64))
    all = random_points(MersenneTwister(26), Lorenz63(10.0, 28.0, 8 / 3), 7, 6; count = 12)
    all.weight[1:8, 2] .= 0
    all.weight[:, 4] .= 0
    block = VDA.PointBlock{N}(7)
    for w in (1, 2, 3, 4, 5)
        VDA.make_room!(block, all, w:w)
        VDA.place_points!(block, 1, all, w, 1:7)
        seen = findall(!iszero, all.weight[:, w])
        @test length(block.y) == length(seen) == block.first[end] - 1
        first_lane(v) = [VDA.lane(x, 1) for x in v]
        for (found, given) in ((block.y, all.y), (block.c, all.weight), (block.fraction, all.fraction))
            @test sort(first_lane(found)) == sort(given[seen, w])
        end
    end
    (D, w) = (3, 6)     # a lane that held another window holds this one alone
    fill!(all.weight, 1)
    VDA.make_room!(block, all, 5:6)
    for window in (5, 6)
        view(VDA.scalars(view(block.c, :)), 1, :) .= 0
        VDA.place_points!(block, 1, all, window, 1:7)
    end
    rows = reshape([VDA.lane(x, 1) for x in block.operator], D, :)
    held = findall(k -> VDA.lane(block.c[k], 1) > 0, eachindex(block.c))
    @test sort(collect(eachcol(rows[:, held]))) == sort([all.operator[:, k, w] for k in axes(all.step, 1)])
end

@testset "a datum at a step is a datum of the mask, $S, $(name(m))" for S in (Float64, Float32), m in PAPER
    rng = MersenneTwister(22)
    x, y, mask = noisy_problem(rng, m, 6, 19, S)
    moved = copy(mask)
    moved[2, 4, :] .= 0
    step = fill(3, 1, 19)
    operator = zeros(S, length(m), 1, 19)
    operator[2, 1, :] .= 1
    points = Points{S}(step, zeros(S, 1, 19), y[2:2, 4, :], mask[2:2, 4, :], operator)
    whole = VDA.descend!(copy(x), y, mask, RungeKutta4(), m, usual_step(m), 1.0, 1.0, 1.0, 3)
    parts = VDA.descend!(copy(x), y, moved, RungeKutta4(), m, usual_step(m), 1.0, 1.0, 1.0, 3, points)
    @test parts ≈ whole rtol = 100 * eps(S)
end

# J of cost/shooting.jl over nodes: with a node at every step and no background it is U; its Hessian must
# send the true step to first order where the residuals vanish.
"J, its gradient and its Hessian as `(state, node)` arrays and blocks, of one window."
function linearised_cost(points, x, y, mask, m, every, w)
    N = VDA.numbers_of(m)
    (D, T, _) = size(x)
    block = VDA.gather!(VDA.WindowBlock{N}(D, T), x, y, mask, 1:1, points)
    VDA.reweigh!(block, mask, points, ones(1), 1:1)
    cost = VDA.ShootingCost(every, 2, usual_step(m) / 2, Matrix(1.0I, D, D))
    s = VDA.shooting(block, zeros(N, D), cost, m)
    J = VDA.linearise!(s, RungeKutta4(), m, w)
    at(x) = (v = copy(s.x); VDA.scalars(v)[1, :, :] .= x; VDA.lane(VDA.cost_at(s, v, RungeKutta4(), m, w), 1))
    return VDA.lane(J, 1), VDA.scalars(s.gradient)[1, :, :], at, VDA.scalars(s.x)[1, :, :]
end

@testset "gradient over nodes, every $every, $(name(m))" for m in MODELS, every in (1, 3)
    rng = MersenneTwister(23)
    x, y, mask = noisy_problem(rng, m, 10, 1)
    points = random_points(rng, m, 10, 1; count = 7)
    J, g, at, nodes = linearised_cost(points, x, y, mask, m, every, 3.0)
    @test J ≈ at(nodes) rtol = 1e-13
    @test J != linearised_cost(nothing, x, y, mask, m, every, 3.0)[1]
    for _ in 1:3
        δ = randn(rng, size(nodes))
        central(ε) = (at(nodes + ε * δ) - at(nodes - ε * δ)) / 2ε
        difference = (4 * central(1e-3) - central(2e-3)) / 3
        @test abs(dot(g, δ) - difference) <= 1e-8 * norm(g) * norm(δ)
    end
end

@testset "observed at random times, the truth is found, $(name(m))" for m in PAPER
    rng = MersenneTwister(24)
    (D, T, h) = (length(m), 13, usual_step(m))
    truth = zeros(D, T, 2)
    truth[:, 1, :] .= 3 .* randn(rng, D, 2)
    for w in 1:2, t in 2:T
        truth[:, t, w] = paper_step(RungeKutta4(), m, truth[:, t-1, w], h)
    end
    K = 4D
    random = random_points(rng, m, T - 1, 2; count = K)
    for w in 1:2, k in 1:K
        there = paper_step(RungeKutta4(), m, truth[:, random.step[k, w]+1, w], random.fraction[k, w] * h)
        random.y[k, w] = dot(random.operator[:, k, w], there)
    end
    x = truth .+ 0.1 .* randn(rng, size(truth)...)
    result = zeros(4, 2)
    VDA.weak_constraint!(x, nothing, result, zeros(size(x)), zeros(size(x)), ones(2), zeros(D, 2), RungeKutta4(), m,
                         VDA.ShootingCost(1, 1, h, zeros(D, D)), [1e4], VDA.Stopping(50, 1e-12, 0.0, 0, fill(Inf, 2)), random)
    @test maximum(abs, x - truth) < 1e-6
end

@testset "strong constraint: J, gradient and Hessian with data of its own in each slot, $(name(m))" for m in (PAPER[1], Lorenz96(8.0, 5))
    rng = MersenneTwister(25)
    (D, T, W, h) = (length(m), 9, 8, usual_step(m))
    _, y, precision = noisy_problem(rng, m, T, W)
    points = random_points(rng, m, T, W; count = 6)
    (b, B⁻¹) = (zeros(D), Matrix(0.1I, D, D))
    starts = 3 .* randn(rng, D, 1, W)
    p = VDA.StrongConstraint(m, RungeKutta4(), h, 2, 0, 10, 1e-9, b, B⁻¹, fill(0.1, D), y, precision, starts, points)
    function J(x, w)
        total = dot(x, B⁻¹ * x) / 2
        for _ in 1:2
            x = paper_step(RungeKutta4(), m, x, h)
        end
        for t in 1:T
            total += sum(precision[:, t, w] .* (x - y[:, t, w]) .^ 2) / 2
            for k in axes(points.step, 1)
                points.step[k, w] == t - 1 || continue
                there = paper_step(RungeKutta4(), m, x, points.fraction[k, w] * h)
                total += points.weight[k, w] * (dot(points.operator[:, k, w], there) - points.y[k, w])^2 / 2
            end
            x = paper_step(RungeKutta4(), m, x, h)
        end
        return total
    end
    e = VDA.evaluator(m, T, points)
    next = Threads.Atomic{Int}(1)
    for first in 1:VDA.width(e):W
        slots = [VDA.Minimisation(D) for _ in 1:VDA.width(e)]
        for (l, s) in enumerate(slots)
            VDA.take_job!(s, p, next, W)
            VDA.hold!(e, p, l, VDA.window_of(s.job, p))
        end
        VDA.evaluate!(e, p, slots)
        for s in slots
            w = VDA.window_of(s.job, p)
            (g, H) = (s.found.g, s.found.H)
            @test s.found.J ≈ J(starts[:, 1, w], w) rtol = 1e-12
            difference = [(J(starts[:, 1, w] + 1e-5 .* (1:D .== i), w) - J(starts[:, 1, w] - 1e-5 .* (1:D .== i), w)) / 2e-5 for i in 1:D]
            @test g ≈ difference rtol = 1e-6
            @test isposdef(Symmetric(H, :L))
        end
    end
    # Growing the window changes the way, not the place.
    (x, H, info) = (zeros(D, 1, W), zeros(D, D, 1, W), zeros(4, 1, W))
    near = VDA.StrongConstraint(m, RungeKutta4(), h, 2, 3, 50, 1e-12, b, 10 * B⁻¹, fill(0.1, D), y, precision, zeros(D, 1, W), points)
    VDA.strong_constraint!(x, H, info, near)
    for w in 1:W
        info[4, 1, w] == VDA.CONVERGED || continue
        slope = [(J(x[:, 1, w] + 1e-5 .* (1:D .== i), w) - J(x[:, 1, w] - 1e-5 .* (1:D .== i), w)) / 2e-5 for i in 1:D] + 9 * B⁻¹ * x[:, 1, w]
        @test norm(slope) < 1e-3
    end
    @test count(==(VDA.CONVERGED), info[4, 1, :]) >= W ÷ 2       # of noise, not of a trajectory
end
