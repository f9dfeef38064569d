# Factors and triangular solves against LAPACK; an indefinite matrix is reported, not thrown.

include("../shared/exceptions.jl")
using LinearAlgebra, Random, Test, VDA

@testset "factor and solves, D = $D" for D in (1, 3, 8)
    rng = MersenneTwister(61)
    A = randn(rng, D, D)
    A = A * A' + I
    L = copy(A)
    @test VDA.cholesky_in_place!(L)
    @test LowerTriangular(L) ≈ cholesky(Symmetric(A)).L
    b = randn(rng, D)
    v = VDA.backward!(VDA.forward!(copy(b), L), L)
    @test A * v ≈ b
end

@testset "a matrix that is not positive definite" begin
    @test !VDA.cholesky_in_place!([1.0 2.0; 2.0 1.0])
    @test !VDA.cholesky_in_place!([NaN 0.0; 0.0 1.0])
end
