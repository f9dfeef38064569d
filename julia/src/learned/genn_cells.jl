# Transfers between windows and the cells of a GENN's scale, `factor` steps each; the last cell of a window may
# be incomplete. Windows are (step, channel, point) in memory, and so are grids, which have padding around.
#
# Functions here copy the grid and the factor of a scale to local variables first: Julia would read its
# fields again after every store.

@inline steps_in(factor, cell, steps) = min(factor, steps - cell * factor)
"Offset in a grid of the first point of channel c (from 0) of a cell."
@inline inside(g, cell, c) = ((g.taps ÷ 2 + cell) * g.channels + c) * breadth(g) + halo(g)
"Index in a window of point k, channel c of a step (all from 0)."
@inline in_window(g, step, c, k) = (step * g.channels + c) * g.points + k + 1

"The position following point k of a cell."
@inline next(g, cell, k) = k + 1 < g.points ? (cell, k + 1) : (cell + 1, 0)

"Without padding along the second axis, the same grid with one row per step."
merged(g) = halo(g) > 0 ? g : Grid(1, g.taps, state_size(g), 1, false)

"Compute the means of a window over cells."
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

"Fill the padding of a row on a periodic axis."
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

"Subtract the transpose of `pool!`, applied to `back`, from a window."
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

"Subtract the outputs y of n positions, from `a` on, from a window."
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

"Collect all steps of n positions of a window, from `a` on, in the order of y."
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

"Set `back` to zero."
function clear_back!(s::Scale{T}, room) where {T}
    for k in 1:(room.cells + s.grid.taps) * s.grid.channels * breadth(s.grid)
        unsafe_store!(room.back, zero(T), k)
    end
end
