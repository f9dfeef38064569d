# Windows and the cells of a GENN's scale, `factor` steps each; of a window's last cell some may be missing.
# In memory a window is (step, channel, point), and so is a grid, with more points and cells around.

@inline steps_in(s, cell, steps) = min(s.factor, steps - cell * s.factor)
"Where in a grid the row of a cell's channel c, from 0, begins, without what is before the first point."
@inline inside(s, cell, c) = ((s.grid.taps ÷ 2 + cell) * s.grid.channels + c) * breadth(s.grid) + halo(s.grid)
"Where in a window point k of a step's channel c is, all from 0."
@inline in_window(s, step, c, k) = (step * s.grid.channels + c) * s.grid.points + k + 1

"The means over cells of a window."
function pool!(grid, s::Scale, room, x::Ptr{T}, steps) where {T}
    for cell in 0:room.cells-1
        n = steps_in(s, cell, steps)
        for c in 0:s.grid.channels-1
            start = inside(s, cell, c)
            for k in 0:s.grid.points-1
                sum = zero(T)
                for t in cell*s.factor:cell*s.factor+n-1
                    sum += unsafe_load(x, in_window(s, t, c, k))
                end
                unsafe_store!(grid, sum / n, start + k + 1)
            end
            s.grid.periodic && close!(grid, start, s.grid)
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
    for cell in 0:room.cells-1
        n = steps_in(s, cell, steps)
        for c in 0:s.grid.channels-1
            start = inside(s, cell, c)
            s.grid.periodic && close_transpose!(room.back, start, s.grid)
            for k in 0:s.grid.points-1
                mean = unsafe_load(room.back, start + k + 1) / n
                for t in cell*s.factor:cell*s.factor+n-1
                    at = in_window(s, t, c, k)
                    unsafe_store!(x, unsafe_load(x, at) - mean, at)
                end
            end
        end
    end
end

"Subtract the outputs y of the n positions after the first `a` from a window."
function subtract_outputs!(x::Ptr{T}, s::Scale, y, a, n, steps) where {T}
    for i in 0:n-1
        (cell, k) = divrem(a + i, s.grid.points)
        for t in 0:steps_in(s, cell, steps)-1, c in 0:s.grid.channels-1
            at = in_window(s, cell * s.factor + t, c, k)
            unsafe_store!(x, unsafe_load(x, at) - unsafe_load(row(y, i), c * s.factor + t + 1), at)
        end
    end
end

"All steps of the n positions after the first `a` of a window, in the order of y."
function gather_outputs!(panel, s::Scale, x::Ptr{T}, a, n, steps) where {T}
    for i in 0:n-1
        (cell, k) = divrem(a + i, s.grid.points)
        known = steps_in(s, cell, steps)
        for t in 0:s.factor-1, c in 0:s.grid.channels-1
            value = t < known ? unsafe_load(x, in_window(s, cell * s.factor + t, c, k)) : zero(T)
            unsafe_store!(row(panel, i), value, c * s.factor + t + 1)
        end
    end
end

"Zeros for what is to be put back."
function clear_back!(s::Scale{T}, room) where {T}
    for k in 1:(room.cells + s.grid.taps) * s.grid.channels * breadth(s.grid)
        unsafe_store!(room.back, zero(T), k)
    end
end
