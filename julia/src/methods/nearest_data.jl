# The nearest data around a point: the same number in each quadrant of each group of data.
#
# A group is the data of one step (a day), sorted into the cells of a grid over their map coordinates: degrees of
# longitude and latitude, or kilometres. A quadrant is searched from the point's cell outwards, in shells, until no
# cell beyond can hold a nearer datum. Distances are straight lines between positions in three dimensions.

"""
Data, sorted by group.

- `position`: `(3, N)`, km; `map`: `(2, N)`, map coordinates
- `hidden`: `(N)`, whether points of the same group do not use it
- `first`: `(G + 1)`, the first datum of each group, and one more than the last of the last group
- `reach`: least km in a unit of each map coordinate
- `period`: of the first map coordinate, 0 if it has none
"""
struct GroupedData
    position::Matrix{Float64}
    map::Matrix{Float64}
    hidden::Vector{Int64}
    first::Vector{Int64}
    reach::NTuple{2,Float64}
    period::Float64
end

"Cells of one group: those of `order` from `first[c]` to `first[c + 1] - 1` are in cell `c`."
struct Cells
    corner::NTuple{2,Float64}
    width::NTuple{2,Float64}
    count::NTuple{2,Int}
    first::Vector{Int32}
    order::Vector{Int32}
end

const DATA_PER_CELL = 4

function Cells(data::GroupedData, group)
    (from, to) = (data.first[group], data.first[group+1] - 1)
    n = to - from + 1
    n == 0 && return Cells((0.0, 0.0), (1.0, 1.0), (0, 0), Int32[1], Int32[])
    (low, high) = ntuple(a -> minimum(data.map[a, i] for i in from:to), 2), ntuple(a -> maximum(data.map[a, i] for i in from:to), 2)
    extent = ntuple(a -> max(high[a] - low[a], 1e-9), 2)
    data.period > 0 && (extent = (data.period, extent[2]))
    cells = max(1.0, n / DATA_PER_CELL)
    # Cells that are about as wide as they are high, in km.
    side = sqrt(extent[1] * data.reach[1] * extent[2] * data.reach[2] / cells)
    count = ntuple(a -> clamp(round(Int, extent[a] * data.reach[a] / max(side, 1e-9)), 1, max(1, ceil(Int, cells))), 2)
    width = ntuple(a -> extent[a] / count[a], 2)
    of(i) = cell_of(low, width, count, data, i)
    first = zeros(Int32, count[1] * count[2] + 1)
    for i in from:to
        first[of(i)+1] += 1
    end
    first[1] = 1
    cumsum!(first, first)
    next = copy(first)
    order = zeros(Int32, n)
    for i in from:to
        c = of(i)
        order[next[c]] = i
        next[c] += 1
    end
    return Cells(low, width, count, first, order)
end

@inline function cell_of(corner, width, count, data, i)
    (a, b) = ntuple(k -> clamp(floor(Int, (data.map[k, i] - corner[k]) / width[k]), 0, count[k] - 1), 2)
    return a + count[1] * b + 1
end

"The nearest data found so far in a quadrant, by distance squared."
mutable struct Nearest
    count::Int
    distance::Vector{Float64}
    datum::Vector{Int}
end
Nearest(most::Integer) = Nearest(0, zeros(most), zeros(Int, most))

@inline function insert!(found::Nearest, most, d², i)
    k = found.count < most ? (found.count += 1) : most
    @inbounds while k > 1 && found.distance[k-1] > d²
        found.distance[k] = found.distance[k-1]
        found.datum[k] = found.datum[k-1]
        k -= 1
    end
    @inbounds (found.distance[k], found.datum[k]) = (d², i)
    return found
end

# Each datum is in one quadrant; the one at the point itself in the first.
@inline in_quadrant(q, du, dv) =
    q == 1 ? (du > 0 && dv >= 0) || (du == 0 && dv == 0) :
    q == 2 ? du <= 0 && dv > 0 : q == 3 ? du < 0 && dv <= 0 : du >= 0 && dv < 0

"    wrapped(du, period) -> the difference of two longitudes, the shorter way"
@inline wrapped(du, period) = period > 0 ? du - period * round(du / period) : du

"""
    nearest!(found, data, cells, q, most, limit, position, map, own) -> the `most` data nearest to a point in quadrant `q`

Of those within the squared distance `limit`; `own` says that the point is of this group, so that hidden data are not used.
"""
function nearest!(found::Nearest, data::GroupedData, cells::Cells, q, most, limit, position, map, own)
    found.count = 0
    (nu, nv) = cells.count
    (nu == 0 || most == 0) && return found
    (su, sv) = (q == 1 || q == 4 ? 1 : -1, q <= 2 ? 1 : -1)
    u = map[1] - cells.corner[1]
    data.period > 0 && (u = mod(u, data.period))
    # A point outside belongs to the nearest cell, from whose corner the rest is then below 0 or above 1.
    (cu, ru) = cell_and_rest(u / cells.width[1], nu)
    (cv, rv) = cell_and_rest((map[2] - cells.corner[2]) / cells.width[2], nv)
    # In cells: how far the border of the point's own cell is, in the direction of the quadrant.
    (eu, ev) = (su > 0 ? 1 - ru : ru, sv > 0 ? 1 - rv : rv)
    a₂ = data.period > 0 ? nu ÷ 2 : su > 0 ? nu - 1 - cu : cu
    b₂ = sv > 0 ? nv - 1 - cv : cv
    for s in 0:max(a₂, b₂)
        nearer = found.count < most ? limit : min(limit, @inbounds found.distance[most])
        beyond = min((eu + s - 1) * cells.width[1] * data.reach[1], (ev + s - 1) * cells.width[2] * data.reach[2])
        beyond > 0 && beyond^2 > nearer && break
        if s <= a₂
            for b in 0:min(s, b₂)
                look!(found, data, cells, cell_number(cells, data, cu + su * s, cv + sv * b), q, most, limit, position, map, own)
            end
        end
        if s <= b₂
            for a in 0:min(s - 1, a₂)
                look!(found, data, cells, cell_number(cells, data, cu + su * a, cv + sv * s), q, most, limit, position, map, own)
            end
        end
    end
    return found
end

@inline function look!(found, data, cells, c, q, most, limit, position, map, own)
    @inbounds for k in cells.first[c]:cells.first[c+1]-1
        i = Int(cells.order[k])
        own && data.hidden[i] != 0 && continue
        in_quadrant(q, wrapped(data.map[1, i] - map[1], data.period), data.map[2, i] - map[2]) || continue
        d² = (data.position[1, i] - position[1])^2 + (data.position[2, i] - position[2])^2 + (data.position[3, i] - position[3])^2
        d² <= limit || continue
        (found.count < most || d² < found.distance[most]) && insert!(found, most, d², i)
    end
    return nothing
end

@inline function cell_and_rest(x, n)
    cell = clamp(floor(x), 0, n - 1)
    return (Int(cell), x - cell)
end
@inline cell_number(cells, data, a, b) =
    (data.period > 0 ? mod(a, cells.count[1]) : a) + cells.count[1] * b + 1
