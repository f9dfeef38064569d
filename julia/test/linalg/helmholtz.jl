# The Helmholtz solver: its result satisfies the five-point equation, and is that of products with sines.

include("../shared/exceptions.jl")
using LinearAlgebra, Test, VDA

"share f + α u by the solver, walls included, and f, of which (∇² - F) u = f."
function solved(M, F, α, share)
    solver = VDA.Helmholtz(M, F)
    (f, base, out) = ntuple(_ -> VDA.grid_field!(solver.memory, M), 3)
    inside = [sin(3x * y) + cos(x - 2y) for x in 1:M-1, y in 1:M-1]
    array = zeros(M + 1, M + 1)
    array[2:M, 2:M] = inside
    GC.@preserve solver begin
        VDA.load!(f, array)
        VDA.load!(base, share .* array)
        foreach(y -> VDA.to_modes!(solver, f, y), 1:8:M-7)
        VDA.solve_modes!(solver)
        foreach(y -> VDA.add_solution!(out, base, α, solver, y), 1:8:M-7)
        return VDA.store!(similar(array), out), array
    end
end

@testset "Helmholtz solver M = $M" for (M, F) in ((8, 0.0), (16, 3.0), (32, 1600.0), (128, 7.0), (256, 1600.0))
    (u, f) = solved(M, F, 1.0, 0.0)
    @test all(iszero, u[1, :]) && all(iszero, u[end, :]) && all(iszero, u[:, 1]) && all(iszero, u[:, end])
    (inner, inside) = (u[2:M, 2:M], f[2:M, 2:M])
    residual = M^2 .* (u[1:M-1, 2:M] + u[3:M+1, 2:M] + u[2:M, 1:M-1] + u[2:M, 3:M+1] - 4 .* inner) - F .* inner - inside
    @test norm(residual) < 1e-10 * norm(inside)
    sines = [sqrt(2 / M) * sinpi(j * k / M) for j in 1:M-1, k in 1:M-1]
    eigenvalues = [-(2M * sinpi(k / 2M))^2 for k in 1:M-1]
    expected = sines * ((sines * inside * sines) ./ (eigenvalues .+ eigenvalues' .- F)) * sines
    @test norm(inner - expected) < 1e-12 * norm(expected)
    @test solved(M, F, -0.5, 2.0)[1] ≈ 2 .* f .- 0.5 .* u
end
