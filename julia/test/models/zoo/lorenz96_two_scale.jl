# Two-scale Lorenz-96: the equations written out, the balance of energy between the scales, and its derivatives.

include("../../shared/derivatives.jl")

@testset "two-scale Lorenz-96 of $K slow variables, each with $J" for (K, J) in ((4, 3), (5, 4))
    m = VDA.Lorenz96TwoScale(K = K, J = J)
    (F, h, c, b) = VDA.parameters(m)
    @test length(m) == K + K * J
    x = randn(MersenneTwister(K), length(m))
    (X, Y) = (k -> x[mod1(k, K)], n -> x[K+mod1(n, K * J)])
    slow = [X(k - 1) * (X(k + 1) - X(k - 2)) - X(k) + F - h * c / b * sum(Y((k - 1) * J + j) for j in 1:J) for k in 1:K]
    fast = [c * b * Y(n + 1) * (Y(n - 1) - Y(n + 2)) - c * Y(n) + h * c / b * X(cld(n, J)) for n in 1:K*J]
    found = tendency_of(m, x)
    @test found ≈ vcat(slow, fast) rtol = 1e-13
    @test dot(x, found) ≈ F * sum(x[1:K]) - sum(abs2, x[1:K]) - c * sum(abs2, x[K+1:end]) rtol = 1e-11
    test_derivatives(m, x)
end
