include("../shared/exceptions.jl")
using Test, Random
using VDA: GroupedData, Cells, Factor, InterpolationProblem, Lanes, interpolate!

const KINDS = [(0.5, 0.0, 30.0, 0.0, 3.0), (0.3, 1.0, 20.0, 2.0, 5.0), (0.2, 2.0, 40.0, 3.0, 4.0), (0.1, 3.0, 25.0, 1.0, 2.0)]

"    problem(changes) -> with a variance added to all errors, and changes of the logarithms of constants"
function problem(changes)
    (rng, n, G) = (MersenneTwister(5), 60, 3)
    group = sort(rand(rng, 1:G, n))
    position = [100 .* rand(rng, 2, n); zeros(1, n)]
    data = GroupedData(position, position[1:2, :], zeros(Int64, n), [searchsortedfirst(group, g) for g in 1:G+1], (1.0, 1.0), 0.0)
    rows = [(v * exp(changes[3k-1]), space, km * exp(changes[3k]), time, days * exp(changes[3k+1]))
            for (k, (v, space, km, time, days)) in enumerate(KINDS)]
    return InterpolationProblem(data, [Cells(data, g) for g in 1:G], Float64.(group), randn(rng, n), 0.1 .+ rand(rng, n) .+ changes[1],
                                Float64.(group), zeros(3, 0), [Factor{Lanes{8,Float64}}(row) for row in rows], (0.2, 15.0), 3, 2, 1.5, 1e9,
                                collect(1.0:G))
end

@testset "derivatives of an optimal interpolation" begin
    positions = [100 .* rand(MersenneTwister(1), 2, 6); zeros(1, 6)]
    (point, time, group) = (repeat(1:6; inner = 2), repeat([1.0, 2.5], 6), repeat([1, 0], 6))
    run(changes, derivatives...) =
        interpolate!(zeros(4, 12), problem(changes), positions, positions[1:2, :], point, time, group, derivatives...)[1:2, :]
    (unchanged, derivatives) = (zeros(13), zeros(2, 13, 12))
    @test run(unchanged, derivatives) == run(unchanged)
    for k in 1:13
        small = [1e-4 * (i == k) for i in 1:13]
        @test derivatives[:, k, :] ≈ (run(small) - run(-small)) / 2e-4 atol = 1e-6
    end
end
