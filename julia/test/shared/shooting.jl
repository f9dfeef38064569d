# What the tests of both forms of multiple shooting share: the cost written out, and calls that count allocations.

include("problems.jl")

# Nodes every 3rd step, observations between them, a background: the cost written out, differentiated
# by differences in random directions.
function expect_gradient_of_the_cost(m, form)
    rng = MersenneTwister(63)
    D, T, h, R = length(m), 11, usual_step(m), 2.0
    weight = 2.0
    x, y, mask = noisy_problem(rng, m, T, 1)
    b = randn(rng, D, 1)
    G = randn(rng, D, D)
    P = G * G' + I
    if form == "matrix"
        E = randn(rng, D, D)
        weight = E * E' + I
    end
    function J(nodes)
        total = dot(nodes[:, 1] - b[:, 1], P * (nodes[:, 1] - b[:, 1]))
        state = nodes[:, 1]
        for t in 1:T
            if t > 1
                state = paper_step(RungeKutta4(), m, paper_step(RungeKutta4(), m, state, h / 2), h / 2)
                if (t - 1) % 3 == 0
                    node = nodes[:, (t-1)÷3+1]
                    total += dot(node - state, weight * (node - state))
                    state = node
                end
            end
            total += sum(mask[:, t, 1] .* (state - y[:, t, 1]) .^ 2) / R
        end
        return total / 2
    end
    N = m isa VDA.SmallModel ? VDA.lanes_for(Float64) : Float64
    block = VDA.gather!(VDA.WindowBlock{N}(D, T), x, y, mask, 1:1)
    VDA.reweigh!(block, mask, nothing, [R], 1:1)
    s = VDA.shooting(block, VDA.in_lanes(N, b, 1:1), VDA.ShootingCost(3, 2, h / 2, P), m)
    cost = VDA.lane(VDA.linearise!(s, RungeKutta4(), m, weight), 1)
    nodes = x[:, 1:3:T, 1]
    @test cost ≈ J(nodes) rtol = 1e-12
    @test VDA.lane(VDA.cost_at(s, s.x, RungeKutta4(), m, weight), 1) ≈ cost rtol = 1e-12
    gradient = VDA.scalars(s.gradient)[1, :, :]
    for _ in 1:3
        δ = randn(rng, size(nodes))
        central(ε) = (J(nodes + ε * δ) - J(nodes - ε * δ)) / 2ε
        @test dot(gradient, δ) ≈ (4 * central(1e-3) - central(2e-3)) / 3 rtol = 1e-8 atol = 1e-8 * norm(gradient)
    end
end

# In functions, where nothing is boxed for the call itself.
allocated_by_linearise(s, m, w) = @allocated VDA.linearise!(s, RungeKutta4(), m, w)
allocated_by_step(s, damping) = @allocated VDA.newton_step!(s, damping)
allocated_by_cost(s, m, w) = @allocated VDA.cost_at(s, s.trial, RungeKutta4(), m, w)

function expect_no_allocation(m)
    x, y, mask = noisy_problem(MersenneTwister(66), m, 99, 1)
    N = m isa VDA.SmallModel ? VDA.lanes_for(Float64) : Float64
    D = length(m)
    block = VDA.gather!(VDA.WindowBlock{N}(D, 99), x, y, mask, 1:1)
    s = VDA.shooting(block, zeros(N, D), VDA.ShootingCost(2, 1, usual_step(m), zeros(D, D)), m)
    calls() = (allocated_by_linearise(s, m, 1.0), allocated_by_step(s, N(0.1)), allocated_by_cost(s, m, 1.0))
    calls()
    @test calls() == (0, 0, 0)
end
