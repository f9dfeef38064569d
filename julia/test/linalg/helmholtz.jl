# The Helmholtz solver: its result satisfies the five-point equation.

include("../shared/exceptions.jl")
using LinearAlgebra, Test, VDA

@testset "Helmholtz solver M = $M" for (M, F) in ((8, 0.0), (32, 1600.0), (128, 7.0))
    solver = VDA.Helmholtz(M, F)
    fields = ntuple(_ -> VDA.grid_field!(solver.memory, M), 3)
    (f, base, out) = fields
    inside = [sin(3x * y) + cos(x - 2y) for x in 1:M-1, y in 1:M-1]
    array = zeros(M + 1, M + 1)
    array[2:M, 2:M] = inside
    GC.@preserve solver begin
        VDA.load!(f, array)
        VDA.load!(base, 2 .* array)
        VDA.solve!(out, base, -0.5, solver, f)
        found = VDA.store!(similar(array), out)
    end
    u = -2 .* (found .- 2 .* array)
    @test all(iszero, u[1, :]) && all(iszero, u[end, :]) && all(iszero, u[:, 1]) && all(iszero, u[:, end])
    inner = u[2:M, 2:M]
    residual = M^2 .* (u[1:M-1, 2:M] + u[3:M+1, 2:M] + u[2:M, 1:M-1] + u[2:M, 3:M+1] - 4 .* inner) - F .* inner - inside
    @test norm(residual) < 1e-10 * norm(inside)
end
