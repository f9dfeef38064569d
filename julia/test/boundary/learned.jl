# Learned priors and solvers through their addresses: the numbers of the functions themselves.

include("../shared/exceptions.jl")
using Test, Random, VDA
include("../shared/calls.jl")

addresses(arrays) = [Ptr{Cvoid}(pointer(a)) for a in arrays]

@testset "a GENN and its backward pass in $T" for T in (Float64, Float32)
    (F, L, y) = (5, 2, 3)
    weights = [randn(MersenneTwister(k), T, size...) for (k, size) in enumerate(((9, F), (F, 2L + y), (L, y)))]
    (x, ḡ) = (randn(MersenneTwister(4), T, 3, 8, 2), randn(MersenneTwister(5), T, 3, 8, 2))
    (sizes, grid, bytes) = ([F, L, 1], [3, 3, 1, 1, 0], sizeof(T))
    (g, v, x̄) = (zero(x), zero(x), zero(x))
    totals = map(zero, weights)
    GC.@preserve weights totals begin
        code, = called("genn", bytes, grid, 8, 2, 1, sizes, addresses(weights), x, g, v)
        @test code === VDA.DONE
        code, = called("genn_back", bytes, grid, 8, 2, 1, sizes, addresses(weights), x, v, ḡ, x̄, addresses(totals))
        @test code === VDA.DONE
    end
    memory = VDA.Memory{T}()
    own = [VDA.Scale(memory, VDA.Grid(3, 3), 1, false, weights...)]
    (g₂, v₂, x̄₂, totals₂) = (zero(x), zero(x), zero(x), [map(zero, Tuple(weights))])
    GC.@preserve memory begin
        VDA.residual_gradient!(g₂, v₂, x, own)
        VDA.residual_gradient_back!(x̄₂, totals₂, x, v₂, ḡ, own)
    end
    @test (g, v, x̄) == (g₂, v₂, x̄₂)
    @test all(totals .== collect(totals₂[1])) && !any(iszero, totals)
    code, text = called("genn", 2, grid, 8, 2, 1, sizes, C_NULL, x, g, v)
    @test code === VDA.REFUSED && occursin("numbers have 2 bytes", text)
end

@testset "a chain of convolutions is their sum, and its backward pass the transpose" begin
    w = randn(MersenneTwister(6), 3, 2, 4)              # taps, inputs, outputs
    (x, ȳ) = (randn(MersenneTwister(7), 2, 6, 3), randn(MersenneTwister(8), 4, 6, 3))
    (y, x̄, total) = (zero(ȳ), zero(x), zero(w))
    (sizes, field) = ([2, 4, 3, 1, 0], [6, 1, 0])
    GC.@preserve w total begin
        code, = called("convolutions", 8, field, 3, 1, sizes, addresses([w]), x, y)
        @test code === VDA.DONE
        code, = called("convolutions_back", 8, field, 3, 1, sizes, addresses([w]), x, ȳ, x̄, addresses([total]))
        @test code === VDA.DONE
    end
    for o in 1:4, s in 1:6, n in 1:3
        expected = sum(w[k, i, o] * x[i, s+k-2, n] for i in 1:2, k in 1:3 if 1 <= s + k - 2 <= 6)
        @test y[o, s, n] ≈ expected rtol = 1e-12
    end
    @test sum(x̄ .* x) ≈ sum(ȳ .* y) rtol = 1e-12
    @test sum(total .* w) ≈ sum(ȳ .* y) rtol = 1e-12
end
