# The first layer of a GENN's scale against its definition: patches of means over cells, without their centres.

include("../shared/genn_scales.jl")

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
    s, W = scale(memory, grid, features, latent, factor)
    room = VDA.ScaleRoom(memory, s, STEPS, false)
    n = min(room.stretch, room.positions)
    x = randn(grid.points, grid.channels, STEPS)
    GC.@preserve memory x begin
        VDA.pool!(room.x, s, room, pointer(x), STEPS)
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
    end
end
