# The misfits of a library's members, against plain loops: of all, and of those alone that may count.

include("../shared/exceptions.jl")
using Random, Test, VDA

const STEPS = 10

"A library of whatever numbers, for windows of `STEPS` steps."
random_library(signs, each; lead = 3, trajectories = 3) =
    VDA.Library(randn(MersenneTwister(61), 3, lead + 4 * (each - 1) + STEPS, trajectories), lead, signs)

function sparse_data(rng)
    y = randn(rng, 3, STEPS, 1)
    return y, (rand(rng, 3, STEPS, 1) .< 0.4) .* (0.5 .+ rand(rng, 3, STEPS, 1))
end

"J of every member, and its states."
function plain(l, y, precision, each)
    x = [s .* l.states[:, l.lead + 4j .+ (1:STEPS), q]
         for s in unique([ones(3), l.signs]) for q in axes(l.states, 3) for j in 0:each-1]
    return [sum(precision[:, :, 1] .* (y[:, :, 1] .- states) .^ 2) / 2 for states in x], x
end

# Fewer members a trajectory than are compared at a time, as many, and some more.
@testset "misfits, signs $signs, $each members a trajectory" for
         signs in ([1.0, 1.0, 1.0], [-1.0, -1.0, 1.0]), each in (1, 5, 16, 37)
    l = random_library(signs, each)
    y, precision = sparse_data(MersenneTwister(62))
    data = VDA.Data(y, precision, 1)
    expected, states = plain(l, y, precision, each)
    J = fill(NaN32, length(expected))
    @test VDA.misfits!(J, l, data, STEPS) == minimum(J)
    @test J ≈ expected rtol = 1e-5
    for j in eachindex(J)
        q, from, mirrored = VDA.place(l, j, STEPS)
        @test states[j] == (mirrored ? signs : ones(3)) .* l.states[:, from:from+STEPS-1, q]
        @test VDA.misfit_of_member(l, j, data, STEPS) ≈ expected[j] rtol = 1e-12
    end
    cut = fill(NaN32, length(J))
    for margin in (0, 2, 5)
        @test VDA.misfits!(cut, l, data, STEPS, margin) == minimum(J)
        counts = J .<= minimum(J) + margin
        @test cut[counts] == J[counts]
        @test all(cut[.!counts] .> minimum(J) + margin)
        found = Int[]
        VDA.each_below(j -> cut[j] <= minimum(J) + margin && push!(found, j), cut, minimum(J) + margin)
        @test found == findall(counts)
    end
end

@testset "most misfits end early" begin
    l = random_library(ones(3), 320)
    (y, precision) = (l.states[:, 4:3+STEPS, 2:2], fill(30.0, 3, STEPS, 1))
    data = VDA.Data(y, precision, 1)
    (J, cut) = (zeros(Float32, 960), zeros(Float32, 960))
    @test VDA.misfits!(J, l, data, STEPS) == VDA.misfits!(cut, l, data, STEPS, 1) == 0
    @test argmin(cut) == 321
    @test count(cut .< J) > 0.6 * length(J)
end

@testset "no least misfit where all overflow" begin
    l = random_library([-1.0, -1.0, 1.0], 20)
    y, precision = sparse_data(MersenneTwister(62))
    y[1, :, 1] .= 1e30
    precision[1, 1, 1] = 1
    for margin in (0, 25, Inf)
        J = zeros(Float32, 120)
        @test VDA.misfits!(J, l, VDA.Data(y, precision, 1), STEPS, margin) == Inf
        @test !any(isfinite, J)
    end
end
