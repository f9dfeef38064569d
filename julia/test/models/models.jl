# Tendencies against the equations of the paper; Jacobians against differences and each other.

include("../shared/problems.jl")
rng = MersenneTwister(1)

@testset "tendency of $(name(m))" for m in MODELS
    for x in eachcol(states(rng, m, 5))
        @test VDA.tendency!(similar(x), m, x) ≈ paper_tendency(m, x) rtol = 1e-14
    end
end

# The tendencies are quadratic, so that a central difference is exact up to rounding for any step.
@testset "tangent linear of $(name(m)) is the central difference" for m in MODELS
    for x in eachcol(states(rng, m, 5))
        δ = randn(rng, length(m))
        difference = (paper_tendency(m, x + δ) - paper_tendency(m, x - δ)) / 2
        @test norm(VDA.tangent_linear!(similar(x), m, x, δ) - difference) <= 1e-13 * norm(difference)
    end
end

@testset "adjoint of $(name(m)): ⟨𝐌δ, v⟩ = ⟨δ, 𝐌ᵀv⟩" for m in MODELS
    for x in eachcol(states(rng, m, 20))
        δ, v = randn(rng, length(m)), randn(rng, length(m))
        Mδ = VDA.tangent_linear!(similar(x), m, x, δ)
        Mᵀv = VDA.adjoint!(similar(x), m, x, v)
        @test abs(dot(Mδ, v) - dot(δ, Mᵀv)) <= 1e-13 * norm(Mδ) * norm(v)
    end
end

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
