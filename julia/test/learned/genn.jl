# Parts of a GENN's scale, each against its definition: cells, patches, first layer and heads.

include("../shared/exceptions.jl")
using LinearAlgebra, Random, Test, VDA

const STEPS = 10
SCALES = (  # grid, features, latent (0: a quadratic head), factor
    (VDA.Grid(3, 5), 6, 4, 1), (VDA.Grid(2, 3), 7, 0, 3), (VDA.Grid(1, 3, 8, 5, true), 5, 2, 4), (VDA.Grid(1, 5, 4, 3, false), 9, 3, 3),
)

function scale(memory, grid, features, latent, factor)
    y = grid.channels * factor
    W = randn(grid.channels * grid.taps * grid.across, features)
    S = randn(features, features, y)
    symmetric = reshape(S + permutedims(S, (2, 1, 3)), features, :)
    (M, O) = latent > 0 ? (randn(features, 2latent + y), randn(latent, y)) : (symmetric, randn(features, y))
    return VDA.Scale(memory, grid, factor, latent == 0, W, M, O), W, M, O
end

"The mean of channel c of a window (point, channel, step) over a cell at a point; 0 or periodic outside."
function mean_of(x, g, factor, cell, k, c)
    g.periodic && (k = mod1(k, g.points))
    steps = (cell-1)*factor+1:min(cell * factor, STEPS)
    (1 <= cell && !isempty(steps) && 1 <= k <= g.points) || return 0.0
    return sum(x[k, c, steps]) / length(steps)
end

@testset "$grid, factor $factor" for (grid, features, latent, factor) in SCALES
    Random.seed!(features)
    memory = VDA.Memory{Float64}()
    (s, W, M, O) = scale(memory, grid, features, latent, factor)
    room = VDA.ScaleRoom(memory, s, STEPS, false)
    (n, y_size) = (min(room.stretch, room.positions), VDA.outputs(s))
    (x, x̄) = (randn(grid.points, grid.channels, STEPS), zeros(grid.points, grid.channels, STEPS))
    numbers(panel) = [unsafe_load(VDA.row(panel, i), k) for i in 0:n-1, k in 1:y_size]
    GC.@preserve memory x x̄ begin
        # Means over cells and what is put back: one is the transpose of the other.
        VDA.pool!(room.x, s, room, pointer(x), STEPS)
        size = (room.cells + grid.taps) * grid.channels * VDA.breadth(grid)
        (pooled, b) = (unsafe_wrap(Array, room.x, size), randn(size))
        copyto!(unsafe_wrap(Array, room.back, size), b)
        VDA.subtract_back!(pointer(x̄), s, room, STEPS)
        @test dot(pooled, b) ≈ -dot(x, x̄)

        # The first layer sees the patch of each position without its centre.
        VDA.features!(room, s, 0, n)
        for position in 0:n-1
            (cell, k) = divrem(position, grid.points)
            u = [i == grid.taps ÷ 2 + 1 && j == grid.across ÷ 2 + 1 ? 0.0 :
                 mean_of(x, grid, factor, cell + i - grid.taps ÷ 2, k + j - grid.across ÷ 2, c)
                 for c in 1:grid.channels for i in 1:grid.taps for j in 1:grid.across]
            r = [unsafe_load(VDA.row(room.r, position), f) for f in 1:features]
            @test r ≈ max.(W' * u, 0)
        end

        # Gathering the steps of cells is the transpose of subtracting outputs.
        y = randn(n, y_size)
        for i in 1:n, k in 1:y_size
            unsafe_store!(VDA.row(room.y, i - 1), y[i, k], k)
        end
        fill!(x̄, 0)
        VDA.subtract_outputs!(pointer(x̄), s, room.y, 0, n, STEPS)
        VDA.gather_outputs!(room.v, s, pointer(x), 0, n, STEPS)
        @test dot(numbers(room.v), y) ≈ -dot(x, x̄)
    end

    # The head and its pullback at positive features, where the ReLU is the identity.
    head(r) = latent == 0 ? [r' * M[:, (k-1)*features+1:k*features] * r / 2 + O[:, k]' * r for k in 1:y_size] :
              let m = M' * r
                  O' * (m[1:latent] .* m[latent+1:2latent]) + m[2latent+1:end]
              end
    r = rand(n, features) .+ 0.1
    v = randn(n, y_size)
    GC.@preserve memory begin
        for i in 1:n
            foreach(f -> unsafe_store!(VDA.row(room.r, i - 1), r[i, f], f), 1:features)
            foreach(k -> unsafe_store!(VDA.row(room.v, i - 1), v[i, k], k), 1:y_size)
        end
        VDA.mix!(room.m, VDA.entries(room, room.r), s, n)
        VDA.value!(room, s, 0, n)
        VDA.reverse!(room, s, 0, n)
        for i in 1:n
            @test numbers(room.y)[i, :] ≈ head(r[i, :])
            h = 1e-5
            slope = [(dot(v[i, :], head(r[i, :] + h * e)) - dot(v[i, :], head(r[i, :] - h * e))) / 2h for e in eachcol(Matrix(1.0I, features, features))]
            found = [unsafe_load(VDA.row(room.a_back, i - 1), f) for f in 1:features]
            @test found ≈ slope rtol = 1e-6
        end
    end
end
