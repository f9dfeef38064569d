# Observations at arbitrary times, of any linear combination of the state:
#
#     y = aᵀ Φ_θ(x(t)) + error,
#
# where t is the last step before the datum and Φ_θ the model over the fraction θ of a step (θ = 0:
# the state at the step itself). Like a datum at a step, it depends on one state only, so that the
# gradient stays local in time and the Hessian block-tridiagonal; the adjoint of Φ_θ is that of a
# shorter step.

"""
    SparseRows(index, coefficient, size)
    SparseRows(operator)

Rows a of linear operators on states of `size` components, by their entries.

- `index`, `coefficient`: `(term, datum, window)`; components are counted from 0, coefficients 0 are padding
- `operator`: `(state, datum, window)`, the rows in full
"""
struct SparseRows{S}
    index::Array{Int64,3}
    coefficient::Array{S,3}
    size::Int
end
SparseRows(operator::Array{S,3}) where {S} =
    SparseRows{S}([i - 1 for i in axes(operator, 1), _ in axes(operator, 2), _ in axes(operator, 3)], operator, size(operator, 1))
function Base.getindex(rows::SparseRows{S}, ::Colon, k, w) where {S}
    a = zeros(S, rows.size)
    for j in axes(rows.index, 1)
        a[rows.index[j, k, w]+1] += rows.coefficient[j, k, w]
    end
    return a
end

"""
    Points(step, fraction, y, weight, operator, whole = true)

Data of all windows; zero weight marks padding.

- `step`: `(datum, window)`, t, counted from 0
- `fraction`, `y`, `weight`: `(datum, window)`
- `operator`: SparseRows, a, or an array `(state, datum, window)`
- `whole`: whether the kernels need the rows in full, as those of small models do
"""
struct Points{S}
    step::Matrix{Int64}
    fraction::Matrix{S}
    y::Matrix{S}
    weight::Matrix{S}
    operator::SparseRows{S}
    whole::Bool
end
Points(step, fraction, y, weight, operator::SparseRows{S}, whole = true) where {S} =
    Points{S}(step, fraction, y, weight, operator, whole)
Points{S}(step, fraction, y, weight, operator::Array) where {S} = Points(step, fraction, y, weight, SparseRows(operator))
Points(step, fraction, y, weight, operator::Array{S,3}) where {S} = Points{S}(step, fraction, y, weight, operator)

"    count_data(mask, points, w) -> number of data of the window w, at least 1"
count_data(mask, ::Nothing, w) = max(count(!iszero, view(mask, :, :, w)), 1)
count_data(mask, p::Points, w) =
    max(count(!iszero, view(mask, :, :, w)) + count(!iszero, view(p.weight, :, w)), 1)

"The data of a block of windows, ordered by step; lanes with fewer data at a step are padded with weight 0."
struct PointBlock{N<:Real}
    first::Vector{Int}       # (time + 1): the data of step t are first[t]:first[t+1]-1
    fraction::Vector{N}
    y::Vector{N}
    c::Vector{N}
    operator::Vector{N}      # (state, datum); empty unless the rows are needed whole
    index::Vector{Int}       # (lane, term, datum), from 1
    coefficient::Vector{N}   # (term, datum)
    row::Vector{N}           # one row in full
end
PointBlock{N}(T::Integer) where {N} = PointBlock{N}(ones(Int, T + 1), N[], N[], N[], N[], Int[], N[], N[])

"    make_room!(p, all, windows) -> p with enough places at each step for each of these windows"
make_room!(p::PointBlock, ::NotInBlock, windows) = p
function make_room!(p::PointBlock{N}, all::Points, windows) where {N}
    fill!(p.first, 0)
    own = similar(p.first)
    for w in windows
        fill!(own, 0)
        for k in axes(all.step, 1)
            all.weight[k, w] != 0 && (own[all.step[k, w]+2] += 1)
        end
        p.first .= max.(p.first, own)
    end
    p.first[1] = 1
    cumsum!(p.first, p.first)
    total = p.first[end] - 1
    for v in (p.fraction, p.y, p.c)
        fill!(resize!(v, total), 0)
    end
    (D, terms) = (all.operator.size, size(all.operator.index, 1))
    fill!(resize!(p.operator, all.whole ? D * total : 0), 0)
    fill!(resize!(p.index, lanes(N) * terms * total), 1)
    fill!(resize!(p.coefficient, terms * total), 0)
    resize!(p.row, D)
    return p
