# The local ensemble transform Kalman filter: Hunt, B. R., Kostelich, E. J. & Szunyogh, I. (2007): Efficient data
# assimilation for spatiotemporal chaos. Physica D 230, 112-126.
#
# Around each centre the data within reach count with a weight ρ that falls with their distance (Gaspari, G. &
# Cohn, S. E., 1999: Q. J. R. Meteorol. Soc. 125, 723-757, eq. (4.10)). With the members' anomalies at the data S
# (member, datum) and the innovations d, both in units of the errors, the members of a component x̄ + X there become
#
#     x̄ + X w + √(N-1) X A^(-1/2),     A = ζ I + S ρ Sᵀ,     w = A⁻¹ S ρ d,     ζ = (N-1) / α²,
#
# for a prior whose anomalies are multiplied by α. Members of earlier times change by the same w and A, without
# their own share of α: w/α and √(N-1)/α A^(-1/2) (a fixed-lag smoother; Evensen & van Leeuwen 2000).
#
# The adaptive α is that of the finite-size filter (Bocquet, M., Raanes, P. N. & Hannart, A., 2015: Expanding the
# validity of the ensemble Kalman filter without the intrinsic need for inflation. Nonlin. Processes Geophys. 22,
# 645-662), one for each centre: ζ is where
#
#     dᵀ ρ (I + Sᵀ S ρ / ζ)⁻¹ d + N ζ / (N-1) - N log ζ
#
# has its first minimum below N-1. The coefficients are those of the paper up to terms of the order 1/N², so that
# nothing is inflated where nothing is observed. α is at most 2: larger values indicate wrong data or a wrong
# model, and members inflated by more would leave the attractor.
#
# Components between centres take the weighted mean of the analyses of several centres (Yang, S.-C., Kalnay, E., Hunt, B.
# & Bowler, N. E., 2009: Weight interpolation for efficient data assimilation with the LETKF. Q. J. R. Meteorol.
# Soc. 135, 251-262): linear in w and A^(-1/2), this is the interpolation of the weights.
#
# Eight centres are computed at a time, one in each lane. A group of eight never depends on the thread.

"""
    LocalCentres(place, period, first, component, coefficient, colours)

The centres of the local analyses, and the components to which each contributes.

- `place`: `(dimension, centre)`, in half the reach of the data; NaN where a dimension does not count
- `period`: length of each dimension that is a circle, in the same unit; 0: none
- `first`: `first[c]:first[c+1]-1` are the entries of the centre c in the next two
- `component`, `coefficient`: a component of the state and the share of this centre in it
- `colours`: `colours[k]+1:colours[k+1]` are centres that share no component
"""
struct LocalCentres
    place::Matrix{Float64}
    period::Vector{Float64}
    first::Vector{Int}
    component::Vector{Int}
    coefficient::Vector{Float64}
    colours::Vector{Int}
end

using Base.Cartesian: @nexprs

const TILE_I, TILE_J = 4, 6         # rows and columns of S ρ Sᵀ that are kept in registers

struct LocalRoom
    T::LaneTridiagonal
    place::Vector{EightLanes}       # (dimension): of the centres
    counts::Vector{EightLanes}      # 0 where a dimension does not count
    ρ::Vector{EightLanes}           # (datum within reach)
    S::Vector{Float64}              # (member, datum), members padded to whole tiles
    d::Vector{Float64}
    Sd::Vector{EightLanes}          # (member)
    w::Vector{EightLanes}
    previous::Vector{EightLanes}
    x::Vector{EightLanes}
    y::Vector{EightLanes}
end
padded_members(N) = 12 * cld(N, 12)
function LocalRoom(N)
    row() = zeros(EightLanes, padded_members(N))
    return LocalRoom(LaneTridiagonal(N, padded_members(N)), EightLanes[], EightLanes[], EightLanes[], Float64[], Float64[], row(), row()[1:N], row()[1:N],
                     row()[1:N], row()[1:N])
end

