# Transfers between windows and cells, each against its transpose.

include("../shared/genn_scales.jl")

@testset "$grid, factor $factor" for (grid, features, latent, factor) in SCALES
    Random.seed!(features)
    memory = VDA.Memory{Float64}()
    s = scale(memory, grid, features, latent, factor)[1]
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
end
