# g = (I - ∂Φ/∂x)ᵀ (x - Φ(x)) of a GENN prior Φ, and the backward pass of this.
#
# Φ is a sum of scales. With u the patches of a scale's cells (means over `factor` steps) without their
# centres, a scale is r = relu(u W) and a head y of r (learned/heads.jl), which holds the values of all
# channels and steps of a cell. For a cotangent ḡ the backward pass is the gradient of ḡ·g, the derivative
# of ½|x - Φ|² in the direction ḡ: a tangent pass, then a reverse pass (pyvda/priors/folded.py has the same
# in torch). It recomputes the forward pass: storing the results would take 25 MB for 128 windows, and
# newly allocated memory costs more time.
#
# A thread processes one window after another, in stretches of positions whose panels stay in the cache. A
# position is a cell, or a point of a cell if the components are an axis.

const STRETCH = 96

"""
    Grid(channels, taps, points = 1, across = 1, periodic = false)

Axes and kernel of the convolutions: time with `taps` cells, and an axis of `points` with `across` taps. Beyond
its edges a window is zero, or periodic along the second axis.
"""
struct Grid
    channels::Int
    taps::Int
    points::Int
    across::Int
    periodic::Bool
end
Grid(channels, taps) = Grid(channels, taps, 1, 1, false)
state_size(g::Grid) = g.channels * g.points
halo(g::Grid) = g.across ÷ 2
breadth(g::Grid) = g.points + 2halo(g)
patch(g::Grid) = g.channels * (g.taps * g.across - 1)
"Indices of a patch in a kernel of all taps (channel, tap, tap across): all but the centre."
function patch_places(g::Grid)
    taps = g.taps * g.across
    return [taps * c + k + 1 for c in 0:g.channels-1 for k in 0:taps-1 if k != taps ÷ 2]
end
"Offsets of a patch's entries in a grid (time, channel, point)."
patch_offsets(g::Grid) =
    [(k ÷ g.across * g.channels + c) * breadth(g) + k % g.across
     for (c, k) in (divrem(place - 1, g.taps * g.across) for place in patch_places(g))]

"""
Weights of a scale, packed for products with them and their transposes: `first` is W, `first_back` Wᵀ, and so
on. With `latent == 0` the head is quadratic, and M and O are S and l.
"""
struct Scale{T}
    grid::Grid
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
outputs(s::Scale) = s.grid.channels * s.factor
patch(s::Scale) = patch(s.grid)

"""
    Scale(memory, grid, factor, quadratic, W, M, O)

A scale with torch's weights, transposed by Julia's order: W (taps · channels, features), and either
M (features, 2 latent + outputs) and O (latent, outputs), or S (features, features · outputs) and
l (features, outputs).
"""
function Scale(memory::Memory{T}, grid, factor, quadratic, W, M, O) where {T}
    U = W[patch_places(grid), :]
    last = quadratic ? reshape(O, 1, :) : O
    return Scale{T}(grid, size(W, 2), quadratic ? 0 : size(O, 1), factor,
                    packed!(memory, U), packed!(memory, permutedims(U)),
                    packed!(memory, M), packed!(memory, permutedims(M)),
                    packed!(memory, last), packed!(memory, permutedims(last)))
end

"Workspace of a thread for one scale: padded grids of a window, and panels with one row per position."
struct ScaleRoom{T}
    cells::Int                      # in a window
    positions::Int
    stretch::Int                    # positions processed at once
    kept::Int                       # 1 if r, m and their derivatives are stored for a whole window, else 0
    offsets::Ptr{Int}               # offsets of a patch's entries
    places::Ptr{Int}                # addresses of a grid's patches
    rows::Ptr{Int}                  # of the panels
    columns::Ptr{Int}
    x::Ptr{T}                       # means over cells
    direction::Ptr{T}               # the same of ḡ
    back::Ptr{T}                    # cotangent of x
    r::Panel{T}                     # relu(u W)
    m::Panel{T}
    r_dot::Panel{T}                 # the derivatives in the direction ḡ
    m_dot::Panel{T}
    pq::Panel{T}
    pq_dot::Panel{T}
    y::Panel{T}
    v::Panel{T}                     # x - Φ(x) of a cell's steps, the cotangent of -y
    s::Panel{T}                     # v Oᵀ
    m_back::Panel{T}
    a_back::Panel{T}                # the cotangent of u W
    v_bar::Panel{T}                 # cotangents in the reverse pass
    s_bar::Panel{T}
    m_bar::Panel{T}
    a_bar::Panel{T}
    patches::Panel{T}
    first::Panel{T}                 # sums of the weights' gradients
    mix::Panel{T}
    product::Panel{T}
