# The gradient of a GENN's residual and its backward pass, against the sums of its definition.

include("../shared/exceptions.jl")
using Test, VDA, Random, LinearAlgebra

struct Weights{T}
    grid::VDA.Grid
    factor::Int
    W::Matrix{T}    # (taps · channels, features)
    M::Matrix{T}    # (features, 2 latent + outputs), or S (features, features · outputs)
    O::Matrix{T}    # (latent, outputs), or l (features, outputs)
    quadratic::Bool
end
"S_n + S_nᵀ, of the S_n beside each other."
function symmetric(S)
    blocks = reshape(S, size(S, 1), size(S, 1), :)
    return reshape(blocks + permutedims(blocks, (2, 1, 3)), size(S))
end

"Without `latent` a quadratic head."
function Weights{T}(grid, features, latent, factor) where {T}
    y = grid.channels * factor
    taps = grid.taps * grid.across
    W = randn(T, taps, grid.channels, features) / T(sqrt(taps * grid.channels))
    W[taps÷2+1, :, :] .= 0
    S = randn(T, features, features, y) / T(features)
    M = latent > 0 ? randn(T, features, 2latent + y) / T(sqrt(features)) : symmetric(reshape(S, features, :))
    O = latent > 0 ? randn(T, latent, y) / T(sqrt(latent)) : randn(T, features, y) / T(sqrt(features))
    return Weights{T}(grid, factor, reshape(W, :, features), M, O, latent == 0)
end
packed(memory, w::Weights) = VDA.Scale(memory, w.grid, w.factor, w.quadratic, w.W, w.M, w.O)
arrays(w::Weights) = (w.W, w.M, w.O)
with(w::Weights{T}, W, M, O) where {T} = Weights{T}(w.grid, w.factor, W, M, O, w.quadratic)

"The outputs of the features r."
function head(w, r)
    S(n) = w.M[:, (n-1)*length(r)+1:n*length(r)]
    w.quadratic && return [r' * S(n) * r / 2 + w.O[:, n]' * r for n in axes(w.O, 2)]
    (m, latent) = (w.M' * r, size(w.O, 1))
    return w.O' * (m[1:latent] .* m[latent+1:2latent]) + m[2latent+1:end]
end

"Φ of a window (state, time), cell by cell and point by point."
function prior(scales, x)
    T = size(x, 2)
    φ = zero(x)
    for w in scales
        g = w.grid
        (cells, P) = (cld(T, w.factor), g.points)
        steps(cell) = (cell-1)*w.factor+1:min(cell * w.factor, T)
        state(c, k) = (c - 1) * P + k
        means = [sum(x[state(c, k), steps(cell)]) / length(steps(cell)) for c in 1:g.channels, cell in 1:cells, k in 1:P]
        function mean(c, cell, k)
            at = g.periodic ? mod1(k, P) : k
            return 1 <= cell <= cells && 1 <= at <= P ? means[c, cell, at] : zero(eltype(x))
        end
        for cell in 1:cells, k in 1:P
            u = [mean(c, cell + i - g.taps ÷ 2 - 1, k + j - g.across ÷ 2 - 1) for c in 1:g.channels for i in 1:g.taps for j in 1:g.across]
            y = head(w, max.(w.W' * u, 0))
            for c in 1:g.channels, (i, t) in enumerate(steps(cell))
                φ[state(c, k), t] += y[(c-1)*w.factor+i]
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

CASES = (   # grid, steps, windows; then features, latent, factor of each scale
    (VDA.Grid(3, 5), 21, 3, ((12, 4, 1), (10, 5, 4))),
    (VDA.Grid(1, 3), 7, 1, ((5, 2, 1),)),
    (VDA.Grid(2, 11), 130, 2, ((17, 9, 1), (6, 3, 3))),
    (VDA.Grid(4, 3), 6, 5, ((8, 20, 1), (7, 3, 7))),
    (VDA.Grid(2, 3), 400, 1, ((7, 4, 1), (6, 3, 3))),
    (VDA.Grid(1, 5), 21, 3, ((17, 0, 1), (9, 5, 4))),
    (VDA.Grid(2, 3), 30, 2, ((21, 0, 1), (5, 0, 2))),
    (VDA.Grid(1, 3, 8, 5, true), 9, 2, ((12, 4, 1), (10, 5, 4))),
    (VDA.Grid(1, 5, 7, 3, false), 11, 3, ((17, 0, 1), (9, 3, 3))),
    (VDA.Grid(4, 3, 9, 5, true), 6, 3, ((20, 7, 1),)),
    (VDA.Grid(1, 3, 40, 11, true), 11, 3, ((17, 0, 1), (9, 3, 2))),
    (VDA.Grid(2, 1, 3, 7, true), 40, 1, ((5, 0, 1), (6, 2, 1))),
)

@testset "$grid, $steps steps, $windows windows" for (grid, steps, windows, shapes) in CASES
    size = (VDA.state_size(grid), steps, windows)
    Random.seed!(sum(size))
    scales = [Weights{Float64}(grid, shape...) for shape in shapes]
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
            directions = [randn(Base.size(a)...) .* (a .!= 0) for a in arrays(w)]
            w.quadratic && (directions[2] = symmetric(directions[2]))
            moved(h) = [n == k ? with(w, map((a, d) -> a + h * d, arrays(w), Tuple(directions))...) : s for (n, s) in enumerate(scales)]
            found = sum(dot.(totals[k], directions))
            @test found ≈ (product(x, moved(h)) - product(x, moved(-h))) / 2h rtol = 1e-5
        end
    end
    # In single precision the same to rounding.
    single = [with(Weights{Float32}(grid, shape...), map(a -> Float32.(a), arrays(w))...) for (w, shape) in zip(scales, shapes)]
    (g₃₂, v₃₂, x̄₃₂, totals₃₂) = run(single, Float32.(x), Float32.(ḡ))
    @test g₃₂ ≈ g rtol = 1e-4
    @test x̄₃₂ ≈ x̄ rtol = 1e-4
    for (a, b) in zip(totals₃₂, totals), (p, q) in zip(a, b)
        @test p ≈ q rtol = 1e-4
    end
end

GRIDS = (VDA.Grid(3, 5), VDA.Grid(1, 5, 3, 3, true), VDA.Grid(1, 3, 3, 1, false))
@testset "a window that is not finite stays so, alone: $grid" for grid in GRIDS
    for shapes in (((8, 4, 1),), ((7, 0, 1), (6, 2, 3)), ((9, 0, 1), (18, 0, 2)))
        scales = [Weights{Float64}(grid, shape...) for shape in shapes]
        x = randn(3, 20, 4)
        (g, _, x̄, totals) = run(scales, x, ones(3, 20, 4))
        x[2, 10, 3] = NaN
        (g_nan, _, x̄_nan, _) = run(scales, x, ones(3, 20, 4))
        @test isnan(g_nan[2, 10, 3]) && isnan(x̄_nan[2, 9, 3])
        grid.points == 1 && @test all(isnan, g_nan[:, 10, 3]) && all(isnan, x̄_nan[:, 9, 3])
        others = [1, 2, 4]
        @test g_nan[:, :, others] == g[:, :, others] && x̄_nan[:, :, others] == x̄[:, :, others]
        # The room that it was in is as good as new.
        x[2, 10, 3] = 0.0
        (g_again, _, x̄_again, totals_again) = run(scales, x, ones(3, 20, 4))
        @test all(isfinite, g_again) && all(isfinite, x̄_again)
        @test all(all(isfinite, a) for w in totals_again for a in w)
    end
end
