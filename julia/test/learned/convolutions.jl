# A chain of convolutions and its backward pass, against the sums of their definition.

include("../shared/exceptions.jl")
using Test, VDA, Random, LinearAlgebra

# x is (channel, position, window); w (tap, input, output), with taps along a strip first.
function convolved(x, w, taps, relu, field)
    (across, along) = taps
    (S, P) = (field.strips, field.along)
    x = reshape(x, size(x, 1), P, S, size(x, 3))
    (_, inputs, outputs) = size(w)
    y = zeros(eltype(x), outputs, P, S, size(x, 4))
    for b in axes(x, 4), s in 1:S, p in 1:P, o in 1:outputs, a in 1:across, k in 1:along, i in 1:inputs
        (from, at) = (s + a - 1 - across ÷ 2, p + k - 1 - along ÷ 2)
        field.periodic && (at = mod1(at, P))
        1 <= from <= S && 1 <= at <= P || continue
        y[o, p, s, b] += w[(a-1)*along+k, i, o] * x[i, at, from, b]
    end
    y = reshape(y, outputs, P * S, :)
    return relu ? max.(y, 0) : y
end
chain(x, weights, taps, relus, field) =
    foldl((x, layer) -> convolved(x, layer..., field), zip(weights, taps, relus), init = x)

function run(weights, taps, relus, field, x, ȳ)
    T = eltype(x)
    memory = VDA.Memory{T}()
    layers = [VDA.Layer(memory, relu, w, t) for (w, t, relu) in zip(weights, taps, relus)]
    (y, x̄, totals) = (similar(ȳ), similar(x), map(zero, weights))
    GC.@preserve memory begin
        VDA.convolutions!(y, x, layers, field)
        VDA.convolutions_back!(x̄, totals, x, ȳ, layers, field)
        @test VDA.convolutions_back!(similar(x), nothing, x, ȳ, layers, field) == x̄
    end
    return y, x̄, totals
end

CASES = (   # field, windows, channels, taps, ReLUs
    (VDA.Field(20), 3, (6, 24, 48, 3, 3), ((1, 3), (1, 3), (1, 3), (1, 1)), (true, true, false, false)),
    (VDA.Field(7), 1, (2, 17, 5), ((1, 5), (1, 3)), (true, true)),
    (VDA.Field(6), 2, (1, 1), ((1, 1),), (false,)),
    (VDA.Field(3), 4, (4, 3, 30), ((1, 7), (1, 1)), (false, true)),
    (VDA.Field(9), 2, (6, 4, 1), ((1, 5), (1, 3)), (true, true)),
    (VDA.Field(5, 8, true), 3, (8, 8, 8, 4, 4), ((3, 3), (3, 3), (3, 3), (1, 1)), (true, true, false, false)),
    (VDA.Field(4, 7, false), 2, (3, 20, 2), ((3, 5), (1, 3)), (true, true)),
    (VDA.Field(1, 2, true), 1, (2, 5), ((5, 3),), (true,)),
    (VDA.Field(9, 1, true), 2, (2, 1, 3), ((3, 1), (3, 3)), (false, false)),
)

@testset "$field, $channels channels, $taps" for (field, windows, channels, taps, relus) in CASES
    n = VDA.positions(field)
    Random.seed!(n)
    weights = [randn(prod(k), channels[l], channels[l+1]) / sqrt(prod(k) * channels[l]) for (l, k) in enumerate(taps)]
    (x, ȳ) = (randn(first(channels), n, windows), randn(last(channels), n, windows))
    (y, x̄, totals) = run(weights, taps, relus, field, x, ȳ)
    @test y ≈ chain(x, weights, taps, relus, field)
    product(x, weights) = dot(ȳ, chain(x, weights, taps, relus, field))
    h = 1e-6
    for _ in 1:3
        (d, directions) = (randn(size(x)...), map(w -> randn(size(w)...), weights))
        @test dot(x̄, d) ≈ (product(x + h * d, weights) - product(x - h * d, weights)) / 2h rtol = 1e-6
        @test sum(dot.(totals, directions)) ≈
              (product(x, weights + h * directions) - product(x, weights - h * directions)) / 2h rtol = 1e-6
    end
    (y₃₂, x̄₃₂, totals₃₂) = run(map(w -> Float32.(w), weights), taps, relus, field, Float32.(x), Float32.(ȳ))
    @test y₃₂ ≈ y rtol = 1e-5
    @test x̄₃₂ ≈ x̄ rtol = 1e-4
    @test all(isapprox.(totals₃₂, totals, rtol = 1e-4))
end
