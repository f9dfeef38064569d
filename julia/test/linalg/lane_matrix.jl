# Dense kernels on rows in lanes against LinearAlgebra; what must not be read is NaN.

include("../shared/exceptions.jl")
using LinearAlgebra, Random, Test, VDA

"The lane matrix of A, whose memory is A's transpose in Julia's order."
function lane_matrix(A)
    M = VDA.LaneMatrix(size(A, 1))
    M.scalars .= permutedims(A)
    return M
end
function lane_vector(v)
    x = VDA.LaneVector(length(v))
    x.scalars .= v
    return x
end
"A with NaN below its diagonal."
upper_only(A) = [i <= j ? A[i, j] : NaN for i in axes(A, 1), j in axes(A, 2)]

@testset "$P numbers" for P in (8, 16, 40)
    rng = MersenneTwister(71 + P)
    (G, X, C) = (randn(rng, P, P), randn(rng, P, P), randn(rng, P, P))
    A = G * G' + I
    (y, z) = (randn(rng, P), randn(rng, P))

    sum = VDA.add_gram!(lane_matrix(C), -0.5, lane_matrix(X), P - 3)
    expected = C - 0.5 * X[1:P-3, :]' * X[1:P-3, :]
    @test UpperTriangular(permutedims(sum.scalars)) ≈ UpperTriangular(expected)

    U = lane_matrix(upper_only(A))
    R⁻ᵀX = lane_matrix(X)
    @test VDA.eliminate!(U, R⁻ᵀX)
    R = cholesky(Symmetric(A)).U
    @test UpperTriangular(permutedims(U.scalars)) ≈ R
    @test permutedims(R⁻ᵀX.scalars) ≈ R' \ X
    @test VDA.solve_transposed!(lane_vector(y), U).scalars ≈ R' \ y
    @test VDA.solve_upper!(lane_vector(y), U).scalars ≈ R \ y

    M = lane_matrix(X)
    @test VDA.subtract_transposed!(lane_vector(y), M, lane_vector(z)).scalars ≈ y - X' * z
    @test VDA.subtract_product!(lane_vector(y), M, lane_vector(z)).scalars ≈ y - X * z

    v = lane_vector(y)
    @test @allocated(VDA.solve_upper!(v, U)) == 0
    @test @allocated(VDA.eliminate!(M, nothing)) == 0
end

@testset "a matrix that is not positive definite is reported" begin
    A = Matrix(1.0I, 16, 16)
    A[11, 11] = -1.0
    @test !VDA.eliminate!(lane_matrix(A), nothing)
    A[11, 11] = NaN
    @test !VDA.eliminate!(lane_matrix(A), nothing)
end
