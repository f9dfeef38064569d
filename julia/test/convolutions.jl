# A chain of convolutions and its backward pass, against the sums of their definition.

using Test, VDA, Random, LinearAlgebra

function convolved(x, w, relu)
    (width, inputs, outputs) = size(w)
    (T, windows) = size(x)[2:3]
    y = zeros(eltype(x), outputs, T, windows)
    for b in 1:windows, t in 1:T, o in 1:outputs, k in 1:width, i in 1:inputs
        τ = t + k - 1 - width ÷ 2
        1 <= τ <= T && (y[o, t, b] += w[k, i, o] * x[i, τ, b])
    end
    return relu ? max.(y, 0) : y
end
chain(x, weights, relus) = foldl((x, (w, relu)) -> convolved(x, w, relu), zip(weights, relus), init = x)

function run(weights, relus, x, ȳ)
    T = eltype(x)
    memory = VDA.Memory{T}()
    layers = [VDA.Layer(memory, relu, w) for (w, relu) in zip(weights, relus)]
    (y, x̄, totals) = (similar(ȳ), similar(x), map(zero, weights))
    GC.@preserve memory begin
        VDA.convolutions!(y, x, layers)
        VDA.convolutions_back!(x̄, totals, x, ȳ, layers)
        @test VDA.convolutions_back!(similar(x), nothing, x, ȳ, layers) == x̄
    end
    return y, x̄, totals
end

CASES = (   # time, windows, channels, widths, ReLUs
    (20, 3, (6, 24, 48, 3, 3), (3, 3, 3, 1), (true, true, false, false)),
    (7, 1, (2, 17, 5), (5, 3), (true, true)),
    (6, 2, (1, 1), (1,), (false,)),
    (3, 4, (4, 3, 30), (7, 1), (false, true)),
    (9, 2, (6, 4, 1), (5, 3), (true, true)),
)

@testset "$T steps, $channels channels" for (T, windows, channels, widths, relus) in CASES
    Random.seed!(T)
    weights = [randn(k, channels[n], channels[n+1]) / sqrt(k * channels[n]) for (n, k) in enumerate(widths)]
    (x, ȳ) = (randn(first(channels), T, windows), randn(last(channels), T, windows))
    (y, x̄, totals) = run(weights, relus, x, ȳ)
    @test y ≈ chain(x, weights, relus)
    product(x, weights) = dot(ȳ, chain(x, weights, relus))
    h = 1e-6
    for _ in 1:3
        (d, directions) = (randn(size(x)...), map(w -> randn(size(w)...), weights))
        @test dot(x̄, d) ≈ (product(x + h * d, weights) - product(x - h * d, weights)) / 2h rtol = 1e-6
        @test sum(dot.(totals, directions)) ≈
              (product(x, weights + h * directions) - product(x, weights - h * directions)) / 2h rtol = 1e-6
    end
    (y₃₂, x̄₃₂, totals₃₂) = run(map(w -> Float32.(w), weights), relus, Float32.(x), Float32.(ȳ))
    @test y₃₂ ≈ y rtol = 1e-5
    @test x̄₃₂ ≈ x̄ rtol = 1e-4
    @test all(isapprox.(totals₃₂, totals, rtol = 1e-4))
end
