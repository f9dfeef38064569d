# Fixed-step gradient descent: its steps, its pieces, its memory.

include("../shared/problems.jl")
using VDA: Lanes, WindowBlock, iterate!, retype

# Near the largest stable step, in units of the number of residuals.
stable_step(x) = 0.15 * (size(x, 2) - 1) * size(x, 1)

function descended(x, y, mask, scheme, m, iterations; α = stable_step(x))
    return descend!(copy(x), y, mask, scheme, m, usual_step(m), 0.01, 1.0, α, iterations)
end

@testset "x - α ∂U/∂x, $(nameof(typeof(scheme))), $(name(m))" for scheme in SCHEMES, m in MODELS
    x, y, mask = noisy_problem(MersenneTwister(16), m, 8, 3)
    α = stable_step(x)
    expected = copy(x)
    for _ in 1:3
        expected -= α * last(cost_of(expected, y, mask, scheme, m, usual_step(m)))
    end
    @test descended(x, y, mask, scheme, m, 3) ≈ expected rtol = 1e-12
    @test descended(x, y, mask, scheme, m, 0) == x
end

@testset "U falls, $(name(m))" for m in PAPER
    x, y, mask = noisy_problem(MersenneTwister(17), m, 20, 9)
    U(x) = vec(sum(first(cost_of(x, y, mask, RungeKutta4(), m, usual_step(m)))[1:2, :], dims = 1))
    costs = [U(descended(x, y, mask, RungeKutta4(), m, n)) for n in (0, 20, 40, 80)]
    @test all(all(costs[i+1] .< costs[i]) for i in 1:3)
end

@testset "pieces give the bits of the whole, $S, $(name(m))" for S in (Float64, Float32), m in PAPER
    x, y, mask = noisy_problem(MersenneTwister(18), m, 10, 19, S)
    whole = descended(x, y, mask, RungeKutta4(), m, 30)
    pieces = x
    for n in (1, 0, 12, 17)
        pieces = descended(pieces, y, mask, RungeKutta4(), m, n)
    end
    @test pieces == whole
    @test descended(x[:, :, 8:9], y[:, :, 8:9], mask[:, :, 8:9], RungeKutta4(), m, 30) == whole[:, :, 8:9]
end

@testset "a window that overflows leaves the others alone, $(name(m))" for m in PAPER
    x, y, mask = noisy_problem(MersenneTwister(19), m, 6, 8)
    calm = descended(x, y, mask, RungeKutta4(), m, 5)
    x[:, :, 3] .*= 1e200
    wild = descended(x, y, mask, RungeKutta4(), m, 5)
    others = [1:2; 4:8]
    @test !all(isfinite, wild[:, :, 3])
    @test wild[:, :, others] == calm[:, :, others]
end

# The types are parameters, so that what is counted is the iteration and not its inference.
function allocated(::Type{N}, ::Type{S}, scheme, m, n) where {N,S}
    x, y, mask = noisy_problem(MersenneTwister(20), m, 6, VDA.lanes(N), S)
    block = WindowBlock{N}(x, y, mask, axes(x, 3))
    ws, mₛ, h, γ = VDA.sweep_workspace(N, m), retype(S, m), S(usual_step(m)), S(1e-3)
    iterate!(block, ws, scheme, mₛ, h, γ, γ, 1)
    return @allocated iterate!(block, ws, scheme, mₛ, h, γ, γ, n)
end

@testset "an iteration allocates nothing, $(nameof(typeof(scheme))), $(name(m))" for scheme in SCHEMES, m in PAPER
    @test allocated(Lanes{8,Float64}, Float64, scheme, m, 10) == 0
    @test allocated(Lanes{16,Float32}, Float32, scheme, m, 10) == 0
end
