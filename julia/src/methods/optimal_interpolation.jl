# Optimal interpolation: the best linear estimate of a field of mean zero from its nearest data in space and time,
# and the variance of its error,
#
#     x̂ = cᵀ A⁻¹ y,     σ² = c₀ - cᵀ A⁻¹ c,     Aᵢⱼ = C(dᵢ, dⱼ) + R,     cᵢ = C(x, dᵢ)
#
# (Bretherton et al. 1976). C is a sum of factors, each a function of distance times one of time. The matrices of
# eight points are factorised in the lanes of one; c and y are two more rows of A, which the factorisation
# turns into L⁻¹ c and L⁻¹ y.

const EXPONENTIAL, GAUSSIAN, MATERN32, MATERN52 = 0, 1, 2, 3

"""
One factor: variance · f(r / length) · g(|t| / time), written as

    v exp(-α r - β t - γ r² - δ t²) (1 + p r + q r²) (1 + s t + u t²).
"""
struct Factor{N}
    v::N
    α::N
    β::N
    γ::N
    δ::N
    p::N
    q::N
    s::N
    u::N
    plain::Bool         # whether it is v exp(-α r - β t)
end

"    decay(kind, L) -> (α, γ, p, q) of a function of r / L, which is constant for an infinite L"
function decay(kind, L)
    kind == EXPONENTIAL && return (1 / L, 0.0, 0.0, 0.0)
    kind == GAUSSIAN && return (0.0, 1 / 2L^2, 0.0, 0.0)
    kind == MATERN32 && return (sqrt(3) / L, 0.0, sqrt(3) / L, 0.0)
    return (sqrt(5) / L, 0.0, sqrt(5) / L, 5 / 3L^2)
end

function Factor{N}(row) where {N}
    (v, space, L, time, T) = row
    ((α, γ, p, q), (β, δ, s, u)) = (decay(space, L), decay(time, T))
    return Factor{N}(map(N, (v, α, β, γ, δ, p, q, s, u))..., space == EXPONENTIAL && time == EXPONENTIAL)
end

@inline function value(f::Factor{N}, r, t) where {N}
    e = muladd(f.α, r, f.β * t)
    f.plain && return f.v * lane_exp(-e)
    (r², t²) = (r * r, t * t)
    e = muladd(f.γ, r², muladd(f.δ, t², e))
    return f.v * lane_exp(-e) * muladd(f.q, r², muladd(f.p, r, one(N))) * muladd(f.u, t², muladd(f.s, t, one(N)))
end

"""
What an interpolation depends on.

- `time`, `value`, `noise`, `track`: `(N)`, of the data: days, anomaly, variance of its error, number of its pass
- `velocity`: `(3, N)`, km a day: data are taken from where they would be at the time of a query, carried by their own
  velocity; `(3, 0)` where nothing moves
- `factors`: of the covariance, rows (variance, kind in space, km, kind in time, days)
- `along`: (variance, km) of errors that data of the same pass share
- `own`, `other`: nearest data in each quadrant of the point's own group, and of each other one
- `days`, `km`: how far away data are used
- `group_time`: `(G)`, days, increasing
"""
struct InterpolationProblem
    data::GroupedData
    cells::Vector{Cells}
    time::Vector{Float64}
    value::Vector{Float64}
    noise::Vector{Float64}
    track::Vector{Float64}
    velocity::Matrix{Float64}
    factors::Vector{Factor{Lanes{8,Float64}}}
    along::NTuple{2,Float64}
    own::Int
    other::Int
    days::Float64
    km::Float64
    group_time::Vector{Float64}
end

"Memory of one thread for eight points at a time."
struct QueryBlock{N}
    factor::LaneFactor{N}
    position::Matrix{Float64}       # (8, data) for each of x, y, z, t, weight, value, noise, track below each other
    lanes::Matrix{N}                # the same memory: (8 quantities, data)
    r::Vector{N}
    t::Vector{N}
    p::Vector{N}                    # weights of pairs in the derivatives of estimate and variance
    q::Vector{N}
    sums::Matrix{N}                 # (2, constants) of these derivatives
    point::Matrix{Float64}          # (8, 4): x, y, z, t of the points
    count::Vector{Int}
    query::Vector{Int}
end

const QUANTITIES = 8

function QueryBlock(most, factors)
    N = Lanes{8,Float64}
    size = 4 * cld(most, 4)
    lanes = zeros(N, QUANTITIES, max(4, size))
    numbers = unsafe_wrap(Array, Ptr{Float64}(pointer(lanes)), (8, QUANTITIES * max(4, size)))
    row() = zeros(N, size + 4)
    return QueryBlock{N}(LaneFactor{N}(size + 4), numbers, lanes, row(), row(), row(), row(), zeros(N, 2, 1 + 3factors), zeros(8, 4),
                         zeros(Int, 8), zeros(Int, 8))
