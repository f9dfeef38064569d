# Jacobi's eigenvectors against LAPACK's eigenvalues.

include("../shared/exceptions.jl")
using LinearAlgebra, Random, Test, VDA

@testset "eigenvectors by rotations" begin
    rng = MersenneTwister(53)
    for n in (1, 2, 7, 20)
        A = randn(rng, n, n + 1)
        C = A * A'
        n == 7 && (C[:, 3] .= 0; C[3, :] .= 0)      # a component without variance
        Λ = copy(C)
        U = VDA.eigenvectors!(zeros(n, n), Λ)
        @test U'U ≈ I atol = 1e-13
        @test U * Diagonal(diag(Λ)) * U' ≈ C atol = 1e-12 * norm(C)
        @test sort(diag(Λ)) ≈ eigvals(Symmetric(C)) atol = 1e-12 * norm(C)
    end
end