"""
    local_analyses!(ensembles, S, d, place, centres; inflation = 1.0, adaptive = false, rotation = nothing)

Change the members of all ensembles by the data of one time.

- `ensembles`: matrices `(state, member)`, in and out; the first is of the time of the data, the others of earlier times
- `S`: `(member, datum)`, anomalies of the members at the data in units of the errors
- `d`: `(datum)`, innovations of their mean in the same units
- `place`: `(dimension, datum)`, as those of the centres
- `inflation`: α; not used where `adaptive`
- `rotation`: `(member, member)`, orthogonal and of row sums 1, that mixes the members afterwards; or `nothing`
"""
function local_analyses!(ensembles, S, d, place, centres::LocalCentres; inflation = 1.0, adaptive = false, rotation = nothing)
    N = size(S, 1)
    whole = all(isone, centres.coefficient)
    from = whole ? ensembles : map(copy, ensembles)
    whole || foreach(E -> clear_components!(E, centres.component), ensembles)
    how = (; sorted_data(S, d, place, centres)..., centres = centres, inflation = inflation, adaptive = adaptive, rotation = rotation)
    for k in 1:length(centres.colours)-1
        (before, last) = (centres.colours[k], centres.colours[k+1])
        groups = cld(last - before, 8)
        threads = threads_for(groups, groups * N^2)
        rooms = workspace(() -> [LocalRoom(N) for _ in 1:threads], (:local_analyses, N, threads))
        in_threads(threads) do thread
            for g in thread:threads:groups
                start = before + 8 * (g - 1)
                local_analysis!(ensembles, from, rooms[thread], how, start + 1, min(start + 8, last))
            end
        end
    end
    return ensembles
end

"    sorted_data(S, d, place, centres) -> the data in the order of a dimension that is not periodic, which is `along`; 0: none"
function sorted_data(S, d, place, centres::LocalCentres)
    along = something(findfirst(i -> centres.period[i] == 0 && !any(isnan, view(place, i, :)), axes(place, 1)), 0)
    along == 0 && return (S = S, d = d, place = place, along = along, sorted = Float64[])
    order = sortperm(place[along, :])
    return (S = S[:, order], d = d[order], place = place[:, order], along = along, sorted = place[along, order])
end

"    candidates(how, start, last) -> the data that are near enough along that dimension"
function candidates(how, start, last)
    how.along == 0 && return axes(how.place, 2)
    (least, most) = (Inf, -Inf)
    for c in start:last
        x = how.centres.place[how.along, c]
        isnan(x) && return axes(how.place, 2)
        (least, most) = (min(least, x), max(most, x))
    end
    return searchsortedfirst(how.sorted, least - 2):searchsortedlast(how.sorted, most + 2)
end

function clear_components!(E, components)
    @inbounds for j in axes(E, 2), i in components
        E[i, j] = 0.0
    end
    return E
end

"The analyses of the centres from `start` to `last`, at most eight."
function local_analysis!(to, from, room::LocalRoom, how, start, last)
    (T, N⁻) = (room.T, size(how.S, 1) - 1)
    K = data_in_reach!(room, how, start, last)
    if K == 0
        zero_tridiagonal!(T)
        fill!(room.Sd, zero(EightLanes))
    else
        products!(room, K)
        tridiagonalise!(T)
        to_tridiagonal!(room.Sd, T)
    end
    ζ = how.adaptive ? finite_size(room, N⁻) : EightLanes(N⁻ / how.inflation^2)
    shifted_solve!(room.w, T, room.Sd, ζ)
    q = quadrature_for(1 + greatest(trace_of(T) / ζ))
    factorise_shifts!(T, ζ, q)
    transform_members!(to, from, room, how, ζ, q, start, last)
    return nothing
end
greatest(a::EightLanes) = maximum(ntuple(l -> lane(a, l), Val(8)))

