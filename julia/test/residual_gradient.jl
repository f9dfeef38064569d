# The gradient of a GENN's residual and its backward pass, against the sums of its definition.

using Test, VDA, Random, LinearAlgebra

struct Weights{T}
    channels::Int
    taps::Int
    factor::Int
    W::Matrix{T}    # (taps · channels, features)
    M::Matrix{T}    # (features, 2 latent + outputs)
    O::Matrix{T}    # (latent, outputs)
end
function Weights{T}(channels, taps, features, latent, factor) where {T}
    y = channels * factor
    W = randn(T, taps, channels, features) / T(sqrt(taps * channels))
    W[taps÷2+1, :, :] .= 0
    return Weights{T}(channels, taps, factor, reshape(W, :, features),
                      randn(T, features, 2latent + y) / T(sqrt(features)), randn(T, latent, y) / T(sqrt(latent)))
end
packed(memory, w::Weights) = VDA.Scale(memory, w.channels, w.taps, w.factor, w.W, w.M, w.O)
arrays(w::Weights) = (w.W, w.M, w.O)
with(w::Weights{T}, W, M, O) where {T} = Weights{T}(w.channels, w.taps, w.factor, W, M, O)

"Φ of a window (state, time), cell by cell."
function prior(scales, x)
    (C, T) = size(x)
    φ = zero(x)
    for (n, w) in enumerate(scales)
        cells = cld(T, w.factor)
        last_step(cell) = min(cell * w.factor, T)
        mean(c, cell) = 1 <= cell <= cells ? sum(x[c, (cell-1)*w.factor+1:last_step(cell)]) / (last_step(cell) - (cell - 1) * w.factor) : zero(x[1])
        latent = size(w.O, 1)
        for cell in 1:cells
            u = [mean(c, cell + k - w.taps ÷ 2 - 1) for c in 1:C for k in 1:w.taps]
            r = w.W' * u
            r = max.(r, 0)
            m = w.M' * r
            y = w.O' * (m[1:latent] .* m[latent+1:2latent]) + m[2latent+1:end]
            for c in 1:C, t in (cell-1)*w.factor+1:last_step(cell)
                φ[c, t] += y[(c-1)*w.factor+t-(cell-1)*w.factor]
            end
        end
    end
    return φ
end
half_square(scales, x) = sum(abs2, x - prior(scales, x)) / 2

"The derivative of f at x in every entry; central differences, exact to rounding for a quadratic function."
function differences(f, x, h)
    return map(eachindex(x)) do k
        (up, down) = (copy(x), copy(x))
        up[k] += h
        down[k] -= h
        (f(up) - f(down)) / 2h
    end
end

function run(scales, x, ḡ)
    T = eltype(x)
    memory = VDA.Memory{T}()
    own = [packed(memory, w) for w in scales]
    (g, v, x̄) = (similar(x), similar(x), similar(x))
    totals = [map(zero, arrays(w)) for w in scales]
    GC.@preserve memory begin
        VDA.residual_gradient!(g, v, x, own)
        VDA.residual_gradient_back!(x̄, totals, x, v, ḡ, own)
        @test isequal(VDA.residual_gradient_back!(similar(x), nothing, x, v, ḡ, own), x̄)
    end
    return g, v, x̄, totals
end

CASES = (   # state, time, windows; then taps, features, latent, factor of each scale
    ((3, 21, 3), ((5, 12, 4, 1), (5, 10, 5, 4))),
    ((1, 7, 1), ((3, 5, 2, 1),)),
    ((2, 130, 2), ((11, 17, 9, 1), (3, 6, 3, 3))),
    ((4, 6, 5), ((3, 8, 20, 1), (5, 7, 3, 7))),
)

@testset "$size" for (size, shapes) in CASES
    Random.seed!(sum(size))
    scales = [Weights{Float64}(size[1], shape...) for shape in shapes]
    (x, ḡ) = (randn(size...), randn(size...))
    (g, v, x̄, totals) = run(scales, x, ḡ)
    for w in axes(x, 3)
        (xw, gw) = (x[:, :, w], g[:, :, w])
        @test v[:, :, w] ≈ xw - prior(scales, xw)
        @test vec(gw) ≈ differences(x -> half_square(scales, x), xw, 1e-6) rtol = 1e-6
    end
    # ḡ·g as a function of x and of the weights, by the forward pass, which has just been tested.
    function product(x, scales)
        memory = VDA.Memory{Float64}()
        own = [packed(memory, w) for w in scales]
        GC.@preserve memory return dot(ḡ, VDA.residual_gradient!(similar(x), similar(x), x, own))
    end
    for _ in 1:3
        d = randn(size...)
        h = 1e-6
        @test dot(x̄, d) ≈ (product(x + h * d, scales) - product(x - h * d, scales)) / 2h rtol = 1e-5
        for (k, w) in enumerate(scales)
            directions = map(a -> randn(Base.size(a)...) .* (a .!= 0), arrays(w))
            moved(h) = [n == k ? with(w, map((a, d) -> a + h * d, arrays(w), directions)...) : s for (n, s) in enumerate(scales)]
            found = sum(dot.(totals[k], directions))
            @test found ≈ (product(x, moved(h)) - product(x, moved(-h))) / 2h rtol = 1e-5
        end
    end
    # In single precision the same to rounding.
    single = [with(Weights{Float32}(size[1], shape...), map(a -> Float32.(a), arrays(w))...) for (w, shape) in zip(scales, shapes)]
    (g₃₂, v₃₂, x̄₃₂, totals₃₂) = run(single, Float32.(x), Float32.(ḡ))
    @test g₃₂ ≈ g rtol = 1e-4
    @test x̄₃₂ ≈ x̄ rtol = 1e-4
    for (a, b) in zip(totals₃₂, totals), (p, q) in zip(a, b)
        @test p ≈ q rtol = 1e-4
    end
end

@testset "a window that is not finite stays so, alone" begin
    scales = [Weights{Float64}(3, 5, 8, 4, 1)]
    x = randn(3, 20, 4)
    (g, _, x̄, _) = run(scales, x, ones(3, 20, 4))
    x[2, 10, 3] = NaN
    (g_nan, _, x̄_nan, _) = run(scales, x, ones(3, 20, 4))
    @test all(isnan, g_nan[:, 10, 3]) && all(isnan, x̄_nan[:, 9, 3])
    others = [1, 2, 4]
    @test g_nan[:, :, others] == g[:, :, others] && x̄_nan[:, :, others] == x̄[:, :, others]
end
