# Advection and diffusion of two tracers around islands: what is conserved, what land does, and the derivatives.

include("../../shared/derivatives.jl")

@testset "two tracers in a basin of $n × $n cells" for n in (12, 20)
    x = randn(MersenneTwister(n), 2n^2)
    sea = .!VDA.land(VDA.AdvectionDiffusion(n = n))
    @test 0.5 < count(sea) / length(sea) < 1
    (a, b) = (1:n^2, n^2+1:2n^2)
    dx = tendency_of(VDA.AdvectionDiffusion(decay = 0.0, n = n), x)
    @test abs(sum(dx)) <= 1e-11                                          # a + b
    @test all(iszero, dx[.!sea])
    dx = tendency_of(VDA.AdvectionDiffusion(n = n), x)
    @test sum(dx) ≈ -0.01 * sum(x[b][sea[b]]) rtol = 1e-9               # the decay of b
    advected = tendency_of(VDA.AdvectionDiffusion(diffusivity = 0.0, transfer = 0.0, decay = 0.0, n = n), x)
    for tracer in (a, b)
        @test abs(dot(x[tracer], advected[tracer])) <= 1e-12 * sum(abs2, x)
    end
    # Diffusion flattens: each face between cells of water takes the square of its difference.
    diffused = tendency_of(VDA.AdvectionDiffusion(speed = 0.0, diffusivity = 0.3, transfer = 0.0, decay = 0.0, n = n), x)
    (grid, wet) = (reshape(x[a], n, n), reshape(sea[a], n, n))
    faces = sum(abs2, (grid[2:n, :] - grid[1:n-1, :])[wet[2:n, :] .& wet[1:n-1, :]]) +
            sum(abs2, (grid[:, 2:n] - grid[:, 1:n-1])[wet[:, 2:n] .& wet[:, 1:n-1]])
    @test dot(x[a], diffused[a]) ≈ -0.3 * faces rtol = 1e-12
    test_derivatives(VDA.AdvectionDiffusion(n = n), x)
end
