# Observations at arbitrary times, of any linear combination of the state:
#
#     y = aᵀ Φ_θ(x(t)) + error,
#
# where t is the last step before the datum and Φ_θ the model over the fraction θ of a step (θ = 0:
# the state at the step itself). Like a datum at a step, it depends on one state only, so that the
# gradient stays local in time and the Hessian block-tridiagonal; the adjoint of Φ_θ is that of a
# shorter step.

"""
    Points(step, fraction, y, weight, operator)

Data of all windows; zero weight marks padding.

- `step`: `(datum, window)`, t, counted from 0
- `fraction`, `y`, `weight`: `(datum, window)`
- `operator`: `(state, datum, window)`, a
"""
struct Points{S}
    step::Matrix{Int64}
    fraction::Matrix{S}
    y::Matrix{S}
    weight::Matrix{S}
    operator::Array{S,3}
end

"""
    FunctionData(values!, y, weight)

Data that are a function h of the state at a step, for methods that need its values alone.

- `values!`: `values!(y, x)` puts h of the state x into y, and returns nothing or a sentence
- `y`, `weight`: `(channel, time, window)`; zero weight marks padding
"""
struct FunctionData
    values!::Any        # its type is known where it is called: one compilation of a method for all functions
    y::Array{Float64,3}
    weight::Array{Float64,3}
end

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
    operator::Vector{N}      # (state, datum)
end
PointBlock{N}(T::Integer) where {N} = PointBlock{N}(ones(Int, T + 1), N[], N[], N[], N[])

"    make_room!(p, all, windows) -> p with enough places at each step for each of these windows"
make_room!(p::PointBlock, ::Nothing, windows) = p
function make_room!(p::PointBlock, all::Points, windows)
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
    fill!(resize!(p.operator, size(all.operator, 1) * total), 0)
    return p
end

"""
    place_points!(p, lane, all, w, steps, n = 1)

Put the data of the window w at the given steps into a lane whose weights are zero at these steps. Each weight is
divided by n.
"""
place_points!(p::PointBlock, lane, ::Nothing, w, steps, n = 1) = p
function place_points!(p::PointBlock, lane, all::Points, w, steps, n = 1)
    # Views, because a vector that has been reshaped cannot be resized for the next block.
    (θ, y, c, a) = map(v -> scalars(view(v, :)), (p.fraction, p.y, p.c, p.operator))
    D = size(all.operator, 1)
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
        for i in 1:D
            a[lane, (at-1)*D+i] = all.operator[i, k, w]
        end
    end
    return p
end

@inline points_at(::Nothing, t) = 1:0
@inline points_at(p::PointBlock, t) = @inbounds p.first[t]:p.first[t+1]-1
@inline operator(p::PointBlock, k, ::Val{D}) where {D} =
    ntuple(i -> (@inbounds p.operator[(k-1)*D+i]), Val(D))

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
@noinline function add_points!(g::Vector{N}, ws, p::PointBlock{N}, t, x::AbstractVector{N}, scheme, m, h) where {N}
    misfit = zero(N)
    fill!(g, zero(N))
    D = length(g)
    for k in points_at(p, t)
        hθ = h * p.fraction[k]
        x̂ = step!(ws, scheme, m, x, hθ)
        a = view(p.operator, (k-1)*D+1:k*D)
        d = -p.y[k]
        @inbounds for i in 1:D
            d = muladd(a[i], x̂[i], d)
        end
        cd = p.c[k] * d
        misfit = muladd(cd, d, misfit)
        ḡ = step_adjoint!(ws, scheme, m, x, a, hθ)
        @inbounds for i in 1:D
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

function innovation(p::PointBlock{Float64}, k, x)
    d = -p.y[k]
    @inbounds for i in eachindex(x)
        d = muladd(p.operator[(k-1)*length(x)+i], x[i], d)
    end
    return d
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
            for i in 1:D
                derivative[j] = muladd(p.operator[(k-1)*D+i], ws.transposed[j, i], derivative[j])
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
    for w in axes(out, 2), k in axes(out, 1)
        at = x[:, points.step[k, w]+1, w]
        there = linearised_step(ws, scheme, m, at, at, points.fraction[k, w] * h, 0)
        out[k, w] = sum(points.operator[i, k, w] * there[i] for i in eachindex(at))
    end
    return out
end