"    gaspari_cohn(r) -> their function of the distance in units of half the distance where it becomes 0"
@inline function gaspari_cohn(r::EightLanes)
    c(x) = EightLanes(x)
    (inside, outside) = (c(1) - r, r - c(1))
    near = muladd(r * r, muladd(r, muladd(r, muladd(c(-0.25), r, c(0.5)), c(0.625)), c(-5 / 3)), c(1))
    far = muladd(r, muladd(r, muladd(r, muladd(r, muladd(c(1 / 12), r, c(-0.5)), c(0.625)), c(5 / 3)), c(-5)), c(4))
    far -= c(2 / 3) / (c(1) + where_positive(outside, outside))
    far = where_positive(c(2) - r, where_positive(far, far))
    return far + where_positive(inside, near - far)
end

"    data_in_reach!(room, how, start, last) -> how many data have a weight at one of the centres; ρ, S and d of these"
function data_in_reach!(room::LocalRoom, how, start, last)
    (S, d, place, centres) = (how.S, how.d, how.place, how.centres)
    (N, P) = (size(S, 1), padded_members(size(S, 1)))
    (dims, data) = size(place)
    if length(room.d) < data
        resize!(room.ρ, data)
        resize!(room.S, P * data)
        resize!(room.d, data)
    end
    resize!(room.place, dims)
    resize!(room.counts, dims)
    @inbounds for i in 1:dims
        at = ntuple(l -> centres.place[i, min(start + l - 1, last)], Val(8))
        room.place[i] = EightLanes(map(x -> VecElement(isnan(x) ? 0.0 : x), at))
        room.counts[i] = EightLanes(map(x -> VecElement(isnan(x) ? 0.0 : 1.0), at))
    end
    K = 0
    @inbounds for k in candidates(how, start, last)
        r² = zero(EightLanes)
        for i in 1:dims
            x = place[i, k]
            isnan(x) && continue
            δ = room.place[i] - EightLanes(x)
            period = centres.period[i]
            period > 0 && (δ -= EightLanes(period) * round(δ / EightLanes(period)))
            r² = muladd(room.counts[i] * δ, δ, r²)
        end
        greatest(EightLanes(4) - r²) > 0 || continue
        ρ = gaspari_cohn(sqrt(r²))
        room.ρ[K+1] = ρ
        room.d[K+1] = d[k]
        @simd for i in 1:N
            room.S[P*K+i] = S[i, k]
        end
        for i in N+1:P
            room.S[P*K+i] = 0.0
        end
        K += 1
    end
    return K
end

"S ρ Sᵀ into the lower triangle of T.A, and S ρ d."
function products!(room::LocalRoom, K)
    P = size(room.T.A, 1)
    GC.@preserve room for i in 0:TILE_I:P-1
        for j in 0:TILE_J:min(i + TILE_I, P)-1
            tile_of_products!(room.T.A, room.ρ, pointer(room.S), i, j, P, K)
        end
    end
    fill!(room.Sd, zero(EightLanes))
    @inbounds for k in 1:K
        ρd = room.ρ[k] * EightLanes(room.d[k])
        for i in 1:P
            room.Sd[i] = muladd(ρd, EightLanes(room.S[P*(k-1)+i]), room.Sd[i])
        end
    end
    return nothing
end

"One tile after row i and column j."
@inline function tile_of_products!(A, ρ, S, i, j, P, K)
    @nexprs 4 a -> @nexprs 6 b -> c_a_b = zero(EightLanes)
    (row, column) = (S + 8i, S + 8j)
    @inbounds for k in 1:K
        @nexprs 4 a -> u_a = ρ[k] * EightLanes(unsafe_load(row, a))
        @nexprs 6 b -> begin
            v = EightLanes(unsafe_load(column, b))
            @nexprs 4 a -> c_a_b = muladd(u_a, v, c_a_b)
        end
        row += 8P
        column += 8P
    end
    @inbounds @nexprs 4 a -> @nexprs 6 b -> A[i+a, j+b] = c_a_b
    return nothing
end

