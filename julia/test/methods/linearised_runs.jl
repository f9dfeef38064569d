# Runs, their tangent linear and their adjoint against single steps, and the adjoint against the tangent linear.

include("../shared/exceptions.jl")
using LinearAlgebra, Random, Test, VDA

@testset "linearised runs of $(nameof(typeof(m)))" for (m, h) in (
    (VDA.Lorenz63(), 0.01), (VDA.Lorenz96(), 0.05), (VDA.KuramotoSivashinsky(state_size = 16), 0.25), (VDA.QuasiGeostrophic(n = 9), 5.0))
    (D, T, rng, scheme) = (length(m), 5, MersenneTwister(4), RungeKutta4())
    for windows in (1, 3), kept in (1, 2, 10)
        x = zeros(D, T, windows)
        x[:, 1, :] = randn(rng, D, windows)
        VDA.run!(x, scheme, m, h)
        (δ, v) = (zeros(D, T, windows), randn(rng, D, T, windows))
        δ[:, 1, :] = randn(rng, D, windows)
        VDA.tangent_run!(δ, x, scheme, m, h; kept = kept)
        for w in 1:windows, t in 1:T-1
            (from, along) = (x[:, t:t, w], δ[:, t:t, w])
            @test x[:, t+1, w] ≈ VDA.linearised_steps!(similar(from), from, from, scheme, m, h, 0)
            @test δ[:, t+1, w] ≈ VDA.linearised_steps!(similar(from), from, along, scheme, m, h, 1)
        end
        first_gradient = VDA.adjoint_run!(copy(v), x, scheme, m, h; kept = kept)[:, 1, :]
        for w in 1:windows
            @test dot(δ[:, :, w], v[:, :, w]) ≈ dot(δ[:, 1, w], first_gradient[:, w]) rtol = 1e-11
        end
        # With a forcing the adjoint holds the gradient with respect to it at each time.
        forcing = randn(rng, D, T, windows)
        tangent = VDA.tangent_run!(copy(forcing), x, scheme, m, h; kept = kept)
        gradient = VDA.adjoint_run!(copy(v), x, scheme, m, h; kept = kept)
        @test dot(tangent, v) ≈ dot(forcing, gradient) rtol = 1e-11
        small = 1e-6 * forcing
        forced = x .* (axes(x, 2)' .== 1) .+ small
        @test norm(VDA.run!(forced, scheme, m, h) - x - 1e-6 * tangent) < 1e-3 * norm(1e-6 * tangent)
        # The same again, where the workspaces remember their steps.
        @test VDA.adjoint_run!(copy(v), x, scheme, m, h; kept = kept)[:, 1, :] == first_gradient
    end
end

@testset "a run makes no array of its states" begin
    (m, scheme, h, T) = (VDA.QuasiGeostrophic(n = 33), RungeKutta4(), 5.0, 5)
    x = zeros(length(m), T, 1)
    runs = (() -> VDA.run!(x, scheme, m, h), () -> VDA.tangent_run!(x, x, scheme, m, h; kept = T), () -> VDA.adjoint_run!(x, x, scheme, m, h; kept = T))
    for run in runs
        run()
        @test (@allocated run()) < sizeof(Float64) * length(m)
    end
end

@testset "what a workspace takes is measured once" begin
    m = VDA.QuasiGeostrophic(n = 33)
    taken = VDA.workspace_bytes(m)
    @test taken == Base.summarysize(VDA.known_rooms(m)[1][1])
    @test (@allocated VDA.workspace_bytes(m)) < 1000            # a walk keeps a table of what it has seen
    @test VDA.workspace_bytes(VDA.Lorenz63()) == 0
end

@testset "a run of one step" begin
    x = ones(3, 1, 1)
    @test VDA.run!(copy(x), RungeKutta4(), VDA.Lorenz63(), 0.01) == x
    @test VDA.adjoint_run!(copy(x), x, RungeKutta4(), VDA.Lorenz63(), 0.01; kept = 4) == x
end
