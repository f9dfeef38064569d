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
- `reach`: km in a unit of each map coordinate, such that (reach₁ du)² + (reach₂ dv)² is at most the squared distance
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

"""
Cells of one group: those of `order` from `first[c]` to `first[c + 1] - 1` are in cell `c`.

`before` counts the data in the cells before each, column by column, where `first` goes row by row: the two tell at once
whether a strip of cells is empty, as under a cloud. `at` has the map coordinates and the position of each datum of `order`, and `hidden` whether
it is: a cell's stand beside each other.
"""
struct Cells
    corner::NTuple{2,Float64}
    width::NTuple{2,Float64}
    count::NTuple{2,Int}
    first::Vector{Int32}
    order::Vector{Int32}
    before::Vector{Int32}
    at::Matrix{Float64}         # (5, n)
    hidden::Vector{Bool}
end

const DATA_PER_CELL = 4
const LEAST_COSINE = 0.05

function Cells(data::GroupedData, group)
    (from, to) = (data.first[group], data.first[group+1] - 1)
    n = to - from + 1
    n == 0 && return Cells((0.0, 0.0), (1.0, 1.0), (0, 0), Int32[1], Int32[], Int32[0], zeros(5, 0), Bool[])
    (low, high) = ntuple(a -> minimum(data.map[a, i] for i in from:to), 2), ntuple(a -> maximum(data.map[a, i] for i in from:to), 2)
    extent = ntuple(a -> max(high[a] - low[a], 1e-9), 2)
    data.period > 0 && (extent = (data.period, extent[2]))
    cells = max(1.0, n / DATA_PER_CELL)
    # Cells that are about as wide as they are high, in km, where the meridians do not meet.
    km = (extent[1] * max(data.reach[1], LEAST_COSINE * data.reach[2]), extent[2] * data.reach[2])
    side = sqrt(km[1] * km[2] / cells)
    count = ntuple(a -> clamp(round(Int, km[a] / max(side, 1e-9)), 1, max(1, ceil(Int, cells))), 2)
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
    before = cumsum([Int32(0); vec(permutedims(reshape(diff(first), count)))])
    at = vcat(data.map[:, order], data.position[:, order])
    return Cells(low, width, count, first, order, before, at, data.hidden[order] .!= 0)
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
    a₂ = data.period > 0 ? min(nu - 1, cld(nu, 2)) : su > 0 ? nu - 1 - cu : cu     # half of the circle
    b₂ = sv > 0 ? nv - 1 - cv : cv
    # Least distances to the cells `a` columns and `b` rows from the point's own, less what rounding may take.
    (wu, wv) = (1 - 1e-9) .* cells.width .* data.reach
    beside(a) = (max(0.0, eu + a - 1) * wu)^2
    above(b) = (max(0.0, ev + b - 1) * wv)^2
    nearer() = found.count < most ? limit : min(limit, @inbounds found.distance[most])
    for s in 0:max(a₂, b₂)
        (column, row) = (beside(s), above(s))
        min(column, row) > nearer() && break
        if s <= a₂ && !empty_column(cells, data, cu + su * s, cv, cv + sv * min(s, b₂))
            for b in 0:min(s, b₂)
                column + above(b) > nearer() && break
                look!(found, data, cells, cell_number(cells, data, cu + su * s, cv + sv * b), q, most, limit, position, map, own)
            end
        end
        if 0 < s <= b₂ && !empty_row(cells, data, cu, cu + su * min(s - 1, a₂), cv + sv * s)
            for a in 0:min(s - 1, a₂)
                beside(a) + row > nearer() && break
                look!(found, data, cells, cell_number(cells, data, cu + su * a, cv + sv * s), q, most, limit, position, map, own)
            end
        end
    end
    return found
end

@inline function look!(found, data, cells, c, q, most, limit, position, map, own)
    at = cells.at
    @inbounds for k in cells.first[c]:cells.first[c+1]-1
        own && cells.hidden[k] && continue
        in_quadrant(q, wrapped(at[1, k] - map[1], data.period), at[2, k] - map[2]) || continue
        d² = (at[3, k] - position[1])^2 + (at[4, k] - position[2])^2 + (at[5, k] - position[3])^2
        d² <= limit || continue
        (found.count < most || d² < found.distance[most]) && insert!(found, most, d², Int(cells.order[k]))
    end
    return nothing
end

@inline function cell_and_rest(x, n)
    cell = clamp(floor(x), 0, n - 1)
    return (Int(cell), x - cell)
end

"    empty_column(cells, data, a, b₁, b₂) -> whether the cells of column `a` from row `b₁` to `b₂` have no data"
@inline function empty_column(cells, data, a, b₁, b₂)
    column = cells.count[2] * (data.period > 0 ? mod(a, cells.count[1]) : a)
    @inbounds return cells.before[column+min(b₁, b₂)+1] == cells.before[column+max(b₁, b₂)+2]
end

"    empty_row(cells, data, a₁, a₂, b) -> the same of row `b` from column `a₁` to `a₂`, which the period may divide"
@inline function empty_row(cells, data, a₁, a₂, b)
    (from, to) = (cell_number(cells, data, min(a₁, a₂), b), cell_number(cells, data, max(a₁, a₂), b))
    @inbounds from <= to && return cells.first[from] == cells.first[to+1]
    start = cells.count[1] * b + 1
    @inbounds return cells.first[start] == cells.first[to+1] && cells.first[from] == cells.first[start+cells.count[1]]
end

@inline cell_number(cells, data, a, b) =
    (data.period > 0 ? mod(a, cells.count[1]) : a) + cells.count[1] * b + 1
