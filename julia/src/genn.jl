# g = (I - ∂Φ/∂x)ᵀ (x - Φ(x)) of a GENN prior Φ over time, and the backward pass of this.
#
# Φ is a sum of scales. With u the patches of a scale's cells (means over `factor` steps), centre left
# out, a scale is
#
#     r = relu(u W),   (p, q, l) = r M,   y = (p q) O + l
#
# and y holds the values of all components and steps of a cell. For a cotangent ḡ the backward pass is
# the gradient of the number ḡ·g, that of ½|x - Φ|² in the direction ḡ: a tangent pass, then a reverse
# pass (pyvda/priors/folded.py has the same in torch). What the forward pass computed is computed again
# there: to store it takes 25 MB for 128 windows, and memory fresh from the system costs more time.
#
# A thread takes one window after the other. The first scale goes through it in stretches of steps
# whose panels stay in the cache; of the others a window has few cells.

const STRETCH = 96

"Weights of a scale, packed for products from both sides: `first` is W, `first_back` Wᵀ, and so on."
struct Scale{T}
    channels::Int
    taps::Int
    features::Int
    latent::Int
    factor::Int
    first::Panel{T}
    first_back::Panel{T}
    mix::Panel{T}
    mix_back::Panel{T}
    product::Panel{T}
    product_back::Panel{T}
end
outputs(s::Scale) = s.channels * s.factor
mixed(s::Scale) = 2s.latent + outputs(s)
patch(s::Scale) = s.channels * (s.taps - 1)
"Where in a kernel of all taps, (tap, channel), the numbers of a patch are: all but the centre."
patch_places(channels, taps) = [taps * c + k + 1 for c in 0:channels-1 for k in 0:taps-1 if k != taps ÷ 2]

"""
    Scale(memory, channels, taps, factor, W, M, O)

From the weights as torch has them, transposed by Julia's order: W (taps · channels, features),
M (features, 2 latent + outputs), O (latent, outputs).
"""
function Scale(memory::Memory{T}, channels, taps, factor, W, M, O) where {T}
    U = W[patch_places(channels, taps), :]
    return Scale{T}(channels, taps, size(W, 2), size(O, 1), factor,
                    packed!(memory, U), packed!(memory, permutedims(U)),
                    packed!(memory, M), packed!(memory, permutedims(M)),
                    packed!(memory, O), packed!(memory, permutedims(O)))
end

"A thread's room for one scale: grids of a window, padded in time, and panels with a row a cell."
struct ScaleRoom{T}
    cells::Int                      # of a window
    stretch::Int                    # as many at once
    offsets::Ptr{Int}               # the numbers of a patch
    positions::Ptr{Int}             # the patches of a grid
    rows::Ptr{Int}                  # of the panels
    columns::Ptr{Int}
    x::Ptr{T}                       # means over cells
    direction::Ptr{T}               # of ḡ
    back::Ptr{T}                    # what is put back
    r::Panel{T}                     # relu(u W)
    m::Panel{T}                     # p, q, l
    pq::Panel{T}
    y::Panel{T}                     # (p q) O
    v::Panel{T}                     # x - Φ(x) of a cell's steps, the cotangent of -y
    s::Panel{T}                     # v Oᵀ
    m_back::Panel{T}                # (s q, s p, v)
    a_back::Panel{T}                # the cotangent of u W
    r_dot::Panel{T}                 # the derivatives in the direction ḡ
    m_dot::Panel{T}
    pq_dot::Panel{T}
    v_bar::Panel{T}                 # cotangents in the reverse pass
    s_bar::Panel{T}
    m_bar::Panel{T}
    a_bar::Panel{T}
    patches::Panel{T}
    first::Panel{T}                 # sums of the weights' gradients
    mix::Panel{T}
    product::Panel{T}
end

function ScaleRoom(memory::Memory{T}, s::Scale, steps, longest) where {T}
    cells = cld(steps, s.factor)
    # Stretches of whole tiles, none much shorter than the others.
    stretch = TILE_ROWS * cld(cld(cells, cld(cells, longest)), TILE_ROWS)
    (C, bytes) = (s.channels, sizeof(T))
    width = whole_lanes(T, max(s.features, mixed(s)))
    grid() = numbers!(memory, (cells + s.taps + 2TILE_ROWS) * C)
    rows() = panel!(memory, stretch, width)
    offsets = [bytes * (mod(k - 1, s.taps) * C + (k - 1) ÷ s.taps) for k in patch_places(C, s.taps)]
    return ScaleRoom{T}(cells, stretch, addresses!(memory, offsets),
        addresses!(memory, [bytes * C * t for t in 0:stretch-1]),
        addresses!(memory, [bytes * width * t for t in 0:stretch-1]),
        addresses!(memory, [bytes * k for k in 0:width+TILE_ROWS]),
        grid(), grid(), grid(),
        rows(), rows(), rows(), rows(), rows(), rows(), rows(), rows(), rows(), rows(), rows(), rows(), rows(), rows(), rows(),
        panel!(memory, stretch, patch(s)),
        panel!(memory, patch(s), s.features), panel!(memory, s.features, mixed(s)),
        panel!(memory, s.latent, outputs(s)))
end

"The patches of the cells after the first `a` of a grid."
@inline patches(room::ScaleRoom{T}, s, grid, a) where {T} =
    Entries{T}(grid + a * s.channels * sizeof(T), room.positions, room.offsets)
@inline entries(room::ScaleRoom{T}, panel) where {T} = Entries{T}(panel.at, room.rows, room.columns)

