# The circle of a large model: every place once, with what stands around it.

include("../shared/problems.jl")
rng = MersenneTwister(1)

@testset "all places of the circle, once" begin
    for D in (4, 5, 6, 40)
        places = VDA.Neighbours[]
        VDA.each_place(s -> push!(places, s), Lorenz96(8.0, D))
        @test [s.i for s in places] == 1:D
        @test all(s -> (s.ll, s.l, s.r, s.rr) == mod1.(s.i .+ (-2, -1, 1, 2), D), places)
    end
end

# The same from all vectors at once, in whatever order and however many places at a time; 4 to 7: all
# that can be left over from groups of four.
@testset "what stands around each place, $D on the circle" for D in (4, 5, 6, 7, 8, 11, 40)
    weights = (ll = 1.0, l = -2.0, i = 3.0, r = 5.0, rr = 7.0)
    all_around(z, s) = sum(weights[k] * z[getfield(s, k)] for k in keys(weights))
    m = Lorenz96(8.0, D)
    x, δ, a, b, out = (randn(rng, D) for _ in 1:5)
    before = map(copy, (x, δ, a, b))
    f(s, (x, δ), (a, b)) = all_around(x, s) * all_around(δ, s) + a * b
    around(z, i) = sum(weights[k] * z[mod1(i + k - 3, D)] for k in 1:5)
    @test VDA.map_places!(f, out, m, (x, δ), (a, b)) === out
    @test out ≈ [around(x, i) * around(δ, i) + a[i] * b[i] for i in 1:D] rtol = 1e-13
    @test (x, δ, a, b) == before
end
