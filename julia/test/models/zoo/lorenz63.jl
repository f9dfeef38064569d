# Lorenz-63: its fixed points, symmetry and contraction, as in the paper, and its derivatives.

include("../../shared/derivatives.jl")

@testset "Lorenz-63" begin
    m = Lorenz63()
    (σ, ρ, β) = VDA.parameters(m)
    a = sqrt(β * (ρ - 1))
    for point in ([0.0, 0.0, 0.0], [a, a, ρ - 1], [-a, -a, ρ - 1])
        @test norm(tendency_of(m, point)) <= 1e-13
    end
    x = [-5.0, 3.0, 21.0]
    @test tendency_of(m, x) ≈ [σ * 8, -5 * (ρ - 21) - 3, -15 - β * 21] rtol = 1e-14
    @test tendency_of(m, [-1, -1, 1] .* x) == [-1, -1, 1] .* tendency_of(m, x)
    divergence = sum(VDA.tangent_linear!(zeros(3), m, x, e)[i] for (i, e) in enumerate(eachcol(Matrix(1.0I, 3, 3))))
    @test divergence ≈ -(σ + 1 + β) rtol = 1e-14
    test_derivatives(m, x)
end
