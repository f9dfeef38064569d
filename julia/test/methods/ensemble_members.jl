# Members of an ensemble: mean and anomalies, noise, and a step of each.

include("../shared/problems.jl")
include("../shared/linear.jl")

const SIZE = 11

function standing(m, x)
    ws = VDA.EnsembleWorkspace(m, SIZE, 2, 1, 1)
    ws.standing.A[1:SIZE, :] .= x'
    return ws, ws.standing
end
members_of(s) = (s.A[1:SIZE, :] .+ s.x̄')'

@testset "mean and anomalies, $(name(m))" for m in (Rotation(2.0, 0.3), Lorenz96(8.0, 5))
    x = states(MersenneTwister(91), m, SIZE)
    ws, s = standing(m, x)
    s.A[SIZE+1:end, :] .= 7.0                       # what a step leaves in the padding
    @test VDA.centre!(ws, s)
    @test s.x̄ ≈ vec(sum(x, dims = 2)) ./ SIZE rtol = 1e-14
    @test members_of(s) ≈ x rtol = 1e-13
    @test all(iszero, s.A[SIZE+1:end, :])
    VDA.inflate!(s, 2.0)
    @test members_of(s) .- s.x̄ ≈ 2 .* (x .- s.x̄) rtol = 1e-12
    w = randn(MersenneTwister(92), size(s.A, 1))
    @test VDA.add_weighted!(copy(s.x̄), s.A, w) ≈ s.x̄ + s.A' * w rtol = 1e-13
    noise = randn(MersenneTwister(93), SIZE, length(m), 3)
    before = members_of(s)
    VDA.disturb!(s, noise, 2)
    @test members_of(s) ≈ before + noise[:, :, 2]' rtol = 1e-13
    s.A[3, 1] = NaN
    @test !VDA.centre!(ws, s)
end

@testset "each member makes the step of the paper, $(name(m))" for m in (PAPER[1], Lorenz96(8.0, 5))
    x, h = states(MersenneTwister(94), m, SIZE), usual_step(m)
    ws, s = standing(m, x)
    VDA.centre!(ws, s)
    VDA.forecast!(s, ws, ws.forecast, RungeKutta4(), h)
    for j in 1:SIZE
        @test s.A[j, :] ≈ paper_step(RungeKutta4(), m, x[:, j], h) rtol = 1e-12
    end
end

@testset "members of a VectorModel run one after the other" begin
    m = VDA.KuramotoSivashinsky(state_size = 16)
    x = randn(MersenneTwister(95), 16, SIZE)
    ws, s = standing(m, x)
    VDA.centre!(ws, s)
    VDA.forecast!(s, ws, ws.forecast, RungeKutta4(), 0.25)
    alone = VDA.step_workspace(Float64, m)
    for j in 1:SIZE
        @test s.A[j, :] ≈ VDA.step!(alone, RungeKutta4(), m, x[:, j], 0.25) rtol = 1e-12
    end
end

@testset "a function of the members" begin
    m = Rotation(2.0, 0.3)
    x = randn(MersenneTwister(96), 2, SIZE)
    ws, s = standing(m, x)
    VDA.centre!(ws, s)
    found = VDA.function_of_members!(zeros(2, SIZE), (y, x) -> (y[1] = x[1]^2; y[2] = x[1] * x[2]; nothing), s, SIZE)
    @test found ≈ [x[1, :]'.^2; (x[1, :] .* x[2, :])'] rtol = 1e-13
end
