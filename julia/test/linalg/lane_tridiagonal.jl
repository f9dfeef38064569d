# Eight symmetric matrices in lanes against LinearAlgebra's dense functions of each.

include("../shared/problems.jl")
using LinearAlgebra: Diagonal, Symmetric, cond, eigen, tr

"The matrices as lanes, in a LaneTridiagonal; and lanes of eight vectors, and back."
function tridiagonal_of(matrices, padded)
    N = size(matrices[1], 1)
    s = VDA.LaneTridiagonal(N, padded)
    for j in 1:N, i in j:N
        s.A[i, j] = lanes_of([A[i, j] for A in matrices])
    end
    return VDA.tridiagonalise!(s)
end
lanes_of(x) = VDA.EightLanes(ntuple(l -> VecElement(x[l]), 8))
in_lanes(vectors) = [lanes_of([v[i] for v in vectors]) for i in eachindex(vectors[1])]
lane_of(x, l) = [VDA.lane(a, l) for a in x]
power(A, p) = (E = eigen(Symmetric(A)); E.vectors * Diagonal(max.(E.values, 0) .^ p) * E.vectors')

"Matrices of the rank and size that ensembles give: zero, of rank one, badly scaled, full."
function examples(rng, N)
    Y(p) = randn(rng, N, p)
    make(Y) = Y * Y'
    diagonal = Matrix(Diagonal(rand(rng, N)))
    return [zeros(N, N), make(Y(1)), make(Y(3)), 1e8 .* make(Y(N)), 1e-6 .* make(Y(2N)), diagonal, make(Y(N)), make([1e5 .* Y(1) Y(4)])]
end

@testset "functions of $N x $N matrices" for N in (2, 3, 4, 7, 20, 45)
    rng = MersenneTwister(9)
    matrices = examples(rng, N)
    s = tridiagonal_of(matrices, N + 3)
    ζ = [0.5, 1.0, 2.0, 10.0, 44.0, 3.0, 0.1, 7.0]
    vectors = [randn(rng, N) for _ in 1:8]
    x = VDA.to_tridiagonal!(in_lanes(vectors), s)
    z = similar(x)
    norm² = VDA.shifted_solve!(z, s, x, lanes_of(ζ))
    VDA.from_tridiagonal!(z, s)
    q = VDA.quadrature_for(1 + maximum(tr(A) / a for (A, a) in zip(matrices, ζ)))
    VDA.factorise_shifts!(s, lanes_of(ζ), q)
    y = VDA.inverse_root!(similar(x), s, x, sqrt(lanes_of(ζ)), q)
    VDA.from_tridiagonal!(y, s)
    back = VDA.from_tridiagonal!(copy(x), s)
    for l in 1:8
        shifted = matrices[l] + ζ[l] * I
        @test lane_of(back, l) ≈ vectors[l] rtol = 1e-13
        @test VDA.lane(VDA.trace_of(s), l) ≈ tr(matrices[l]) rtol = 1e-12 atol = 1e-14
        rtol = max(1e-11, 1e-15 * cond(shifted))
        @test lane_of(z, l) ≈ power(shifted, -1) * vectors[l] rtol = 10rtol
        @test VDA.lane(norm², l) ≈ sum(abs2, lane_of(z, l)) rtol = 1e-11
        @test lane_of(y, l) ≈ power(shifted, -0.5) * vectors[l] rtol = rtol
    end
end

@testset "the quadrature is exact over its interval, and shorter for a shorter one" begin
    for q in VDA.QUADRATURES
        x = exp.(range(0, log(q.most), length = 37))
        @test maximum(abs.(q.(x) .* sqrt.(x) .- 1)) < 2e-13
    end
    @test issorted([length(q.weights) for q in VDA.QUADRATURES])
    @test length(VDA.quadrature_for(10.0).weights) <= 16
    @test VDA.quadrature_for(1e30) === VDA.QUADRATURES[end]
end

@testset "zero matrices" begin
    s = VDA.zero_tridiagonal!(tridiagonal_of(examples(MersenneTwister(1), 6), 6))
    x = in_lanes([randn(6) for _ in 1:8])
    @test lane_of(VDA.to_tridiagonal!(copy(x), s), 3) == lane_of(x, 3)
    @test all(iszero, lane_of(s.d, 1))
end
