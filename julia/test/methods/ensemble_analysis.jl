# One analysis of the ensemble transform Kalman filter: the Kalman update of the members' mean and covariance.

include("../shared/problems.jl")
include("../shared/linear.jl")

const STEP, COUNT = 0.1, 11

"Mean and covariance of the members after the analysis of the data of one step, and the workspace."
function analysed(m, x, y, precision, points = nothing; V = zeros(COUNT, 0, 1))
    data = maximum(sum(VDA.data_counts(precision, points), dims = 1))
    ws = VDA.EnsembleWorkspace(m, COUNT, 1, 1, data, V, max(length(m), data))
    ws.standing.A[1:COUNT, :] .= x'
    VDA.centre!(ws, ws.standing)
    ws.steps[1] = 1
    how = (scheme = RungeKutta4(), h = STEP, iterations = 1, points = points)
    @test VDA.analyse!(ws, 1, 1, y, precision, how, 1)
    return ws.standing.x̄, ws.standing.A' * ws.standing.A / (COUNT - 1), ws
end

"The same by the Kalman gain, of data y = G x + error with variances r."
function kalman(x, G, y, r)
    x̄ = vec(sum(x, dims = 2)) / COUNT
    B = (x .- x̄) * (x .- x̄)' / (COUNT - 1)
    K = B * G' / (G * B * G' + Diagonal(r))
    return x̄ + K * (y - G * x̄), (I - K * G) * B
end
close(found, expected) = all(norm(a - b) <= 1e-11 * norm(b) for (a, b) in zip(found, expected))

@testset "data of components, $(name(m))" for m in (Rotation(2.0, 0.3), Transport(1.5, 0.2, 11))
    rng = MersenneTwister(81)
    D = length(m)
    x, y = randn(rng, D, COUNT), randn(rng, D, 1, 1)
    precision = (rand(rng, D, 1, 1) .< 0.6) ./ (0.2 .+ rand(rng, D, 1, 1))
    precision[1] = 2.0
    seen = findall(vec(precision) .> 0)
    @test VDA.data_counts(precision, nothing) == fill(length(seen), 1, 1)
    expected = kalman(x, Matrix(1.0I, D, D)[seen, :], y[seen], 1 ./ precision[seen])
    x̄, P, ws = analysed(m, x, y, precision)
    @test close((x̄, P), expected)
    @test norm(sum(ws.standing.A, dims = 1)) <= 1e-12 * norm(ws.standing.A)        # anomalies still
    # Members that are mixed have the same mean and covariance.
    V = Matrix(qr([ones(COUNT) randn(rng, COUNT, 4)]).Q)[:, 2:5]
    mixed = analysed(m, x, y, precision; V = reshape(V, COUNT, 4, 1))
    @test close(mixed[1:2], expected) && !(mixed[3].standing.A ≈ ws.standing.A)
    # G′ is that of the inverse.
    Z = randn(rng, size(ws.standing.A, 1), D)
    p = length(seen)
    back = VDA.apply_symmetric!(ws, VDA.without_mixing!(ws, copy(Z), D, 1), VDA.data_of(ws, 1), view(ws.G′, 1:p, 1:p))
    @test back ≈ Z rtol = 1e-11
end

@testset "data of combinations between two steps, and of a function" begin
    m = Rotation(2.0, 0.3)
    rng = MersenneTwister(82)
    x = randn(rng, 2, COUNT)
    (none, zero_) = (zeros(2, 1, 1), zeros(2, 1, 1))
    (value, weight, rows) = (randn(rng, 3, 1), [1.0, 0.0, 2.5][:, :], randn(rng, 2, 3, 1))
    points = VDA.Points(zeros(Int, 3, 1), [0.0, 0.5, 0.5][:, :], value, weight, rows)
    @test VDA.data_counts(zero_, points) == fill(2, 1, 1)
    G = [rows[:, 1, 1]'; rows[:, 3, 1]' * step_matrix(m, STEP / 2)]
    @test close(analysed(m, x, none, zero_, points)[1:2], kalman(x, G, value[[1, 3]], [1.0, 0.4]))
    # A linear function gives what its matrix gives.
    values!(y, x) = (y[1] = x[1] + 2x[2]; y[2] = 3x[1]; nothing)
    data = VDA.FunctionData(values!, nothing, reshape(value[1:2], 2, 1, 1), reshape([0.5, 4.0], 2, 1, 1))
    @test VDA.data_counts(zero_, data) == fill(2, 1, 1)
    @test close(analysed(m, x, none, zero_, data)[1:2], kalman(x, [1.0 2.0; 3.0 0.0], value[1:2], [2.0, 0.25]))
end

@testset "a member that is not finite ends the analysis" begin
    m = Rotation(2.0, 0.3)
    ws = VDA.EnsembleWorkspace(m, COUNT, 2, 1, 2)
    ws.standing.A[1:COUNT, :] .= randn(MersenneTwister(83), COUNT, 2)
    ws.standing.A[2, 1] = Inf
    ws.steps[1] = 2
    how = (scheme = RungeKutta4(), h = STEP, iterations = 1, points = nothing)
    @test !VDA.analyse!(ws, 1, 1, zeros(2, 2, 1), ones(2, 2, 1), how, 1)
end