end

"""
    place_points!(p, lane, all, w, steps, n = 1)

Put the data of the window w at the given steps into a lane whose weights are zero at these steps. Each weight is
divided by n.
"""
place_points!(p::PointBlock, lane, ::NotInBlock, w, steps, n = 1) = p
function place_points!(p::PointBlock{N}, lane, all::Points, w, steps, n = 1) where {N}
    # Views, because a vector that has been reshaped cannot be resized for the next block.
    (θ, y, c, a, b) = map(v -> scalars(view(v, :)), (p.fraction, p.y, p.c, p.operator, p.coefficient))
    (D, W, rows) = (all.operator.size, lanes(N), all.operator)
    terms = size(rows.index, 1)
    for k in axes(all.step, 1)
        t = all.step[k, w] + 1
        (t in steps && all.weight[k, w] != 0) || continue
        at = p.first[t]
        while c[lane, at] != 0
            at += 1
        end
        θ[lane, at] = all.fraction[k, w]
        y[lane, at] = all.y[k, w]
        c[lane, at] = all.weight[k, w] / n
        all.whole && (a[lane, (at-1)*D+1:at*D] .= 0)     # a lane may have held another window
        for j in 1:terms
            (i, place) = (rows.index[j, k, w] + 1, (at - 1) * terms + j)
            p.index[(place-1)*W+lane] = i
            b[lane, place] = rows.coefficient[j, k, w]
            all.whole && (a[lane, (at-1)*D+i] += rows.coefficient[j, k, w])
        end
    end
    return p
end

@inline points_at(::Nothing, t) = 1:0
@inline points_at(p::PointBlock, t) = @inbounds p.first[t]:p.first[t+1]-1
@inline operator(p::PointBlock, k, ::Val{D}) where {D} =
    ntuple(i -> (@inbounds p.operator[(k-1)*D+i]), Val(D))

"    terms_of(p, k) -> where the terms of a datum stand in `coefficient`"
@inline function terms_of(p::PointBlock, k)
    terms = length(p.coefficient) ÷ length(p.c)
    return (k-1)*terms+1:k*terms
end

@inline gathered(x::AbstractVector{N}, index, j) where {N<:AbstractFloat} = @inbounds x[index[j]]
@inline gathered(x::AbstractVector{Lanes{W,T}}, index, j) where {W,T} =
    Lanes{W,T}(ntuple(l -> VecElement{T}(lane((@inbounds x[index[(j-1)*W+l]]), l)), Val(W)))

"    spread!(g, index, j, a): add each lane of the number a to the component of g that the term j has there"
@inline spread!(g::Vector{N}, index, j, a::N) where {N<:AbstractFloat} = (@inbounds g[index[j]] += a; nothing)
@inline function spread!(g::Vector{Lanes{W,T}}, index, j, a::Lanes{W,T}) where {W,T}
    for l in 1:W
        alone = Lanes{W,T}(ntuple(w -> VecElement{T}(w == l ? a.v[w].value : zero(T)), Val(W)))
        @inbounds g[index[(j-1)*W+l]] += alone
    end
end

"    innovation(p, k, x) -> a · x - y of a datum"
@inline function innovation(p::PointBlock, k, x)
    d = @inbounds -p.y[k]
    for j in terms_of(p, k)
        d = muladd((@inbounds p.coefficient[j]), gathered(x, p.index, j), d)
    end
    return d
end

"    row!(p, k) -> the row of a datum in full"
function row!(p::PointBlock{N}, k) where {N}
    fill!(p.row, zero(N))
    for j in terms_of(p, k)
        spread!(p.row, p.index, j, (@inbounds p.coefficient[j]))
    end
    return p.row
end

