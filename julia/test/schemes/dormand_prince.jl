# Simulation against solutions that are known, small Runge-Kutta steps, and itself.

include("../shared/problems.jl")

function simulated(m, start::AbstractMatrix, dt, T; spinup = 0.0, tolerance = 1e-12)
    x = Array{Float64}(undef, length(m), T, size(start, 2))
    diverged = simulate!(x, start, m, dt, spinup, tolerance, tolerance)
    return x, diverged
end

# On its third axis Lorenz-63 is ẋ₃ = -β x₃; on uniform states Lorenz-96 is ẋ = F - x. Uneven output
# times of 0.001 to 0.7 fall into, onto the ends of, and beyond the integrator's own steps.
decay(m::Lorenz63, t) = [0, 0, 20 * exp(-m.β * t)]
decay(m::Lorenz96, t) = fill(m.F + (3 - m.F) * exp(-t), length(m))

@testset "decay of $(name(m)), every $dt" for m in MODELS, dt in (0.001, 0.0437, 0.7)
    x, diverged = simulated(m, reshape(decay(m, 0.0), :, 1), dt, 8)
    @test diverged == 0
    @test x[:, 1, 1] == decay(m, 0.0)
    for k in 1:8
        @test norm(x[:, k, 1] - decay(m, (k - 1) * dt)) <= 1e-9
    end
end

@testset "fixed points stay" begin
    σ, ρ, β = 10.0, 28.0, 8 / 3
    c = sqrt(β * (ρ - 1))
    start = [c -c 0; c -c 0; ρ-1 ρ-1 0]
    x, _ = simulated(Lorenz63(σ, ρ, β), start, 0.5, 5)
    @test maximum(abs.(x .- reshape(start, 3, 1, 3))) < 1e-10
    x, _ = simulated(Lorenz96(8.0, 40), fill(8.0, 40, 1), 0.5, 5)
    @test all(==(8.0), x)
end

@testset "small Runge-Kutta steps, $(name(m))" for m in PAPER
    start = states(MersenneTwister(21), m, 2) ./ 4
    x, _ = simulated(m, start, 0.25, 5)
    y = copy(start)
    for k in 2:5
        for _ in 1:1000
            y = reduce(hcat, [linearised(RungeKutta4(), m, y[:, j], y[:, j], 0.25 / 1000, FORECAST) for j in 1:2])
        end
        @test norm(x[:, k, :] - y) <= 1e-8 * norm(y)
    end
end

@testset "a tighter tolerance is closer, $(name(m))" for m in PAPER
    start = states(MersenneTwister(22), m, 1) ./ 4
    reference, _ = simulated(m, start, 0.05, 20; tolerance = 1e-13)
    errors = [norm(first(simulated(m, start, 0.05, 20; tolerance = r)) - reference) for r in (1e-5, 1e-7, 1e-9)]
    @test errors[1] > 10 * errors[2] > 100 * errors[3]
    @test errors[3] < 1e-5
end

@testset "output does not steer the steps; the spin-up is cut off, $(name(m))" for m in PAPER
    start = states(MersenneTwister(23), m, 3) ./ 4
    coarse, _ = simulated(m, start, 0.2, 6)
    fine, _ = simulated(m, start, 0.05, 21)
    @test norm(fine[:, 1:4:21, :] - coarse) <= 1e-8 * norm(coarse)
    late, _ = simulated(m, start, 0.2, 3; spinup = 0.6)
    @test norm(late - coarse[:, 4:6, :]) <= 1e-8 * norm(late)
end

@testset "windows are on their own; one that diverges is NaN, $(name(m))" for m in PAPER
    start = states(MersenneTwister(24), m, 5) ./ 4
    calm, none = simulated(m, start, 0.1, 4)
    @test none == 0
    @test first(simulated(m, start[:, 4:4], 0.1, 4)) == calm[:, :, 4:4]
    start[:, 2] .= randn(MersenneTwister(25), length(m)) .* 1e200
    wild, one = simulated(m, start, 0.1, 4)
    @test one == 1
    @test all(isnan, wild[:, :, 2])
    @test wild[:, :, [1, 3, 4, 5]] == calm[:, :, [1, 3, 4, 5]]
end

@testset "step factor: within its bounds, never up after a rejected step" begin
    @test VDA.step_factor(0.0) == 5.0
    @test VDA.step_factor(NaN) == VDA.step_factor(Inf) == VDA.step_factor(1e30) == 0.2
    @test all(VDA.step_factor(e) <= 1 for e in 1.0 .+ (1e-9:0.01:1))
    @test VDA.step_factor(0.5) ≈ 0.9 * 0.5^(-3 / 16)
end
