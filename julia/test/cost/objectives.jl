# J and its gradient at given controls, of every window: the cost written out, and its finite differences.

include("../shared/problems.jl")
include("../shared/plain_costs.jl")

"The derivative of f at x in every component, by central differences."
slopes(f, x, ε) = [(f(x + ε .* (eachindex(x) .== i)) - f(x - ε .* (eachindex(x) .== i))) / 2ε for i in eachindex(x)]

@testset "of the strong constraint, $(name(m))" for m in (PAPER[1], Lorenz96(8.0, 5))
    rng = MersenneTwister(41)
    (D, T, W, h, lead) = (length(m), 9, 10, usual_step(m), 2)
    (y, precision) = (3 .* randn(rng, D, T, W), Float64.(rand(rng, D, T, W) .< 0.3))
    (b, E) = (randn(rng, D), randn(rng, D, D))
    B⁻¹ = E * E' + I
    controls = 3 .* randn(rng, D, 1, W)
    p = VDA.StrongConstraint(m, RungeKutta4(), h, lead, 0, 0, 0.0, b, B⁻¹, ones(D), y, precision, controls)
    (J, gradient) = (zeros(W), zeros(D, W))
    VDA.strong_objective!(J, gradient, p)
    for w in (1, 2, W)
        plain(x) = plain_cost(m, h, y[:, :, w], precision[:, :, w], b, B⁻¹, lead, x)
        @test J[w] ≈ plain(controls[:, 1, w]) rtol = 1e-12
        @test gradient[:, w] ≈ slopes(plain, controls[:, 1, w], 1e-4) rtol = 1e-6
    end
end

@testset "of multiple shooting, $(name(m))" for m in (PAPER[1], Lorenz96(8.0, 5))
    rng = MersenneTwister(42)
    (D, T, W, h, every, weight) = (length(m), 7, 10, usual_step(m), 3, 2.0)
    x, y, mask = noisy_problem(rng, m, T, W)
    (b, E) = (randn(rng, D, W), randn(rng, D, D))
    B⁻¹ = E * E' + I
    cost = VDA.ShootingCost(every, 1, h, B⁻¹)
    (J, again, gradient) = (zeros(W), zeros(W), zeros(D, 3, W))
    VDA.shooting_objective!(J, gradient, x, y, mask, b, RungeKutta4(), m, cost, weight)
    VDA.shooting_objective!(again, nothing, x, y, mask, b, RungeKutta4(), m, cost, weight)
    @test again ≈ J rtol = 1e-13
    for w in (1, 2, W)
        function plain(nodes)
            nodes = reshape(nodes, D, 3)
            state = nodes[:, 1]
            total = dot(state - b[:, w], B⁻¹ * (state - b[:, w]))
            for t in 1:T
                t > 1 && (state = paper_step(RungeKutta4(), m, state, h))
                if t in (4, 7)
                    total += weight * sum(abs2, nodes[:, (t-1)÷3+1] - state)
                    state = nodes[:, (t-1)÷3+1]
                end
                total += sum(mask[:, t, w] .* (state - y[:, t, w]) .^ 2)
            end
            return total / 2
        end
        nodes = vec(x[:, [1, 4, 7], w])
        @test J[w] ≈ plain(nodes) rtol = 1e-12
        @test vec(gradient[:, :, w]) ≈ slopes(plain, nodes, 1e-4) rtol = 1e-6
    end
end