"    is_at_step(θ) -> whether a datum lies at a step, in every window"
@inline is_at_step(θ::AbstractFloat) = iszero(θ)
@inline is_at_step(θ::Lanes{W}) where {W} = all(l -> iszero(lane(θ, l)), 1:W)

add_points(::Nothing, t, x, misfit, g, scheme, m, h, γ₁) = misfit, g
add_points!(g, ws, ::Nothing, t, x, scheme, m, h) = zero(eltype(g))

"    add_points(p, t, x, misfit, g, scheme, m, h, γ₁) -> misfit and g, with the data after step t added"
@noinline function add_points(p::PointBlock{N}, t, x::NTuple{D,N}, misfit, g, scheme, m, h, γ₁) where {D,N}
    for k in points_at(p, t)
        hθ = h * p.fraction[k]
        x̂, stages = step(scheme, m, x, hθ)
        a = operator(p, k, Val(D))
        d = muladd_sum(a, x̂, -p.y[k])
        cd = p.c[k] * d
        misfit = muladd(cd, d, misfit)
        g = axpy(γ₁ * cd, step_adjoint(scheme, m, stages, a, hθ), g)
    end
    return misfit, g
end

"    add_points!(g, ws, p, t, x, scheme, m, h) -> Σ c d² of the data after step t; g becomes Σ c d 𝚽ᵀa"
@noinline add_points!(g::Vector{N}, ws, p::PointBlock{N}, t, x::AbstractVector{N}, scheme, m, h) where {N} =
    has_own_step(m) ? add_interpolated!(g, ws, p, t, x, scheme, m, h) : add_each_point!(g, ws, p, t, x, scheme, m, h)

"Between two steps of its own a model is interpolated, so that one step serves all data after step t."
function add_interpolated!(g, ws, p, t, x, scheme, m, h)
    later = any(k -> p.fraction[k] > 0, points_at(p, t))
    x̂ = later ? step!(ws, scheme, m, x, h) : x
    (misfit, v) = (0.0, fill!(p.row, 0.0))      # v: the gradient with respect to x̂
    fill!(g, 0.0)
    for k in points_at(p, t)
        θ = p.fraction[k]
        d = (1 - θ) * innovation(p, k, x) + (θ > 0 ? θ * innovation(p, k, x̂) : 0.0)
        cd = p.c[k] * d
        misfit += cd * d
        for j in terms_of(p, k)
            spread!(g, p.index, j, (1 - θ) * cd * p.coefficient[j])
            spread!(v, p.index, j, θ * cd * p.coefficient[j])
        end
    end
    later && (g .+= step_adjoint!(ws, scheme, m, x, v, h))
    return misfit
end

function add_each_point!(g::Vector{N}, ws, p::PointBlock{N}, t, x, scheme, m, h) where {N}
    misfit = zero(N)
    fill!(g, zero(N))
    for k in points_at(p, t)
        if is_at_step(p.fraction[k])
            d = innovation(p, k, x)
            cd = p.c[k] * d
            misfit = muladd(cd, d, misfit)
            for j in terms_of(p, k)
                spread!(g, p.index, j, cd * p.coefficient[j])
            end
            continue
        end
        hθ = h * p.fraction[k]
        d = innovation(p, k, step!(ws, scheme, m, x, hθ))
        cd = p.c[k] * d
        misfit = muladd(cd, d, misfit)
        ḡ = step_adjoint!(ws, scheme, m, x, row!(p, k), hθ)
        @inbounds for i in eachindex(g)
            g[i] = muladd(cd, ḡ[i], g[i])
        end
    end
    return misfit
end

"    point_misfit(p, t, x, scheme, m, h, substeps) -> Σ c d² of the data after step t"
@noinline function point_misfit(p::PointBlock{N}, t, x::NTuple{D,N}, scheme, m, h, substeps) where {D,N}
    J = zero(N)
    for k in points_at(p, t)
        x̂ = segment(scheme, m, x, h * p.fraction[k], substeps)
        d = muladd_sum(operator(p, k, Val(D)), x̂, -p.y[k])
        J = muladd(p.c[k] * d, d, J)
    end
    return J
