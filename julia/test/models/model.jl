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
