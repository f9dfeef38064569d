# A model with its parameters in its state: against the paper's equations with other parameters.

include("../shared/problems.jl")
rng = MersenneTwister(11)

with(m::Lorenz63, θ) = Lorenz63(θ...)
with(m::Lorenz96, θ) = Lorenz96(θ[1], m.D)
parts(m, z) = z[1:length(m)], z[length(m)+1:end]
count_of(::Lorenz63) = 3
count_of(::Lorenz96) = 1

# Nonlinear in its parameters, so that their derivatives depend on where they are taken.
struct Waves{T} <: VDA.LargeModel
    c::T
    k::T
    n::Int
end
VDA.dimensions(m::Waves) = (site = m.n,)
VDA.time_step(::Type{<:Waves}) = 0.01
VDA.tendency(m::Waves, x, s) = m.c^2 * (x[s.l] - x[s.r]) - m.k^3 * x[s.i]
VDA.tangent_linear(m::Waves, x, δ, s) = VDA.tendency(m, δ, s)
VDA.adjoint(m::Waves, x, v, s) = m.c^2 * (v[s.r] - v[s.l]) - m.k^3 * v[s.i]
usual_step(::Waves) = 1e-4
with(m::Waves, θ) = Waves(θ..., m.n)
count_of(::Waves) = 2
paper_tendency(m::Waves, x) = [m.c^2 * (x[mod1(i - 1, m.n)] - x[mod1(i + 1, m.n)]) - m.k^3 * x[i] for i in 1:m.n]
const EXTENDABLE = (MODELS..., Waves(1.5, 0.5, 7))

"(x, θ) one step later, by the formulas of the paper."
function paper_step_with(scheme, m, z, h)
    x, θ = parts(m, z)
    return vcat(paper_step(scheme, with(m, θ), x, h), θ)
end
at_random(m) = vcat(vec(states(rng, m, 1)), 5 .+ 20 .* rand(rng, count_of(m)))

@testset "$(nameof(typeof(scheme))), $(name(m)) with parameters" for scheme in SCHEMES, m in EXTENDABLE
    h = usual_step(m)
    extended = VDA.WithParameters(m)
    for _ in 1:10
        z = at_random(m)
        δ, v = randn(rng, length(z)), randn(rng, length(z))
        @test length(extended) == length(z)
        @test linearised(scheme, extended, z, v, h, FORECAST) ≈ paper_step_with(scheme, m, z, h) rtol = 1e-14

        central(ε, δ) = (paper_step_with(scheme, m, z + ε * δ, h) - paper_step_with(scheme, m, z - ε * δ, h)) / 2ε
        for direction in (δ, vcat(zeros(length(m)), 1 .+ rand(rng, count_of(m))))
            difference = (4 * central(1e-3, direction) - central(2e-3, direction)) / 3
            Φδ = linearised(scheme, extended, z, direction, h, TANGENT)
            @test norm(Φδ - difference) <= 1e-10 * norm(difference)
        end

        Φδ, Φᵀv = linearised(scheme, extended, z, δ, h, TANGENT), linearised(scheme, extended, z, v, h, ADJOINT)
        @test abs(dot(Φδ, v) - dot(δ, Φᵀv)) <= 1e-13 * norm(Φδ) * norm(v)

        # Parameters that are not moved change nothing.
        x, θ = parts(m, z)
        alone = linearised(scheme, with(m, θ), x, δ[1:length(m)], h, TANGENT)
        still = linearised(scheme, extended, z, vcat(δ[1:length(m)], zero(θ)), h, TANGENT)
        @test still ≈ vcat(alone, zero(θ)) rtol = 1e-14
    end
end

@testset "adjoint matrix, $(nameof(typeof(scheme))), $(name(m)) with parameters" for scheme in SCHEMES, m in EXTENDABLE
    z, extended = at_random(m), VDA.WithParameters(m)
    unit(i) = Float64.(eachindex(z) .== i)
    columns(what) = reduce(hcat, [linearised(scheme, extended, z, unit(i), usual_step(m), what) for i in eachindex(z)])
    J = columns(TANGENT)
    @test norm(columns(ADJOINT) - J') <= 1e-14 * norm(J)
end

# Over many steps, lanes and groups of columns included: the columns that strong-constraint 4D-Var uses.
@testset "columns over 30 steps, $(name(m)) with parameters" for m in PAPER
    h, steps, D = usual_step(m), 30, length(m)
    extended = VDA.WithParameters(m)
    x = zeros(D, 1, 1)
    simulate!(x, states(rng, m, 1), m, h, 30.0, 1e-9, 1e-9)
    z = vcat(vec(x), collect(VDA.parameters(m)))
    function ahead(z)
        for _ in 1:steps
            z = paper_step_with(RungeKutta4(), m, z, h)
        end
        return z
    end
    columns = zeros(length(z), length(z))
    if m isa VDA.SmallModel
        N = VDA.lanes_for(Float64)
        state = ntuple(i -> N(z[i]), length(z))
        _, found = VDA.segment(RungeKutta4(), extended, state, VDA.unit_columns(N, VDA.size_of(extended)), h, steps)
        for j in eachindex(z), i in eachindex(z)
            columns[i, j] = VDA.lane(found[j][i], 5)
        end
    else
        ws = VDA.segment!(VDA.start!(VDA.SegmentWorkspace(extended), z), RungeKutta4(), extended, h, steps)
        columns .= ws.transposed[1:length(z), 1:length(z)]'
    end
    for j in eachindex(z)
        δ = Float64.(eachindex(z) .== j)
        central(ε) = (ahead(z + ε * δ) - ahead(z - ε * δ)) / 2ε
        difference = (4 * central(1e-4) - central(2e-4)) / 3
        @test norm(columns[:, j] - difference) <= 1e-7 * norm(difference)
    end
end

# The verdict looks at parameters other than the model's own: a derivative taken at those is found.
struct AtOwnParameters{T} <: VDA.LargeModel
    c::T
    n::Int
end
VDA.dimensions(m::AtOwnParameters) = (site = m.n,)
VDA.time_step(::Type{<:AtOwnParameters}) = 0.01
VDA.tendency(m::AtOwnParameters, x, s) = -m.c^2 * x[s.i]
VDA.tangent_linear(m::AtOwnParameters, x, δ, s) = -m.c^2 * δ[s.i]
VDA.adjoint(m::AtOwnParameters, x, v, s) = -m.c^2 * v[s.i]
VDA.parameter_tangent(m::AtOwnParameters, x, (c′,), s) = -2 * 1.5 * c′ * x[s.i]
VDA.parameter_adjoint(m::AtOwnParameters, x, v) = (-2 * 1.5 * sum(v[i] * x[i] for i in 1:m.n),)

@testset "the verdict on derivatives by parameters" begin
    @test VDA.is_right(VDA.verdict(Waves(1.5, 0.5, 7), true))
    @test VDA.is_right(VDA.verdict(AtOwnParameters(1.5, 5)))
    @test !VDA.is_right(VDA.verdict(AtOwnParameters(1.5, 5), true))
end
