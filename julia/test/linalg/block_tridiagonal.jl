# The block-tridiagonal solver against a dense one.

include("../shared/exceptions.jl")
using LinearAlgebra, Random, Test, VDA

"A random symmetric positive definite block-tridiagonal matrix, dense."
function random_system(rng, D, K)
    A = zeros(D * K, D * K)
    for k in 1:K
        r = (k-1)*D+1:min(k + 1, K)*D
        G = randn(rng, length(r), length(r))
        A[r, r] .+= G * G'
    end
    return A + 0.1I
end
block(A, D, i, j) = A[(i-1)*D+1:i*D, (j-1)*D+1:j*D]

"The same as the package holds it; NaN where it must not look."
function lane_blocks(A, D, K)
    blocks = VDA.LaneBlocks{D,Float64}(K)
    foreach(a -> fill!(a, NaN), (blocks.diagonal, blocks.below))
    for k in 1:K
        for j in 1:D, i in j:D
            blocks.diagonal[i, j, k] = block(A, D, k, k)[i, j]
        end
        k < K && (blocks.below[:, :, k] = block(A, D, k + 1, k))
    end
    return blocks
end
"The same, padded with the identity to blocks of a multiple of eight."
function dense_blocks(A, D, K)
    P = 8 * cld(D, 8)
    blocks = VDA.DenseBlocks(P, K)
    for k in 1:K
        for i in D+1:P
            blocks.diagonal[k].scalars[i, i] = 1.0
        end
        blocks.diagonal[k].scalars[1:D, 1:D] .= LowerTriangular(block(A, D, k, k)) # (column, row)
        k < K && (blocks.below[k].scalars[1:D, 1:D] .= block(A, D, k + 1, k)')
    end
    return blocks
end
function dense_vectors(b, D, K)
    vectors = [VDA.LaneVector(8 * cld(D, 8)) for _ in 1:K]
    for k in 1:K
        vectors[k].scalars[1:D] .= b[:, k]
    end
    return vectors
end

const SIZES = ((1, 1), (1, 5), (2, 7), (3, 1), (3, 30), (8, 6), (13, 4), (40, 5))

@testset "$D x $D blocks, $K of them" for (D, K) in SIZES
    rng = MersenneTwister(51)
    A = random_system(rng, D, K)
    b = randn(rng, D, K)
    damped = A + 0.5I
    x = reshape(damped \ vec(b), D, K)
    inverse = inv(damped)

    small = lane_blocks(A, D, K)
    VDA.factorise!(small, 0.5)
    @test norm(VDA.solve!(copy(b), small) - x) <= 1e-11 * norm(x)
    Z = VDA.inverse_diagonal!(zeros(D, D, K), small)
    for k in 1:K
        @test norm(Z[:, :, k] - block(inverse, D, k, k)) <= 1e-11 * norm(inverse)
    end

    large = dense_blocks(A, D, K)
    @test VDA.factorise!(large, 0.5)
    found = VDA.solve!(dense_vectors(b, D, K), large)
    @test norm(reduce(hcat, [v.scalars[1:D] for v in found]) - x) <= 1e-11 * norm(x)
    Z = VDA.inverse_diagonal!([zeros(8 * cld(D, 8), 8 * cld(D, 8)) for _ in 1:K], large)
    for k in 1:K
        @test norm(Z[k][1:D, 1:D] - block(inverse, D, k, k)) <= 1e-11 * norm(inverse)
    end
end

@testset "lanes are systems alone, and one that is not positive definite harms no other" begin
    D, K = 3, 9
    N = VDA.lanes_for(Float64)
    rng = MersenneTwister(52)
    systems = [random_system(rng, D, K) for _ in 1:8]
    systems[4] -= 100I
    systems[6][5, 5] = NaN
    blocks = VDA.LaneBlocks{D,N}(K)
    alone = [lane_blocks(A, D, K) for A in systems]
    b = randn(rng, 8, D, K)
    x = zeros(N, D, K)
    for w in 1:8
        VDA.scalars(reshape(blocks.diagonal, D, :))[w, :, :] .= reshape(alone[w].diagonal, D, :)
        VDA.scalars(reshape(blocks.below, D, :))[w, :, :] .= reshape(alone[w].below, D, :)
        VDA.scalars(x)[w, :, :] .= b[w, :, :]
    end
    VDA.factorise!(blocks, N(0.0))
    VDA.solve!(x, blocks)
    for w in 1:8
        found = VDA.scalars(x)[w, :, :]
        if w in (4, 6)
            @test any(isnan, found)
        else
            expected = reshape(systems[w] \ vec(b[w, :, :]), D, K)
            @test norm(found - expected) <= 1e-11 * norm(expected)
        end
    end
end

@testset "failure is reported, and nothing is allocated" begin
    A = random_system(MersenneTwister(53), 8, 4)
    good, bad, broken = dense_blocks(A, 8, 4), dense_blocks(A - 200I, 8, 4), dense_blocks(A, 8, 4)
    broken.diagonal[3].scalars[2, 1] = NaN
    @test VDA.factorise!(good, 0.0) && !VDA.factorise!(bad, 0.0) && !VDA.factorise!(broken, 0.0)
    x = dense_vectors(ones(8, 4), 8, 4)
    VDA.solve!(x, good)
    @test @allocated(VDA.solve!(x, good)) == 0
    @test @allocated(VDA.factorise!(good, 0.0)) == 0

    small = lane_blocks(A, 8, 4)
    y = ones(8, 4)
    VDA.factorise!(small, 0.0)
    VDA.solve!(y, small)
    @test @allocated(VDA.factorise!(small, 0.0)) == 0
    @test @allocated(VDA.solve!(y, small)) == 0
end
