# Lorenz-84: the Hadley state, the balance of its energy, and its derivatives.

include("../../shared/derivatives.jl")

@testset "Lorenz-84" begin
    m = VDA.Lorenz84()
    (a, b, F, G) = VDA.parameters(m)
    @test tendency_of(VDA.Lorenz84(G = 0.0), [F, 0.0, 0.0]) == zeros(3)
    (x, y, z) = state = [1.2, -0.7, 2.1]
    @test tendency_of(m, state) ≈ [-y^2 - z^2 - a * x + a * F, x * y - b * x * z - y + G, b * x * y + x * z - z] rtol = 1e-14
    # The terms of second degree exchange energy and make none.
    @test dot(state, tendency_of(m, state)) ≈ a * F * x - a * x^2 + G * y - y^2 - z^2 rtol = 1e-13
    test_derivatives(m, state)
end