# --- a stretch of n cells, after the first a ------------------------------------------------------
# Rows are worked on in ascending order, in whole lanes: what reaches beyond a row's last column is
# overwritten by the next row, or is beyond what any product reads.

"r, m and pq of x."
function features!(room::ScaleRoom{T}, s, a, n) where {T}
    product!(room.r, patches(room, s, room.x, a), s.first, n, s.features, patch(s), RELU)
    product!(room.m, entries(room, room.r), s.mix, n, mixed(s), s.features, STORE)
    (N, L) = (lanes_for(T), s.latent * sizeof(T))
    for i in 0:n-1, g in 0:sizeof(N):L-1
        p = row(room.m, i) + g
        in_lanes!(row(room.pq, i) + g, in_lanes(N, p) * in_lanes(N, p + L))
    end
end


"m_dot and pq_dot: the derivative of m and pq in the direction ḡ."
function tangent_features!(room::ScaleRoom{T}, s, a, n) where {T}
    product!(room.r_dot, patches(room, s, room.direction, a), s.first, n, s.features, patch(s), MASK, room.r)
    product!(room.m_dot, entries(room, room.r_dot), s.mix, n, mixed(s), s.features, STORE)
    (N, L) = (lanes_for(T), s.latent * sizeof(T))
    for i in 0:n-1, g in 0:sizeof(N):L-1
        (p, p_dot) = (row(room.m, i) + g, row(room.m_dot, i) + g)
        both = muladd(in_lanes(N, p_dot), in_lanes(N, p + L), in_lanes(N, p) * in_lanes(N, p_dot + L))
        in_lanes!(row(room.pq_dot, i) + g, both)
    end
end

"Subtract y = (p q) O + l, or its derivative from theirs, from a window."
function subtract_values!(x, room, s, pq, m, a, n, steps)
    product!(room.y, entries(room, pq), s.product, n, outputs(s), s.latent, STORE)
    subtract_outputs!(x, s, room.y, m, a, n, steps)
end

"m_back = (s q, s p, v) and a_back, of v."
function reverse!(room::ScaleRoom{T}, s, n) where {T}
    product!(room.s, entries(room, room.v), s.product_back, n, s.latent, outputs(s), STORE)
    (N, L) = (lanes_for(T), s.latent * sizeof(T))
    for i in 0:n-1
        (v, m, to) = (row(room.s, i), row(room.m, i), row(room.m_back, i))
        for g in 0:sizeof(N):L-1
            in_lanes!(to + g, in_lanes(N, v + g) * in_lanes(N, m + L + g))
        end
        for g in 0:sizeof(N):L-1
            in_lanes!(to + L + g, in_lanes(N, v + g) * in_lanes(N, m + g))
        end
        copy_outputs!(to + 2L, row(room.v, i), s)
    end
    first_back!(room.a_back, room, s, room.m_back, n)
end

"m_bar and a_bar: the gradient of v_bar·y + v·y_dot, with respect to m and to u W."
function second!(room::ScaleRoom{T}, s, n) where {T}
    product!(room.s_bar, entries(room, room.v_bar), s.product_back, n, s.latent, outputs(s), STORE)
    (N, L) = (lanes_for(T), s.latent * sizeof(T))
    for i in 0:n-1
        (v, v_bar, m, m_dot, to) = (row(room.s, i), row(room.s_bar, i), row(room.m, i), row(room.m_dot, i), row(room.m_bar, i))
        for g in 0:sizeof(N):L-1
            in_lanes!(to + g, muladd(in_lanes(N, v + g), in_lanes(N, m_dot + L + g), in_lanes(N, v_bar + g) * in_lanes(N, m + L + g)))
        end
        for g in 0:sizeof(N):L-1
            in_lanes!(to + L + g, muladd(in_lanes(N, v + g), in_lanes(N, m_dot + g), in_lanes(N, v_bar + g) * in_lanes(N, m + g)))
        end
        copy_outputs!(to + 2L, row(room.v_bar, i), s)
    end
    first_back!(room.a_bar, room, s, room.m_bar, n)
end

@inline function copy_outputs!(to, from, s)
    for k in 1:outputs(s)
        unsafe_store!(to, unsafe_load(from, k), k)
    end
end

"The cotangent of u W from that of m."
first_back!(to, room, s, mixed_cotangent, n) =
    product!(to, entries(room, mixed_cotangent), s.mix_back, n, s.features, mixed(s), MASK, room.r)

"Add to the grid `back` what a cotangent of u W is for the grid that u was taken from."
function put_back!(room::ScaleRoom{T}, s, cotangent, a, n) where {T}
    product!(room.patches, entries(room, cotangent), s.first_back, n, patch(s), s.features, STORE)
    for i in 0:n-1
        (from, to) = (row(room.patches, i), room.back + (a + i) * s.channels * sizeof(T))
        for j in 1:patch(s)
            place = to + unsafe_load(room.offsets, j)
            unsafe_store!(place, unsafe_load(place) + unsafe_load(from, j))
        end
    end
end

"Add to the sums of the weights' gradients."
function add_weights!(room, s, a, n)
    for (grid, cotangent) in ((room.direction, room.a_back), (room.x, room.a_bar))
        product!(room.first, transpose(patches(room, s, grid, a)), cotangent, patch(s), s.features, n, ADD)
    end
    for (value, cotangent) in ((room.r, room.m_bar), (room.r_dot, room.m_back))
        product!(room.mix, transpose(entries(room, value)), cotangent, s.features, mixed(s), n, ADD)
    end
    for (value, cotangent) in ((room.pq, room.v_bar), (room.pq_dot, room.v))
        product!(room.product, transpose(entries(room, value)), cotangent, s.latent, outputs(s), n, ADD)
    end
end
