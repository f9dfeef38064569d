# Kuramoto-Sivashinsky: the growth of small waves, the constant mean, and the derivatives of the step.

include("../../shared/derivatives.jl")

@testset "Kuramoto-Sivashinsky" begin
    m = VDA.KuramotoSivashinsky(state_size = 32)
    (N, h) = (32, VDA.time_step(m))
    ws = VDA.step_workspace(Float64, m)
    step(x) = copy(VDA.step!(ws, RungeKutta4(), m, x, h))
    for n in (1, 3, 5)
        k = 2π * n / 22
        wave = 1e-9 .* [cos(2π * n * i / N) for i in 1:N]
        @test step(wave) ≈ exp(h * (k^2 - k^4)) .* wave rtol = 1e-7     # of the equation without -u uₓ
    end
    u = [cos(2π * i / N) + 0.6 * sin(6π * i / N) + 0.3 for i in 1:N]
    @test sum(step(u)) ≈ sum(u) rtol = 1e-12
    test_step_derivatives(m, u, 1.0)
    # The derivative by the length, which all matrices of the step depend on.
    others = [VDA.KuramotoSivashinsky(22.0 + ε, N) for ε in (1e-5, -1e-5)]
    (ahead, behind) = (VDA.step!(VDA.step_workspace(Float64, o), RungeKutta4(), o, u, h) for o in others)
    found = VDA.parameter_tangent!(zeros(N), m, u, (1.0,), VDA.workspace(Float64, m))
    @test found ≈ (ahead - behind) / 2e-5 rtol = 1e-6
end