const LEAST_CHANGE, MOST_CHANGES, MOST_INFLATION = 1e-13, 100, 2.0

"""
    finite_size(room, N⁻) -> ζ of the finite-size filter in each lane

The derivative of the cost is |w|² + N/(N-1) - N/ζ. From N-1 downwards ζ ← N / (N/(N-1) + |w(ζ)|²) approaches its
largest zero from above, because |w| falls with ζ. α = √((N-1)/ζ) is at most `MOST_INFLATION`.
"""
function finite_size(room::LocalRoom, N⁻)
    (N, most, least) = (EightLanes(N⁻ + 1), EightLanes((N⁻ + 1) / N⁻), EightLanes(N⁻ / MOST_INFLATION^2))
    ζ = EightLanes(N⁻)
    for _ in 1:MOST_CHANGES
        next = N / (most + shifted_solve!(room.previous, room.T, room.Sd, ζ))
        next = least + where_positive(next - least, next - least)
        change = greatest((ζ - next) / ζ)
        ζ = next
        change > LEAST_CHANGE || break
    end
    return ζ
end

"The members of every component that has a share in the centres, in all ensembles."
function transform_members!(to, from, room::LocalRoom, how, ζ, q, start, last)
    centres = how.centres
    N = size(how.S, 1)
    entries = 0
    @inbounds for c in start:last
        entries = max(entries, centres.first[c+1] - centres.first[c])
    end
    # √(N-1) (T + ζ)^(-1/2) is this factor times what `inverse_root!` computes; α is √((N-1)/ζ).
    (now, earlier) = (sqrt(EightLanes(N - 1) * ζ), ζ)
    unscaled = sqrt(ζ / EightLanes(N - 1))
    for m in 0:entries-1, e in eachindex(from)
        x̄ = load_members!(room.x, from[e], centres, start, last, m, N)
        to_tridiagonal!(room.x, room.T)
        step = zero(EightLanes)
        @inbounds for i in 1:N
            step = muladd(room.x[i], room.w[i], step)
        end
        inverse_root!(room.y, room.T, room.x, e == 1 ? now : earlier, q)
        from_tridiagonal!(room.y, room.T)
        mean = e == 1 ? x̄ + step : muladd(step, unscaled, x̄)
        rotated = mix_members!(room.x, room.y, how.rotation, N)
        store_members!(to[e], from[e] === to[e], rotated, mean, centres, start, last, m, N)
    end
    return nothing
end

"    load_members!(x, E, ...) -> the mean of the m-th component of each centre; its anomalies go to x"
function load_members!(x, E, centres, start, last, m, N)
    component = ntuple(Val(8)) do l
        c = min(start + l - 1, last)
        @inbounds centres.component[min(centres.first[c] + m, max(centres.first[c+1] - 1, 1))]
    end
    x̄ = zero(EightLanes)
    @inbounds for j in 1:N
        x[j] = EightLanes(ntuple(l -> VecElement(E[component[l], j]), Val(8)))
        x̄ += x[j]
    end
    x̄ = x̄ / EightLanes(N)
    @inbounds for j in 1:N
        x[j] -= x̄
    end
    return x̄
end

mix_members!(x, y, ::Nothing, N) = y
function mix_members!(x, y, rotation, N)
    @inbounds for j in 1:N
        s = zero(EightLanes)
        for i in 1:N
            s = muladd(y[i], EightLanes(rotation[i, j]), s)
        end
        x[j] = s
    end
    return x
end

function store_members!(E, whole, y, mean, centres, start, last, m, N)
    @inbounds for l in 1:last-start+1
        at = centres.first[start+l-1] + m
        at < centres.first[start+l] || continue
        (i, share) = (centres.component[at], centres.coefficient[at])
        if whole
            for j in 1:N
                E[i, j] = lane(mean, l) + lane(y[j], l)
            end
        else
            for j in 1:N
                E[i, j] += share * (lane(mean, l) + lane(y[j], l))
            end
        end
    end
    return nothing
end
