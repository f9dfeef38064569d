# Windows and the cells of a GENN's scale, `factor` steps each; of a window's last cell some may be missing.
# In memory a window is (step, channel, point), and so is a grid, with more points and cells around.

# What follows takes the grid and the factor out of a scale first: a field of it would be read again
# after every store.

@inline steps_in(factor, cell, steps) = min(factor, steps - cell * factor)
"Where in a grid the row of a cell's channel c, from 0, begins, without what is before the first point."
@inline inside(g, cell, c) = ((g.taps ÷ 2 + cell) * g.channels + c) * breadth(g) + halo(g)
"Where in a window point k of a step's channel c is, all from 0."
@inline in_window(g, step, c, k) = (step * g.channels + c) * g.points + k + 1

"The position after point k of a cell."
@inline next(g, cell, k) = k + 1 < g.points ? (cell, k + 1) : (cell + 1, 0)

"Where rows have nothing beyond their edges: a grid of one row a step, as it lies in memory."
merged(g) = halo(g) > 0 ? g : Grid(1, g.taps, state_size(g), 1, false)

"The means over cells of a window."
function pool!(grid, s::Scale, room, x::Ptr{T}, steps) where {T}
    (g, factor) = (merged(s.grid), s.factor)
    for cell in 0:room.cells-1
        (first, n) = (cell * factor, steps_in(factor, cell, steps))
        part = inv(T(n))
        for c in 0:g.channels-1
            start = inside(g, cell, c)
            for k in 0:g.points-1
                sum = unsafe_load(x, in_window(g, first, c, k))
                for t in first+1:first+n-1
                    sum += unsafe_load(x, in_window(g, t, c, k))
                end
                unsafe_store!(grid, part * sum, start + k + 1)
            end
            g.periodic && close!(grid, start, g)
        end
    end
end

"What is beyond the edges of a row, on a circle."
@inline function close!(grid, start, g)
    for k in 1:halo(g)
        unsafe_store!(grid, unsafe_load(grid, start + g.points + 1 - k), start + 1 - k)
        unsafe_store!(grid, unsafe_load(grid, start + k), start + g.points + k)
    end
end
@inline function close_transpose!(grid, start, g)
    for k in 1:halo(g)
        (before, behind) = (start + g.points + 1 - k, start + k)
        unsafe_store!(grid, unsafe_load(grid, before) + unsafe_load(grid, start + 1 - k), before)
        unsafe_store!(grid, unsafe_load(grid, behind) + unsafe_load(grid, start + g.points + k), behind)
    end
end

"Subtract from a window the transpose of `pool!` of what was put back."
function subtract_back!(x::Ptr{T}, s::Scale, room, steps) where {T}
    (g, factor) = (merged(s.grid), s.factor)
    for cell in 0:room.cells-1
        n = steps_in(factor, cell, steps)
        part = inv(T(n))
        for c in 0:g.channels-1
            start = inside(g, cell, c)
            g.periodic && close_transpose!(room.back, start, g)
            for k in 0:g.points-1
                mean = part * unsafe_load(room.back, start + k + 1)
                for t in cell*factor:cell*factor+n-1
                    at = in_window(g, t, c, k)
                    unsafe_store!(x, unsafe_load(x, at) - mean, at)
                end
            end
        end
    end
end

"Subtract the outputs y of the n positions after the first `a` from a window."
function subtract_outputs!(x::Ptr{T}, s::Scale, y, a, n, steps) where {T}
    (g, factor) = (s.grid, s.factor)
    (cell, k) = divrem(a, g.points)
    for i in 0:n-1
        for t in 0:steps_in(factor, cell, steps)-1, c in 0:g.channels-1
            at = in_window(g, cell * factor + t, c, k)
            unsafe_store!(x, unsafe_load(x, at) - unsafe_load(row(y, i), c * factor + t + 1), at)
        end
        (cell, k) = next(g, cell, k)
    end
end

"All steps of the n positions after the first `a` of a window, in the order of y."
function gather_outputs!(panel, s::Scale, x::Ptr{T}, a, n, steps) where {T}
    (g, factor) = (s.grid, s.factor)
    (cell, k) = divrem(a, g.points)
    for i in 0:n-1
        known = steps_in(factor, cell, steps)
        for t in 0:factor-1, c in 0:g.channels-1
            value = t < known ? unsafe_load(x, in_window(g, cell * factor + t, c, k)) : zero(T)
            unsafe_store!(row(panel, i), value, c * factor + t + 1)
        end
        (cell, k) = next(g, cell, k)
    end
end

"Zeros for what is to be put back."
function clear_back!(s::Scale{T}, room) where {T}
    for k in 1:(room.cells + s.grid.taps) * s.grid.channels * breadth(s.grid)
        unsafe_store!(room.back, zero(T), k)
    end
end
