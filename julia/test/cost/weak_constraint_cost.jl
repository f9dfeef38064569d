# The cost against the formula of the paper, its gradient against differences.

include("../shared/problems.jl")

@testset "cost, $(nameof(typeof(scheme))), $(name(m))" for scheme in SCHEMES, m in MODELS
    x, y, mask = noisy_problem(MersenneTwister(8), m, 7, 9)
    h = usual_step(m)
    terms, gradient = cost_of(x, y, mask, scheme, m, h, 0.3, 2.0)
    for w in axes(x, 3)
        @test collect(paper_cost(x[:, :, w], y[:, :, w], mask[:, :, w], scheme, m, h, 0.3, 2.0)) ≈ terms[1:2, w] rtol = 1e-13
        @test terms[3, w] ≈ sum(abs2, gradient[:, :, w]) rtol = 1e-13
    end
end

# ‖U(x + εδ) - U(x) - ε ⟨∇U, δ⟩‖ falls by 4 with each halving of ε, along any direction. From ε = 1:
# the cost is nearly quadratic, and six halvings stay far above its rounding.
@testset "Taylor test, $(nameof(typeof(scheme))), $(name(m))" for scheme in SCHEMES, m in MODELS
    rng = MersenneTwister(9)
    x, y, mask = noisy_problem(rng, m, 10, 3)
    U(x) = total(first(cost_of(x, y, mask, scheme, m, usual_step(m))))
    gradient = last(cost_of(x, y, mask, scheme, m, usual_step(m)))
    for δ in (randn(rng, size(x)), randn(rng, size(x)), gradient * sqrt(length(x)) / norm(gradient))
        slope = dot(gradient, δ)
        remainder = [abs(U(x + ε * δ) - U(x) - ε * slope) for ε in 2.0 .^ -(3:9)]
        orders = log2.(remainder[1:6] ./ remainder[2:7])
        @test all(o -> abs(o - 2) < 0.15, orders)
        @test abs(last(orders) - 2) < 0.02
    end
end

@testset "gradient is the central difference, $(nameof(typeof(scheme))), $(name(m))" for scheme in SCHEMES, m in MODELS
    rng = MersenneTwister(10)
    x, y, mask = noisy_problem(rng, m, 6, 2)
    U(x) = total(first(cost_of(x, y, mask, scheme, m, usual_step(m))))
    gradient = last(cost_of(x, y, mask, scheme, m, usual_step(m)))
    for _ in 1:3
        δ = randn(rng, size(x))
        central(ε) = (U(x + ε * δ) - U(x - ε * δ)) / 2ε
        difference = (4 * central(1e-3) - central(2e-3)) / 3
        @test abs(dot(gradient, δ) - difference) <= 1e-9 * norm(gradient) * norm(δ)
    end
end

@testset "a window knows nothing of its neighbours, $S, $(name(m))" for S in (Float64, Float32), m in PAPER
    x, y, mask = noisy_problem(MersenneTwister(11), m, 6, 35, S)
    h = usual_step(m)
    terms, gradient = cost_of(x, y, mask, RungeKutta4(), m, h)
    for windows in (1:1, 5:5, 35:35, 4:20, [35, 1, 17])
        alone = cost_of(x[:, :, windows], y[:, :, windows], mask[:, :, windows], RungeKutta4(), m, h)
        @test alone[1] == terms[:, windows]
        @test alone[2] == gradient[:, :, windows]
    end
end

@testset "what the mask means" begin
    m = PAPER[1]
    x, y, _ = noisy_problem(MersenneTwister(12), m, 5, 4)
    mask = zeros(size(x))
    mask[1, 2, 2] = 1.0             # window 2: one datum
    mask[1, 2, 3] = 4.0             # window 3: the same, four times as sure
    mask[:, :, 4] .= 1.0            # window 4: everything
    x[:, :, 3], y[:, :, 3] = x[:, :, 2], y[:, :, 2]
    terms, gradient = cost_of(x, y, mask, RungeKutta4(), m, 0.01, 0.7, 1.0)
    @test terms[1, 1] == 0
    @test terms[1, 2] ≈ 0.7 * (x[1, 2, 2] - y[1, 2, 2])^2
    @test terms[1, 3] ≈ 4 * terms[1, 2]
    @test terms[1, 4] ≈ 0.7 * sum(abs2, x[:, :, 4] - y[:, :, 4]) / 15
    @test all(isfinite, gradient)

    # What stands where nothing was observed has no say.
    other = y .+ (mask .== 0) .* 1e3
    @test cost_of(x, other, mask, RungeKutta4(), m, 0.01, 0.7, 1.0) == (terms, gradient)
end

@testset "either weight may be zero; a trajectory has no residual" begin
    m = PAPER[2]
    x, y, mask = noisy_problem(MersenneTwister(13), m, 6, 1)
    for t in 1:5
        x[:, t+1, 1] = linearised(RungeKutta4(), m, x[:, t, 1], x[:, t, 1], 0.05, FORECAST)
    end
    terms, gradient = cost_of(x, y, mask, RungeKutta4(), m, 0.05, 1.0, 1.0)
    @test terms[2, 1] < 1e-25
    @test gradient ≈ 2 .* mask .* (x .- y) ./ count(!iszero, mask)
    terms, gradient = cost_of(x, y, mask, RungeKutta4(), m, 0.05, 0.0, 1.0)
    @test terms[1, 1] == 0 && norm(gradient) < 1e-12
end

@testset "the shortest window, and costs without gradients" begin
    m = PAPER[1]
    x, y, mask = noisy_problem(MersenneTwister(14), m, 2, 3)
    terms, _ = cost_of(x, y, mask, Euler(), m, 0.01)
    for w in 1:3
        @test sum(paper_cost(x[:, :, w], y[:, :, w], mask[:, :, w], Euler(), m, 0.01, 0.01, 1.0)) ≈ sum(terms[1:2, w])
    end
    only_terms = similar(terms)
    cost_gradient!(only_terms, nothing, x, y, mask, Euler(), m, 0.01, 0.01, 1.0)
    @test only_terms == terms
end

@testset "Float32 is Float64 rounded, $(name(m))" for m in PAPER
    x, y, mask = noisy_problem(MersenneTwister(15), m, 20, 3)
    terms, gradient = cost_of(x, y, mask, RungeKutta4(), m, usual_step(m))
    terms32, gradient32 = cost_of(Float32.(x), Float32.(y), Float32.(mask), RungeKutta4(), m, usual_step(m))
    @test eltype(gradient32) === Float32
    @test terms32 ≈ terms rtol = 1e-5
    @test norm(gradient32 - gradient) <= 1e-5 * norm(gradient)
end
