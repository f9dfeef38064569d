# Data of a function of the state in the descent, against its gradient by differences.

include("../shared/problems.jl")
using VDA: FunctionData, FunctionGradient, Lanes, evaluate!, clear!, unsafe_scalars

h(x) = [x[1]^2 / 10, sqrt(1 + x[2]^2) * x[3]]
jacobian(x) = [x[1]/5 0 0; 0 x[2]*x[3]/sqrt(1 + x[2]^2) sqrt(1 + x[2]^2)]

"Data of h with unequal weights, at some steps of some windows; `back` counts its calls."
function function_data(rng, T, windows; calls = Ref(0))
    y = 8 .* randn(rng, 2, T, windows)
    weight = (rand(rng, 2, T, windows) .< 1 / 3) .* (0.5 .+ rand(rng, 2, T, windows))
    weight[:, :, end] .= 0
    back(xbar, x, y, c) = (calls[] += 1; xbar .= jacobian(x)' * (c .* (h(x) .- y)); nothing)
    return FunctionData((y, x) -> (y .= h(x); nothing), () -> back, y, weight)
end

"λ₁ Σ weight (h(x) - y)² / number of data of a window, with those of the state."
function misfit(x, data, mask, w)
    n = max(count(!iszero, mask[:, :, w]) + count(!iszero, data.weight[:, :, w]), 1)
    return sum(data.weight[:, t, w]' * (h(x[:, t, w]) .- data.y[:, t, w]) .^ 2 for t in axes(x, 2)) / n
end

@testset "the gradient, $N" for N in (Float64, Lanes{8,Float64})
    rng = MersenneTwister(30)
    (T, windows) = (6, VDA.lanes(N))
    x, _, mask = noisy_problem(rng, Lorenz63(10.0, 28.0, 8 / 3), T, windows)
    data = function_data(rng, T, windows)
    f = FunctionGradient{N}(data, mask)
    block = VDA.WindowBlock{N}(x, x, mask, 1:windows)
    evaluate!(f, block.x, 1:windows, 2.0)
    g = GC.@preserve f copy(unsafe_scalars(f.g))
    for w in 1:windows, t in 1:T, i in 1:3
        at(d) = (z = copy(x); z[i, t, w] += d; misfit(z, data, mask, w))
        @test g[w, i, t] ≈ (at(1e-4) - at(-1e-4)) / 2e-4 rtol = 1e-6 atol = 1e-7
    end
    @test all(iszero, unsafe_scalars(clear!(f).g))
end

@testset "descent, $S, $windows windows" for S in (Float64, Float32), windows in (2, 19)
    rng = MersenneTwister(31)
    (T, m, α) = (8, Lorenz63(10.0, 28.0, 8 / 3), 0.05)
    x, y, mask = noisy_problem(rng, m, T, windows, S)
    data = function_data(rng, T, windows)
    expected = Float64.(x)
    for _ in 1:3
        of_states = last(cost_of(expected, y, Float64.(mask), RungeKutta4(), m, 0.01, 0.0))    # the dynamics alone
        for w in 1:windows
            n = max(count(!iszero, mask[:, :, w]) + count(!iszero, data.weight[:, :, w]), 1)
            for t in 1:T
                state = expected[:, t, w]
                of_states[:, t, w] .+= 2 * 0.5 / n * mask[:, t, w] .* (state .- y[:, t, w])
                of_states[:, t, w] .+= 2 * 0.5 / n * jacobian(state)' * (data.weight[:, t, w] .* (h(state) .- data.y[:, t, w]))
            end
        end
        expected .-= α .* of_states
    end
    found = descend!(copy(x), y, mask, RungeKutta4(), m, 0.01, 0.5, 1.0, α, 3, data)
    @test found .- x ≈ expected .- x rtol = (S === Float64 ? 1e-12 : 1e-4)
end

@testset "a window that is not finite" begin
    rng = MersenneTwister(32)
    (T, m, calls) = (6, Lorenz63(10.0, 28.0, 8 / 3), Ref(0))
    x, y, mask = noisy_problem(rng, m, T, 2)
    data = function_data(rng, T, 2; calls = calls)
    x[2, :, 1] .= NaN
    found = descend!(copy(x), y, mask, RungeKutta4(), m, 0.01, 0.5, 1.0, 1.0, 2, data)
    @test calls[] == 0                  # h is not asked at such states; window 2 has no data of it
    @test all(isnan, found[2, :, 1]) && all(isfinite, found[:, :, 2])
end

@testset "a function that refuses a state" begin
    x, y, mask = noisy_problem(MersenneTwister(33), Lorenz63(10.0, 28.0, 8 / 3), 4, 1)
    data = FunctionData((y, x) -> nothing, () -> ((xbar, x, y, c) -> "no such state"), zeros(1, 4, 1), ones(1, 4, 1))
    message = try
        descend!(x, y, mask, RungeKutta4(), Lorenz63(10.0, 28.0, 8 / 3), 0.01, 0.5, 1.0, 1.0, 1, data)
        ""
    catch e
        VDA.message_of(e)
    end
    @test occursin("no such state", message)
end