end

"    groups_within(P, time) -> the first and the last group within P.days of a time"
groups_within(P, time) =
    (searchsortedfirst(P.group_time, time - P.days), searchsortedlast(P.group_time, time + P.days))

"    most_data(P, query_time, query_group) -> the number of data that a point has at most"
function most_data(P, time, group)
    most = 0
    held(g, k) = min(4k, P.data.first[g+1] - P.data.first[g])
    for (t, g) in zip(time, group)
        (lo, hi) = groups_within(P, t)
        n = g > 0 ? held(g, P.own) : 0
        for h in lo:hi
            h == g || (n += held(h, P.other))
        end
        most = max(most, n)
    end
    return most
end

"""
    interpolate!(out, P, position, map, point, time, group, derivatives) -> out

# Arguments
- `out`: `(4, queries)`: estimate, variance of its error, and how far away the datum with the largest covariance is, in
  km and days (NaN without data)
- `P`: InterpolationProblem
- `position`, `map`: `(3, points)` and `(2, points)`, as those of data
- `point`, `time`, `group`: `(queries)`: a query's point, its time and its group, 0 if there is none; queries of the
  same point stand beside each other
- `derivatives`: `(2, constants, queries)`, those of estimate and variance as of `differentiate!`, or empty
"""
function interpolate!(out, P::InterpolationProblem, position, map, point, time, group, derivatives = zeros(0, 0, 0))
    queries = length(point)
    queries == 0 && return out
    most = most_data(P, time, group)
    starts = [q for q in 1:queries if q == 1 || point[q] != point[q-1]]
    push!(starts, queries + 1)
    # Pieces of equal numbers of points, which threads take in turn.
    pieces = cld(length(starts) - 1, max(1, min(64, cld(length(starts) - 1, 4 * Threads.nthreads()))))
    bounds = [round(Int, k * (length(starts) - 1) / pieces) for k in 0:pieces]
    next = Threads.Atomic{Int}(1)
    in_threads(threads_for(pieces)) do _
        block = QueryBlock(most, length(P.factors))
        found = Nearest(max(P.own, P.other, 1))
        kept = zeros(Int, 4 * P.other, length(P.cells))
        counts = zeros(Int, length(P.cells))
        while true
            k = Threads.atomic_add!(next, 1)
            k > pieces && break
            filled = 0
            for n in bounds[k]+1:bounds[k+1]
                fill!(counts, -1)
                for q in starts[n]:starts[n+1]-1
                    filled += 1
                    gather!(block, filled, P, found, kept, counts, position, map, q, point[q], time[q], group[q])
                    if filled == 8
                        estimate!(out, derivatives, block, P, 8)
                        filled = 0
                    end
                end
            end
            filled > 0 && estimate!(out, derivatives, block, P, filled)
        end
    end
    return out
end

"Collect a point's data in lane `w`, in the order of their groups."
function gather!(block, w, P, found, kept, counts, positions, maps, query, point, time, group)
    @inbounds begin
        position = (positions[1, point], positions[2, point], positions[3, point])
        map = (maps[1, point], maps[2, point])
        (block.point[w, 1], block.point[w, 2], block.point[w, 3], block.point[w, 4]) = (position..., time)
        limit = P.km^2
        (lo, hi) = groups_within(P, time)
        n = 0
        for g in lo:hi
            if g == group
                for q in 1:4
                    nearest!(found, P.data, P.cells[g], q, P.own, limit, position, map, true)
                    for k in 1:found.count
                        n += 1
                        put!(block, w, n, P, found.datum[k], time)
                    end
                end
            else
                if counts[g] < 0
                    counts[g] = 0
                    for q in 1:4
                        nearest!(found, P.data, P.cells[g], q, P.other, limit, position, map, false)
                        for k in 1:found.count
                            counts[g] += 1
                            kept[counts[g], g] = found.datum[k]
                        end
                    end
                end
                for k in 1:counts[g]
                    n += 1
                    put!(block, w, n, P, kept[k, g], time)
                end
            end
        end
        block.count[w] = n
        block.query[w] = query
    end
    return nothing
end

@inline function put!(block, w, n, P, i, time)
    (B, c) = (block.position, QUANTITIES * (n - 1))
    @inbounds begin
        (B[w, c+1], B[w, c+2], B[w, c+3], B[w, c+4]) = (P.data.position[1, i], P.data.position[2, i], P.data.position[3, i], P.time[i])
        (B[w, c+5], B[w, c+6], B[w, c+7], B[w, c+8]) = (1.0, P.value[i], P.noise[i], P.track[i])
        isempty(P.velocity) || for a in 1:3
            B[w, c+a] += P.velocity[a, i] * (time - P.time[i])
        end
    end
    return nothing
end

