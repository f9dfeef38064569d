# Windows (state, time) and the cells of a GENN's scale, `factor` steps each; of a window's last cell some
# may be missing.

@inline points(s, cell, steps) = min(s.factor, steps - cell * s.factor)
@inline inside(s) = s.taps ÷ 2 * s.channels

"The means over cells of a window."
function pool!(grid, s::Scale, room, x::Ptr{T}, steps) where {T}
    C = s.channels
    for cell in 0:room.cells-1
        n = points(s, cell, steps)
        for c in 1:C
            sum = zero(T)
            for t in 0:n-1
                sum += unsafe_load(x, (cell * s.factor + t) * C + c)
            end
            unsafe_store!(grid, sum / n, inside(s) + cell * C + c)
        end
    end
end

"Subtract from a window the transpose of `pool!` of what was put back."
function subtract_back!(x::Ptr{T}, s::Scale, room, steps) where {T}
    C = s.channels
    for cell in 0:room.cells-1
        n = points(s, cell, steps)
        for c in 1:C
            mean = unsafe_load(room.back, inside(s) + cell * C + c) / n
            for t in 0:n-1
                k = (cell * s.factor + t) * C + c
                unsafe_store!(x, unsafe_load(x, k) - mean, k)
            end
        end
    end
end

"Subtract the outputs of the n cells after the first `a` from a window: y, and l at the end of m."
function subtract_outputs!(x::Ptr{T}, s::Scale, y, m, a, n, steps) where {T}
    (C, f, bytes) = (s.channels, s.factor, sizeof(T))
    for cell in 0:n-1
        (to, one, two) = (x + (a + cell) * f * C * bytes, row(y, cell), row(m, cell) + 2s.latent * bytes)
        for t in 0:points(s, a + cell, steps)-1, c in 0:C-1
            k = c * f + t + 1
            unsafe_store!(to, unsafe_load(to) - (unsafe_load(one, k) + unsafe_load(two, k)))
            to += bytes
        end
    end
end

"All steps of the n cells after the first `a` of a window, in the order of y."
function gather_outputs!(panel, s::Scale, x::Ptr{T}, a, n, steps) where {T}
    (C, f, bytes) = (s.channels, s.factor, sizeof(T))
    for cell in 0:n-1
        (from, to, known) = (x + (a + cell) * f * C * bytes, row(panel, cell), points(s, a + cell, steps))
        for t in 0:f-1, c in 0:C-1
            unsafe_store!(to, t < known ? unsafe_load(from) : zero(T), c * f + t + 1)
            from += t < known ? bytes : 0
        end
    end
end

"Zeros for what is to be put back."
function clear_back!(s::Scale{T}, room) where {T}
    for k in 1:(room.cells + s.taps + TILE_ROWS) * s.channels
        unsafe_store!(room.back, zero(T), k)
    end
end
