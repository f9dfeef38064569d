# Lorenz-96: its steady state, the balance of its energy, the symmetry of the circle, and its derivatives.

include("../../shared/derivatives.jl")

@testset "Lorenz-96 of $D components" for D in (4, 5, 40)
    m = Lorenz96(8.0, D)
    @test norm(tendency_of(m, fill(8.0, D))) <= 1e-13
    x = 5 .* randn(MersenneTwister(D), D)
    at(i) = x[mod1(i, D)]
    @test tendency_of(m, x) ≈ [(at(i + 1) - at(i - 2)) * at(i - 1) - at(i) + 8 for i in 1:D] rtol = 1e-13
    @test dot(x, tendency_of(m, x)) ≈ 8 * sum(x) - sum(abs2, x) rtol = 1e-12
    @test tendency_of(m, circshift(x, 1)) ≈ circshift(tendency_of(m, x), 1) rtol = 1e-13
    test_derivatives(m, x)
end
