include("../shared/exceptions.jl")
using Test, Random
using VDA: GroupedData, Cells, Nearest, nearest!, in_quadrant, wrapped

@testset "the nearest data of each quadrant" begin
    rng = MersenneTwister(2)
    for (n, period, whole) in ((0, 0.0, false), (1, 0.0, false), (7, 0.0, false), (300, 0.0, false), (10, 360.0, false), (300, 360.0, false), (60, 0.0, true))
        map_ = period > 0 ? [360 .* rand(rng, 1, n); 20 .* rand(rng, 1, n)] : 50 .* rand(rng, 2, n)
        # On a grid, with points on the borders of cells; a tie has no nearest datum, so that columns differ in width.
        whole && (map_ = hcat(([1.01i^1.1, 1.37j^1.2] for i in 0:9 for j in 0:5)...))
        angle = 2π .* map_[1, :] ./ 360
        position = period > 0 ? permutedims([100 .* cos.(angle) 100 .* sin.(angle) map_[2, :]]) : [map_; zeros(1, n)]
        reach = period > 0 ? (1.0, 1.0) : (1.0, 1.0)        # 100 km · 2π / 360 = 1.7 km in a degree
        hidden = Int64.(rand(rng, n) .< 0.2)
        data = GroupedData(position, map_, hidden, [1, n + 1], reach, period)
        cells = Cells(data, 1)
        for _ in 1:50, own in (true, false), (most, km) in ((3, 1e9), (1, 6.0), (5, 12.0))
            m = whole ? Tuple(map_[:, rand(rng, 1:n)]) : period > 0 ? (360 * rand(rng) - 180, 20 * rand(rng)) : (70 * rand(rng) - 10, 70 * rand(rng) - 10)
            p = period > 0 ? (100 * cos(2π * m[1] / 360), 100 * sin(2π * m[1] / 360), m[2]) : (m..., 0.0)
            for q in 1:4
                found = nearest!(Nearest(most), data, cells, q, most, km^2, p, m, own)
                d² = [sum((position[a, i] - p[a])^2 for a in 1:3) for i in 1:n]
                all_ = [i for i in 1:n if !(own && hidden[i] == 1) && d²[i] <= km^2 &&
                        in_quadrant(q, wrapped(map_[1, i] - m[1], period), map_[2, i] - m[2])]
                expected = sort(all_; by = i -> d²[i])[1:min(most, end)]
                @test found.datum[1:found.count] == expected
            end
        end
    end
    @test all(count(q -> in_quadrant(q, u, v), 1:4) == 1 for u in -1:1, v in -1:1)
end
