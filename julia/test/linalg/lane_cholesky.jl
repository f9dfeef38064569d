include("../shared/exceptions.jl")
using Test, Random, LinearAlgebra
using VDA: Lanes, LaneFactor, lane, factorise_panels!, solve_panel!, place

@testset "Cholesky factors in lanes" begin
    rng = MersenneTwister(1)
    N = Lanes{8,Float64}
    for n in (4, 8, 20, 60)
        matrices = [(B = randn(rng, n, n); B * B' + I) for _ in 1:8]
        rows = [randn(rng, 4, n) for _ in 1:8]
        F = LaneFactor{N}(n + 4)
        packed(f) = N(ntuple(w -> VecElement(f(w)), 8))
        for i in 1:n, j in 1:i
            F.panels[place(i, j)] = packed(w -> matrices[w][i, j])
        end
        for i in 1:4, j in 1:n
            F.panels[place(n + i, j)] = packed(w -> rows[w][i, j])
        end
        factorise_panels!(F, 1, n ÷ 4)
        solve_panel!(F, n ÷ 4 + 1, n ÷ 4)
        for w in 1:8
            L = cholesky(matrices[w]).L
            @test [i >= j ? lane(F.panels[place(i, j)], w) : 0.0 for i in 1:n, j in 1:n] ≈ L rtol = 1e-12
            @test [lane(F.panels[place(n + i, j)], w) for i in 1:4, j in 1:n] ≈ rows[w] / L' rtol = 1e-11
        end
        @test (@allocated factorise_panels!(F, 1, n ÷ 4)) == 0
    end
    F = LaneFactor{N}(8)        # one lane without a factor leaves the others alone
    for i in 1:4, j in 1:i
        F.panels[place(i, j)] = N(ntuple(w -> VecElement(i == j ? (w == 3 ? -1.0 : 4.0) : 0.0), 8))
    end
    factorise_panels!(F, 1, 1)
    @test isnan(lane(F.panels[1], 3)) && lane(F.panels[1], 2) == 2.0
end