"Estimate the points of the first `lanes_used` lanes. A lane with fewer data than another has data of weight 0."
function estimate!(out, derivatives, block::QueryBlock{N}, P, lanes_used) where {N}
    for w in lanes_used+1:8
        block.count[w] = 0
        block.point[w, :] .= block.point[1, :]
    end
    size = 4 * cld(maximum(block.count), 4)
    for w in 1:8, n in block.count[w]+1:size
        block.position[w, QUANTITIES*(n-1)+1:QUANTITIES*n] .= 0.0
    end
    (z, panels) = (zero(N), size ÷ 4)
    # Of a known type: boxed lanes are not aligned as instructions expect them.
    point = ntuple(a -> N(ntuple(w -> VecElement(block.point[w, a]), Val(8))), Val(4))
    c₀ = sum(lane(f.v, 1) for f in P.factors)
    covariances!(block, P, size, point)
    factorise_panels!(block.factor, 1, panels)
    nearest = most_correlated(block, size, point)
    solve_panel!(block.factor, panels + 1, panels)
    (x, s) = (z, z)
    @inbounds for j in 1:size
        u = block.factor.panels[place(size + 1, j)]
        x = muladd(u, block.factor.panels[place(size + 2, j)], x)
        s = muladd(u, u, s)
    end
    @inbounds for w in 1:lanes_used
        q = block.query[w]
        (out[1, q], out[2, q]) = (lane(x, w), c₀ - lane(s, w))
        (out[3, q], out[4, q]) = nearest[w]
    end
    isempty(derivatives) || differentiate!(derivatives, block, P, size, point, lanes_used)
    return nothing
end

"Fill the panels with A, and the one behind it with c and y."
function covariances!(block::QueryBlock{N}, P, size, point) where {N}
    (D, A, z, I) = (block.lanes, block.factor.panels, zero(N), one(N))
    (r, t) = (block.r, block.t)
    @inbounds for i in 1:size+2
        (x₁, x₂, x₃, x₄, weight) = i > size ? (point..., I) : (D[1, i], D[2, i], D[3, i], D[4, i], D[5, i])
        columns = min(i, size)
        at = place(i, 1)
        if i == size + 2
            for j in 1:columns
                A[at+4*(j-1)] = D[6, j]
            end
            continue
        end
        distances!(r, t, D, (x₁, x₂, x₃, x₄), columns)
        add_factors!(A, at, P.factors, r, t, columns)
        if i <= size && P.along[1] > 0
            (v, α) = (N(P.along[1]), N(1 / P.along[2]))
            for j in 1:columns
                same = lane_max(z, I - lane_abs(D[8, i] - D[8, j]))
                A[at+4*(j-1)] = muladd(v * same, lane_exp(-(α * r[j])), A[at+4*(j-1)])
            end
        end
        for j in 1:columns
            A[at+4*(j-1)] *= weight * D[5, j]
        end
        i <= size && (A[at+4*(i-1)] += D[7, i] + (I - weight))
    end
    # Above the diagonal of the diagonal tiles, and behind c and y: numbers that the tiles read but do not use.
    @inbounds for i in size+3:size+4, j in 1:size
        A[place(i, j)] = z
    end
    return nothing
end

"Write the distances in space and time of the first data from a place."
@inline function distances!(r, t, D, (x₁, x₂, x₃, x₄), columns)
    @inbounds for j in 1:columns
        (d₁, d₂, d₃) = (x₁ - D[1, j], x₂ - D[2, j], x₃ - D[3, j])
        r[j] = sqrt(muladd(d₁, d₁, muladd(d₂, d₂, d₃ * d₃)))
        t[j] = lane_abs(x₄ - D[4, j])
    end
    return nothing
end

function add_factors!(A::Vector{N}, at, factors, r, t, columns) where {N}
    @inbounds for j in 1:columns
        A[at+4*(j-1)] = zero(N)
    end
    for f in factors
        if f.plain
            (v, α, β) = (f.v, f.α, f.β)
            @inbounds for j in 1:columns
                A[at+4*(j-1)] = muladd(v, lane_exp(-muladd(α, r[j], β * t[j])), A[at+4*(j-1)])
            end
        else
            @inbounds for j in 1:columns
                A[at+4*(j-1)] += value(f, r[j], t[j])
            end
        end
    end
    return A
end

"    most_correlated(block, size, point) -> distance and time to the datum of the largest covariance, of each lane"
function most_correlated(block, size, point)
    at = place(size + 1, 1)
    return ntuple(Val(8)) do w
        (best, where_) = (-Inf, 0)
        @inbounds for j in 1:block.count[w]
            c = lane(block.factor.panels[at+4*(j-1)], w)
            c > best && ((best, where_) = (c, j))
        end
        where_ == 0 && return (NaN, NaN)
        c = QUANTITIES * (where_ - 1)
        d(a) = block.position[w, c+a] - block.point[w, a]
        (sqrt(d(1)^2 + d(2)^2 + d(3)^2), d(4))
    end
end