end

function ScaleRoom(memory::Memory{T}, s::Scale, steps, kept) where {T}
    (grid, bytes) = (s.grid, sizeof(T))
    cells = cld(steps, s.factor)
    positions = cells * grid.points
    # Stretches are whole tiles of nearly equal length.
    stretch = TILE_ROWS * cld(cld(positions, cld(positions, STRETCH)), TILE_ROWS)
    wide = panel_columns(T, s)
    room() = numbers!(memory, (cells + grid.taps) * grid.channels * breadth(grid))
    panel() = panel!(memory, stretch, wide)
    of_window() = panel!(memory, kept ? stretch * cld(positions, stretch) : stretch, wide)
    places = [bytes * (t * grid.channels * breadth(grid) + k) for t in 0:cells-1 for k in 0:grid.points-1]
    return ScaleRoom{T}(cells, positions, stretch, kept,
        addresses!(memory, bytes * patch_offsets(grid)), addresses!(memory, places),
        addresses!(memory, [bytes * wide * i for i in 0:stretch-1]),
        addresses!(memory, [bytes * k for k in 0:wide+TILE_ROWS]),
        room(), room(), room(), of_window(), of_window(), of_window(), of_window(),
        panel(), panel(), panel(), panel(), panel(), panel(), panel(), panel(), panel(), panel(), panel(),
        panel!(memory, stretch, patch(s)),
        panel!(memory, patch(s), s.features), panel!(memory, s.features, mixed(s)),
        panel!(memory, rows_of_last(s), outputs(s)))
end

"Patches of a grid, from position `a` on."
@inline patches(room::ScaleRoom{T}, grid, a) where {T} = Entries{T}(grid, room.places + a * sizeof(Int), room.offsets)
@inline entries(room::ScaleRoom{T}, panel) where {T} = Entries{T}(panel.at, room.rows, room.columns)
"The rows of these positions in a panel of a stretch or of a window."
@inline after(room::ScaleRoom{T}, panel, a) where {T} = Panel{T}(row(panel, room.kept * a), panel.stride)

# --- a stretch of n positions, after the first a ----------------------------------------------------
# Rows are processed in ascending order and in whole lanes. Values past a row's last column are overwritten
# by the next row, or lie where no product reads.

"Compute r and m of x."
function features!(room, s, a, n)
    (r, m) = (after(room, room.r, a), after(room, room.m, a))
    product!(r, patches(room, room.x, a), s.first, n, s.features, patch(s), RELU)
    mix!(m, entries(room, r), s, n)
end

"Compute the derivatives of r and m in the direction ḡ."
function tangent_features!(room, s, a, n)
    (r_dot, m_dot) = (after(room, room.r_dot, a), after(room, room.m_dot, a))
    product!(r_dot, patches(room, room.direction, a), s.first, n, s.features, patch(s), MASK, after(room, room.r, a))
    mix_tangent!(m_dot, entries(room, r_dot), s, n)
end

"Add the cotangent of the grid, from that of u W, to `back`."
function put_back!(room::ScaleRoom{T}, s, cotangent, a, n) where {T}
    product!(room.patches, entries(room, cotangent), s.first_back, n, patch(s), s.features, STORE)
    for i in 0:n-1
        (from, to) = (row(room.patches, i), room.back + unsafe_load(room.places, a + i + 1))
        for j in 1:patch(s)
            place = to + unsafe_load(room.offsets, j)
            unsafe_store!(place, unsafe_load(place) + unsafe_load(from, j))
        end
    end
end

"Add to the sums of the weights' gradients."
function add_weights!(room, s, a, n)
    for (grid, cotangent) in ((room.direction, room.a_back), (room.x, room.a_bar))
        product!(room.first, transpose(patches(room, grid, a)), cotangent, patch(s), s.features, n, ADD)
    end
    add_head!(room, s, a, n)
end