end

"""
    add_points!(g, A, p, t, x, columns, scheme, m, h, substeps) -> Σ c d² of the data after step t

Add these data to the gradient and to the lower triangle of the Gauss-Newton Hessian with respect to
the control; `columns` are the derivatives of x by the control.
"""
@noinline function add_points!(g, A, p::PointBlock{N}, t, x::NTuple{D,N}, columns, scheme, m, h, substeps) where {D,N}
    J = zero(N)
    for k in points_at(p, t)
        x̂, there = segment(scheme, m, x, columns, h * p.fraction[k], substeps)
        a = operator(p, k, Val(D))
        d = muladd_sum(a, x̂, -p.y[k])
        cd = p.c[k] * d
        J = muladd(cd, d, J)
        derivative = map(column -> muladd_sum(a, column, zero(N)), there)
        @inbounds for j in 1:length(derivative)
            g[j] = muladd(cd, derivative[j], g[j])
            c = p.c[k] * derivative[j]
            for l in j:length(derivative)
                A[l, j] = muladd(c, derivative[l], A[l, j])
            end
        end
    end
    return J
end

# --- one window of a large model ------------------------------------------------------------------

function point_misfit(ws, p::PointBlock{Float64}, t, x::Vector, scheme, m, h, substeps)
    J = 0.0
    for k in points_at(p, t)
        copyto!(ws.x, x)
        steps!(ws, scheme, m, h * p.fraction[k], substeps)
        J += p.c[k] * innovation(p, k, ws.x)^2
    end
    return J
end

"As above; `from` has the state at step t and its derivatives, `ws` is a workspace."
function add_points!(g, A, ws, p::PointBlock{Float64}, t, from, scheme, m, h, substeps)
    J = 0.0
    D = length(from.x)
    derivative = ws.row
    for k in points_at(p, t)
        copyto!(ws.x, from.x)
        copyto!(ws.columns, from.columns)
        segment!(ws, scheme, m, h * p.fraction[k], substeps)
        d = innovation(p, k, ws.x)
        J += p.c[k] * d^2
        @inbounds for j in 1:D
            derivative[j] = 0.0
            for l in terms_of(p, k)
                derivative[j] = muladd(p.coefficient[l], ws.transposed[j, p.index[l]], derivative[j])
            end
        end
        @inbounds for j in 1:D
            g[j] = muladd(p.c[k] * d, derivative[j], g[j])
            c = p.c[k] * derivative[j]
            for l in 1:D
                A[l, j] = muladd(c, derivative[l], A[l, j])
            end
        end
    end
    return J
end

# --- predicted values of the data -----------------------------------------------------------------

"    observed!(out, x, points, scheme, m, h) -> aᵀ Φ_θ(x(t)) of every datum, `(datum, window)`"
function observed!(out, x, points, scheme, m, h)
    ws = single_step_workspace(m)
    (there, reached) = (Float64[], (-1, 0))     # the state one step after step t of the window w, and (t, w)
    for w in axes(out, 2), k in axes(out, 1)
        (t, θ) = (points.step[k, w], points.fraction[k, w])
        at = view(x, :, t + 1, w)
        if θ == 0
            out[k, w] = product(points.operator, k, w, at)
        elseif has_own_step(m)      # interpolated: one step serves all data after it
            if reached != (t, w)
                at = collect(at)
                (there, reached) = (copy(linearised_step(ws, scheme, m, at, at, h, 0)), (t, w))
            end
            out[k, w] = (1 - θ) * product(points.operator, k, w, at) + θ * product(points.operator, k, w, there)
        else
            at = collect(at)
            out[k, w] = product(points.operator, k, w, linearised_step(ws, scheme, m, at, at, θ * h, 0))
        end
    end
    return out
end
"    product(rows, k, w, x) -> a · x"
function product(rows::SparseRows, k, w, x)
    d = 0.0
    for j in axes(rows.index, 1)
        d += rows.coefficient[j, k, w] * x[rows.index[j, k, w]+1]
    end
    return d
end
