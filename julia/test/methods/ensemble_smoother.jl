# The ensemble smoother. On a linear model it has a closed answer: the Kalman smoother that starts
# from the mean and the covariance of the members.

include("../shared/problems.jl")
include("../shared/linear.jl")
include("../shared/kalman.jl")

function linear_problem(m, T, windows, N)
    rng = MersenneTwister(51)
    D = length(m)
    members = randn(rng, D, N) .+ 2 .* randn(rng, D)
    y = randn(rng, D, T, windows)
    precision = (rand(rng, D, T, windows) .< 0.3) ./ (0.2 .+ rand(rng, D, T, windows))
    precision[:, 1:2:end, :] .= 0
    return members, y, precision
end

"Kalman filter and Rauch-Tung-Striebel smoother with the model error Q at every step."
function smoother_with_model_error(M, b, B, y, precision, Q)
    D, T = size(y)
    forecast, filtered = Vector{Any}(undef, T), Vector{Any}(undef, T)
    (x, P) = (b, B)
    for t in 1:T
        t > 1 && ((x, P) = (M * x, M * P * M' + Q))
        forecast[t] = (x, P)
        seen = findall(precision[:, t] .> 0)
        H = Matrix{Float64}(I, D, D)[seen, :]
        G = P * H' / (H * P * H' + Diagonal(1 ./ precision[seen, t]))
        filtered[t] = (x, P) = (x + G * (y[seen, t] - H * x), (I - G * H) * P)
    end
    smoothed = copy(filtered)
    for t in T-1:-1:1
        ((x, P), (x⁻, P⁻), (xˢ, Pˢ)) = (filtered[t], forecast[t+1], smoothed[t+1])
        C = P * M' / P⁻
        smoothed[t] = (x + C * (xˢ - x⁻), P + C * (Pˢ - P⁻) * C')
    end
    return reduce(hcat, first.(smoothed)), reduce(hcat, [sqrt.(diag(P)) for (_, P) in smoothed])
end

"Orthonormal columns that are orthogonal to the vector of ones."
function reflections(N, columns, count)
    rng = MersenneTwister(55)
    basis() = Matrix(qr([ones(N) randn(rng, N, columns)]).Q)[:, 2:columns+1]
    return cat([basis() for _ in 1:count]..., dims = 3)
end

function smoothed(m, y, precision, members, h; V = zeros(size(members, 2), 0, 1), how...)
    mean, spread = fill(NaN, size(y)), fill(NaN, size(y))
    VDA.ensemble_smoother!(mean, spread, y, precision, members, RungeKutta4(), m, h; reflections = V, how...)
    return mean, spread
end

@testset "equals the Kalman smoother on $(name(m)), $N members, lag $lag" for
        (m, N) in ((Rotation(2.0, 0.3), 11), (Rotation(2.0, 0.3), 16), (Transport(1.5, 0.2, 11), 30)), lag in (0, 1, 3)
    members, y, precision = linear_problem(m, 21, 3, N)
    precision[:, :, 3] .= 0
    precision[1, 9, 3] = 0.7                     # one datum
    mean, spread = smoothed(m, y, precision, members, 0.1; lag = lag)
    mixed = smoothed(m, y, precision, members, 0.1; lag = lag, V = reflections(N, 4, 3))
    @test mixed[1] ≈ mean rtol = 1e-11
    @test mixed[2] ≈ spread rtol = 1e-11
    x̄ = vec(sum(members, dims = 2)) / N
    B = (members .- x̄) * (members .- x̄)' / (N - 1)
    for w in 1:3
        expected, stdev = kalman_smoother(step_matrix(m, 0.1), x̄, B, y[:, :, w], precision[:, :, w], lag)
        @test norm(mean[:, :, w] - expected) <= 1e-10 * norm(expected)
        @test norm(spread[:, :, w] - stdev) <= 1e-10 * norm(stdev)
    end
end

@testset "going back is the same on a linear model: $(name(m)), depth $depth, $iterations iterations" for
        m in (Rotation(2.0, 0.3), Transport(1.5, 0.2, 11)), depth in (1, 3, 20), iterations in (1, 3)
    members, y, precision = linear_problem(m, 21, 3, 30)
    precision[:, 1, 1] .= 0.7                       # an observation at the start of a window
    precision[:, :, 3] .= 0
    precision[1, 9, 3] = 0.7                        # one datum
    expected = smoothed(m, y, precision, members, 0.1)
    found = smoothed(m, y, precision, members, 0.1; depth = depth, iterations = iterations, V = reflections(30, 4, 3))
    @test norm(found[1] - expected[1]) <= 1e-10 * norm(expected[1])
    @test norm(found[2] - expected[2]) <= 1e-10 * norm(expected[2])
    # a lag of no more than the depth is the fixed-lag smoother
    later = smoothed(m, y, precision, members, 0.1; lag = depth, depth = depth)
    limited = smoothed(m, y, precision, members, 0.1; lag = depth)
    @test norm(later[1] - limited[1]) <= 1e-10 * norm(limited[1])
    @test norm(later[2] - limited[2]) <= 1e-10 * norm(limited[2])
end

# The noise of all steps is orthogonal to the members and to itself, over the members, so that no sampling error is left.
@testset "model error: the Kalman smoother, $(name(m)), $N members" for
        (m, N) in ((Rotation(2.0, 0.3), 60), (Transport(1.5, 0.2, 11), 130))
    T = 11
    D = length(m)
    members, y, precision = linear_problem(m, T, 3, N)
    rng = MersenneTwister(58)
    E = randn(rng, D, D)
    Q = 0.05 .* (E * E' + I)
    x̄ = vec(sum(members, dims = 2)) / N
    A = Matrix((members .- x̄)')
    V = Matrix(qr([ones(N) A randn(rng, N, D * (T - 1))]).Q)[:, D+2:D*T+1]
    noise = zeros(N, D, T - 1)
    for t in 1:T-1
        noise[:, :, t] = sqrt(N - 1) .* V[:, D*(t-1)+1:D*t] * cholesky(Q).U
    end
    mean, spread = smoothed(m, y, precision, members, 0.1; noise = noise)
    for w in 1:3
        expected, stdev = smoother_with_model_error(step_matrix(m, 0.1), x̄, A'A / (N - 1), y[:, :, w], precision[:, :, w], Q)
        @test norm(mean[:, :, w] - expected) <= 1e-10 * norm(expected)
        @test norm(spread[:, :, w] - stdev) <= 1e-10 * norm(stdev)
    end
end

# A datum of one component at a step is a datum of the grid; one of a combination between two steps sees the model's flow.
@testset "data at arbitrary times: the Kalman smoother, $(name(m)), depth $depth" for
        m in (Rotation(2.0, 0.3), Transport(1.5, 0.2, 11)), depth in (0, 2)
    (T, N, K, h) = (13, 40, 9, 0.1)
    D = length(m)
    members, y, precision = linear_problem(m, T, 3, N)
    rng = MersenneTwister(59)
    points = VDA.Points(rand(rng, 0:T-1, K, 3), rand(rng, K, 3) .* (rand(rng, K, 3) .< 0.7), randn(rng, K, 3),
                        (rand(rng, K, 3) .< 0.8) ./ (0.2 .+ rand(rng, K, 3)), randn(rng, D, K, 3))
    mean, spread = smoothed(m, y, precision, members, h; points = points, depth = depth, iterations = 3, V = reflections(N, 4, 3))
    x̄ = vec(sum(members, dims = 2)) / N
    B = (members .- x̄) * (members .- x̄)' / (N - 1)
    for w in 1:3
        rows, values, weights = Vector{Float64}[], Float64[], Float64[]
        for t in 1:T, i in 1:D
            precision[i, t, w] > 0 || continue
            push!(rows, power(step_matrix(m, h), t - 1)[i, :])
            push!(values, y[i, t, w])
            push!(weights, precision[i, t, w])
        end
        for k in 1:K
            points.weight[k, w] > 0 || continue
            flow = step_matrix(m, h * points.fraction[k, w]) * power(step_matrix(m, h), points.step[k, w])
            push!(rows, flow' * points.operator[:, k, w])
            push!(values, points.y[k, w])
            push!(weights, points.weight[k, w])
        end
        G = Matrix(reduce(hcat, rows)')
        P = inv(inv(B) + G' * Diagonal(weights) * G)
        x₀ = P * (inv(B) * x̄ + G' * (weights .* values))
        for t in 1:T
            M = power(step_matrix(m, h), t - 1)
            @test norm(mean[:, t, w] - M * x₀) <= 1e-9 * norm(x₀)
            @test norm(spread[:, t, w] - sqrt.(diag(M * P * M'))) <= 1e-9 * norm(sqrt.(diag(P)))
        end
    end
end

"Minimise |w|² (N-1)/2 + |d(x̄ + A w)|²/2 by Gauss-Newton steps with derivatives by differences."
function by_differences(m, members, y, precision, t, h)
    N = size(members, 2)
    x̄ = vec(sum(members, dims = 2)) / N
    A = members .- x̄
    data = findall(>(0), precision[:, t])
    root = sqrt.(precision[data, t])
    function observed(w)
        x = x̄ + A * w
        for _ in 2:t
            x = linearised_step_of(m, x, h)
        end
        return root .* x[data]
    end
    w = zeros(N)
    for _ in 1:20
        o = observed(w)
        J = hcat([(observed(w + ϵ) - observed(w - ϵ)) / 2e-5 for ϵ in eachcol(1e-5 * Matrix(I, N, N))]...)
        w += ((N - 1) * I + J'J) \ (J' * (root .* y[data, t] - o) - (N - 1) * w)
    end
    return x̄ + A * w
end
function linearised_step_of(m, x, h)
    ws = VDA.StepWorkspace{Vector{Float64}}(length(m))
    return collect(VDA.linearised_step(ws, RungeKutta4(), m, x, zero(x), h, 0))
end

@testset "the iterations end at the minimum, $(name(m))" for m in PAPER
    # Members close to each other: what their spread makes of a derivative is then the derivative.
    rng = MersenneTwister(56)
    (T, h) = (9, usual_step(m))
    centre = states(rng, m, 1)
    members = centre .+ 1e-4 .* randn(rng, length(m), 12)
    y = centre .+ zeros(1, T)
    precision = zero(y)
    precision[1:2:end, T] .= 1e8
    precision[1, 1] = 1e-12             # says nothing, but there an analysis may go back to
    y[:, T] = centre
    for _ in 2:T
        y[:, T] = linearised_step_of(m, y[:, T], h)
    end
    y[:, T] .+= 2e-4 .* randn(rng, length(m))
    window(a) = reshape(a, size(a)..., 1)
    expected = by_differences(m, members, y, precision, T, h)
    errors = map((1, 5)) do iterations
        mean, _ = smoothed(m, window(y), window(precision), members, h; depth = 1, iterations = iterations)
        norm(mean[:, 1, 1] - expected)
    end
    change = norm(expected - vec(sum(members, dims = 2)) / 12)
    @test errors[2] <= 1e-3 * change
    @test errors[2] <= errors[1]
end

@testset "without data: the forecast of the members" begin
    m = Rotation(2.0, 0.3)
    members, y, precision = linear_problem(m, 11, 2, 9)
    mean, spread = smoothed(m, y, zero(precision), members, 0.1)
    M = step_matrix(m, 0.1)
    late = M^10 * members
    x̄ = vec(sum(late, dims = 2)) / 9
    @test mean[:, 11, 2] ≈ x̄ rtol = 1e-12
    @test spread[:, 11, 2] ≈ sqrt.(vec(sum(abs2, late .- x̄, dims = 2)) / 8) rtol = 1e-12
end

@testset "spreads by the members' matrix are those of the anomalies, one analysis after the other" begin
    m = Lorenz96(8.0, 12)
    rng = MersenneTwister(57)
    (T, h) = (25, usual_step(m))
    members, y = states(rng, m, 24), reshape(states(rng, m, T), 12, T, 1)
    precision = Float64.(rand(rng, size(y)...) .< 0.3)
    precision[:, 2:2:end, :] .= 0
    V = reflections(24, 4, 3)
    for depth in (0, 2)
        (one, other) = (zero(y), zero(y))
        how = (scheme = RungeKutta4(), h = h, inflation = 1.02, lag = 0, depth = depth, iterations = 2, noise = nothing, points = nothing,
               observed = VDA.data_steps(precision, nothing))
        ws = VDA.EnsembleWorkspace(m, 24, T, T, length(y), V)
        VDA.smooth_window!(zero(y), one, ws, y, precision, members, how, 1)
        @test size(ws.Ŵ, 1) == 24
        VDA.smooth_window!(zero(y), other, ws, y, precision, members, merge(how, (lag = T,)), 1)
        @test one ≈ other rtol = 1e-11
    end
end

@testset "inflation widens what follows an analysis" begin
    m = Rotation(2.0, 0.0)
    members, y, precision = linear_problem(m, 3, 1, 9)
    precision .= 0
    precision[1, 2, 1] = 1.0
    mean, spread = smoothed(m, y, precision, members, 0.1; inflation = 1.5)
    plain, narrow = smoothed(m, y, precision, members, 0.1)
    @test mean ≈ plain rtol = 1e-12
    @test spread[:, 1:2, :] ≈ narrow[:, 1:2, :] rtol = 1e-12
    @test spread[:, 3, :] ≈ 1.5 .* narrow[:, 3, :] rtol = 1e-12
end

@testset "a window that diverges is NaN, the others are what they are alone, $(name(m))" for m in PAPER
    rng = MersenneTwister(52)
    T = 20
    h = usual_step(m)
    truth = zeros(length(m), T, 3)
    simulate!(truth, states(rng, m, 3), m, h, 20.0, 1e-6, 1e-6)
    y = truth .+ randn(rng, size(truth)...)
    precision = Float64.(rand(rng, size(y)...) .< 0.3)
    members = states(rng, m, 20)
    expected, _ = smoothed(m, y, precision, members, h)
    y[1, 3, 2] = 1e200
    precision[1, 3, 2] = 1.0
    mean, spread = smoothed(m, y, precision, members, h)
    @test all(isnan, mean[:, :, 2]) && all(isnan, spread[:, :, 2])
    @test mean[:, :, [1, 3]] == expected[:, :, [1, 3]]
    @test all(isfinite, spread[:, :, [1, 3]])
    only_mean = fill(NaN, size(y))
    VDA.ensemble_smoother!(only_mean, nothing, y, precision, members, RungeKutta4(), m, h)
    @test isequal(only_mean, mean)
end

@testset "the final members have mean and spread of the last step, $(name(m)), depth $depth, inflation $inflation" for
        m in PAPER, depth in (0, 2), inflation in (1.0, 1.05)
    rng = MersenneTwister(61)
    (T, N, h) = (15, 12, usual_step(m))
    truth = zeros(length(m), T, 3)
    simulate!(truth, states(rng, m, 3), m, h, 20.0, 1e-6, 1e-6)
    y = truth .+ randn(rng, size(truth)...)
    precision = Float64.(rand(rng, size(y)...) .< 0.2)
    precision[1, T, 1] = 1.0
    precision[:, T, 2] .= 0.0
    (y[1, 3, 3], precision[1, 3, 3]) = (1e200, 1.0)
    members = states(rng, m, N)
    how = (depth = depth, inflation = inflation, iterations = 2, V = reflections(N, 3, 4))
    mean, spread = smoothed(m, y, precision, members, h; how...)
    final = zeros(length(m), N, 3)
    again = smoothed(m, y, precision, members, h; final = final, how...)
    @test isequal(again, (mean, spread))
    @test all(isnan, final[:, :, 3])
    for w in 1:2
        x̄ = vec(sum(final[:, :, w], dims = 2)) / N
        @test x̄ ≈ mean[:, T, w] rtol = 1e-9
        @test sqrt.(vec(sum(abs2, final[:, :, w] .- x̄, dims = 2)) / (N - 1)) ≈ spread[:, T, w] rtol = 1e-9
    end
end

@testset "a window allocates nothing, $(name(m)), lag $lag" for m in PAPER, lag in (0, 4)
    rng = MersenneTwister(54)
    T = 40
    members = states(rng, m, 20)
    y = states(rng, m, T)
    y = reshape(y, size(y)..., 1)
    precision = Float64.(rand(rng, size(y)...) .< 0.2)
    mean, spread = zero(y), zero(y)
    ws = VDA.EnsembleWorkspace(m, 20, T, T, length(y), reflections(20, 4, 3))
    how = (scheme = RungeKutta4(), h = usual_step(m), inflation = 1.0, lag = lag, depth = 3, iterations = 2, noise = nothing, points = nothing,
           observed = VDA.data_steps(precision, nothing))
    run() = VDA.smooth_window!(mean, spread, ws, y, precision, members, how, 1)
    run()
    @test @allocated(run()) <= 1024         # a window, and nothing for its steps
end
