include("../shared/exceptions.jl")
using Test, Random, LinearAlgebra
using VDA: GroupedData, Cells, Factor, InterpolationProblem, Lanes, interpolate!

matern(x) = (1 + sqrt(3) * x) * exp(-sqrt(3) * x)
C(r, t) = 0.5 * exp(-r / 30 - abs(t) / 3) + 0.3 * exp(-(r / 20)^2 / 2) * matern(abs(t) / 5)
const ROWS = [(0.5, 0.0, 30.0, 0.0, 3.0), (0.3, 1.0, 20.0, 2.0, 5.0)]

function problem(rng, n, G; own = n, other = n, days = 1e9, velocity = zeros(3, 0))
    group = sort(rand(rng, 1:G, n))
    position = [100 .* rand(rng, 2, n); zeros(1, n)]
    data = GroupedData(position, position[1:2, :], zeros(Int64, n), [searchsortedfirst(group, g) for g in 1:G+1], (1.0, 1.0), 0.0)
    time = Float64.(group)
    return InterpolationProblem(data, [Cells(data, g) for g in 1:G], time, randn(rng, n), 0.1 .+ rand(rng, n), Float64.(group), velocity,
                                [Factor{Lanes{8,Float64}}(row) for row in ROWS], (0.2, 15.0), own, other, days, 1e9, collect(1.0:G))
end

@testset "optimal interpolation" begin
    rng = MersenneTwister(3)
    (n, G) = (90, 4)
    P = problem(rng, n, G)
    positions = [120 .* rand(rng, 2, 5) .- 10; zeros(1, 5)]
    (point, time) = (repeat(1:5; inner = G + 1), repeat(Float64.(0:G), 5))
    group = Int64.(repeat(0:G, 5))
    out = interpolate!(zeros(4, length(point)), P, positions, positions[1:2, :], point, time, group)
    distance(a, b) = norm(a - b)
    (d, t) = (P.data.position, P.time)
    A = [C(distance(d[:, i], d[:, j]), t[i] - t[j]) + (P.track[i] == P.track[j]) * 0.2 * exp(-distance(d[:, i], d[:, j]) / 15) +
         (i == j) * P.noise[i] for i in 1:n, j in 1:n]
    for q in eachindex(point)
        c = [C(distance(d[:, i], positions[:, point[q]]), t[i] - time[q]) for i in 1:n]
        @test out[1, q] ≈ dot(c, A \ P.value) atol = 1e-11
        @test out[2, q] ≈ 0.8 - dot(c, A \ c) atol = 1e-11
        best = argmax(c)
        @test out[3, q] ≈ distance(d[:, best], positions[:, point[q]])
        @test out[4, q] == t[best] - time[q]
    end
    # A point's numbers depend neither on those beside it nor on how many data they have.
    few = problem(rng, n, G; own = 3, other = 1, days = 1.5)
    whole = interpolate!(zeros(4, length(point)), few, positions, positions[1:2, :], point, time, group)
    for q in eachindex(point)
        one_ = interpolate!(zeros(4, 1), few, positions, positions[1:2, :], point[q:q], time[q:q], group[q:q])
        @test one_[:, 1] == whole[:, q]
    end
    # Data that move are those of the places that they reach.
    (u, q) = ([7.0, -3.0, 0.0], 8)
    moving = problem(MersenneTwister(3), n, G; velocity = repeat(u, 1, n))
    found = interpolate!(zeros(4, 1), moving, positions, positions[1:2, :], point[q:q], time[q:q], group[q:q])
    at = d .+ u .* (time[q] .- t)'
    A = [C(distance(at[:, i], at[:, j]), t[i] - t[j]) + (P.track[i] == P.track[j]) * 0.2 * exp(-distance(at[:, i], at[:, j]) / 15) +
         (i == j) * P.noise[i] for i in 1:n, j in 1:n]
    c = [C(distance(at[:, i], positions[:, point[q]]), t[i] - time[q]) for i in 1:n]
    @test found[1:2, 1] ≈ [dot(c, A \ moving.value), 0.8 - dot(c, A \ c)] atol = 1e-11
    none = interpolate!(zeros(4, 1), problem(rng, 0, 1), positions, positions[1:2, :], [1], [1.0], [1])
    @test none[1:2, 1] == [0.0, 0.8] && isnan(none[3, 1])
end
