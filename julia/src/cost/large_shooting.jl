# Multiple shooting (see shooting.jl) of one window of a large model.

using LinearAlgebra: dot, mul!

struct LargeShooting{S<:SegmentWorkspace}
    x::Matrix{Float64}              # (state, node)
    trial::Matrix{Float64}
    gradient::Matrix{Float64}
    step::Vector{LaneVector}
    blocks::DenseBlocks
    b::WindowBlock{Float64}
    background::Vector{Float64}
    cost::ShootingCost
    segment::S
    at_points::S
    residual::Vector{Float64}
    weighed::Vector{Float64}        # w times the residual
    rows::LaneMatrix                # rows of the Jacobian of observed components, times √c
end
function shooting(b::WindowBlock{Float64}, background, cost, m::ArrayModel)
    x = b.x[:, nodes(size(b.x, 2), cost.every)]
    K, P = size(x, 2), padded(m)
    return LargeShooting(x, similar(x), similar(x), [LaneVector(P) for _ in 1:K], DenseBlocks(P, K), b,
                         background, cost, SegmentWorkspace(m), SegmentWorkspace(m), zeros(length(m)), zeros(length(m)), LaneMatrix(P))
end

function cost_at(s::LargeShooting, x, scheme, m, w)
    (b, every, substeps, h, ws) = (s.b, s.cost.every, s.cost.substeps, s.cost.h, s.segment)
    K, T = size(x, 2), length(b.slot)
    J = background_cost(s, x)
    for k in 1:K
        load!(ws.x, x, k)
        last = segment_end(k, K, T, every)
        for t in (k-1)*every+1:last
            slot = @inbounds b.slot[t]
            slot > 0 && (J += misfit(b, slot, ws.x) + point_misfit(s.at_points, b.points, t, ws.x, scheme, m, h, substeps))
            (t < last || k < K) && steps!(ws, scheme, m, h, substeps)
        end
        k < K && (J = add_model_cost!(s, J, x, k, w))
    end
    return J * 0.5
end

"    add_model_cost!(s, J, x, k, w) -> J + rᵀ w r, with the residual r between the current state and node k + 1"
function add_model_cost!(s::LargeShooting, J, x, k, w::Float64)
    state = s.segment.x
    @inbounds @simd for i in eachindex(state)
        J += w * (x[i, k+1] - state[i])^2
    end
    return J
end
function add_model_cost!(s::LargeShooting, J, x, k, w::Matrix{Float64})
    (r, state) = (s.residual, s.segment.x)
    @inbounds for i in eachindex(state)
        r[i] = x[i, k+1] - state[i]
    end
    return J + dot(r, weigh!(s, w))
end
"    weigh!(s, w) -> w times the residual, in `s.weighed`"
weigh!(s::LargeShooting, w::Float64) = (s.weighed .= w .* s.residual)
weigh!(s::LargeShooting, w::Matrix{Float64}) = mul!(s.weighed, w, s.residual)

@inline function load!(state, x, k)
    @inbounds for i in eachindex(state)
        state[i] = x[i, k]
    end
end
@inline function misfit(b, slot, state)
    J = 0.0
    @inbounds @simd for i in eachindex(state)
        J += b.c[i, slot] * (state[i] - b.y[i, slot])^2
    end
    return J
end
function steps!(ws::SegmentWorkspace, scheme, m, h, k)
    for _ in 1:k
        copyto!(ws.x, step!(ws.step, scheme, m, ws.x, h))
    end
end

function background_cost(s::LargeShooting, x)
    J = 0.0
    @inbounds for j in axes(x, 1), i in axes(x, 1)
        J += s.cost.precision[i, j] * (x[i, 1] - s.background[i]) * (x[j, 1] - s.background[j])
    end
    return J
end

function linearise!(s::LargeShooting, scheme, m, w)
    (b, x, g, every, substeps, h) = (s.b, s.x, s.gradient, s.cost.every, s.cost.substeps, s.cost.h)
    (ws, r, P) = (s.segment, s.residual, s.cost.precision)
    D, K, T = size(x, 1), size(x, 2), length(b.slot)
    J = background_cost(s, x)
    @inbounds for k in 1:K
        A = s.blocks.diagonal[k]
        fill!(A.scalars, 0.0)
        for i in D+1:size(A.scalars, 1)         # padding: an uncoupled identity
            A.scalars[i, i] = 1.0
        end
        for i in 1:D
            if k == 1
                g[i, 1] = 0.0
                for j in 1:D
                    A.scalars[j, i] = P[j, i]
                    g[i, 1] += P[j, i] * (x[j, 1] - s.background[j])
                end
            else
                add_weight!(A, i, w)
                g[i, k] = s.weighed[i]
            end
        end
        start_at!(ws, x, k)
        last = segment_end(k, K, T, every)
        for t in (k-1)*every+1:last
            slot = b.slot[t]
            slot > 0 && (J += observe!(A, g, s, k, slot, t == (k - 1) * every + 1))
            slot > 0 && (J += add_points!(view(g, :, k), A.scalars, s.at_points, b.points, t, ws, scheme, m, h, substeps))
            (t < last || k < K) && segment!(ws, scheme, m, h, substeps)
        end
        k == K && break
        J = add_residual!(s, J, k, w)
        for i in 1:D, j in 1:D                  # `transposed[j, i]` is the derivative of i by j
            g[j, k] -= s.weighed[i] * ws.transposed[j, i]
        end
        add_model_error!(s, k, w)
    end
    return J * 0.5
end

"Set row i of a node's block to that of w, or of w I."
@inline add_weight!(A, i, w::Float64) = @inbounds A.scalars[i, i] = w
@inline function add_weight!(A, i, w::Matrix{Float64})
    @inbounds for j in axes(w, 1)
        A.scalars[j, i] = w[j, i]
    end
end

"    add_residual!(s, J, k, w) -> J + rₖᵀ w rₖ; rₖ and w rₖ are stored in `s`"
function add_residual!(s::LargeShooting, J, k, w)
    (r, state) = (s.residual, s.segment.x)
    @inbounds for i in eachindex(r)
        r[i] = s.x[i, k+1] - state[i]
    end
    weigh!(s, w)
    @inbounds for i in eachindex(r)
        J += contribution(s, i, w)
    end
    return J
end
@inline contribution(s, i, w::Float64) = @inbounds w * s.residual[i]^2
@inline contribution(s, i, w::Matrix{Float64}) = @inbounds s.residual[i] * s.weighed[i]

"Add the contribution of the Jacobian in `s.segment` to the block of node k and the block below it."
function add_model_error!(s::LargeShooting, k, w::Float64)
    ws = s.segment
    X = LaneMatrix(ws.columns, ws.transposed)
    add_gram!(s.blocks.diagonal[k], w, X, length(s.residual))
    B = s.blocks.below[k].lanes
    minus = ColumnLanes(-w)
    @inbounds for i in eachindex(B)
        B[i] = minus * ws.columns[i]
    end
end
function add_model_error!(s::LargeShooting, k, w::Matrix{Float64})
    (ws, A, B, D) = (s.segment, s.blocks.diagonal[k], s.blocks.below[k], length(s.residual))
    X = LaneMatrix(ws.columns, ws.transposed)
    fill!(B.scalars, 0.0)
    BLAS.gemm!('N', 'N', -1.0, view(X.scalars, :, 1:D), w, 0.0, view(B.scalars, :, 1:D))
    for a in 1:4:size(A.lanes, 2)
        add_rows!(A, -1.0, X, B, a, cld(a, 8), 1, D)
    end
end

@inline function start_at!(ws, x, k)
    fill!(ws.transposed, 0.0)
    @inbounds for i in eachindex(ws.x)
        ws.x[i] = x[i, k]
        ws.transposed[i, i] = 1.0
    end
end

"Add the observations of one step to the node's block and gradient; return Σ c d²."
function observe!(A, g, s::LargeShooting, k, slot, at_node)
    (b, ws) = (s.b, s.segment)
    D = length(ws.x)
    J = 0.0
    count = 0
    @inbounds for i in 1:D
        c = b.c[i, slot]
        c == 0 && continue
        d = ws.x[i] - b.y[i, slot]
        J += c * d^2
        if at_node
            g[i, k] += c * d
            A.scalars[i, i] += c
        else
            count += 1
            √c = sqrt(c)
            for j in 1:D
                g[j, k] += c * d * ws.transposed[j, i]
            end
            for j in axes(ws.transposed, 1)
                s.rows.scalars[j, count] = √c * ws.transposed[j, i]
            end
        end
    end
    count > 0 && add_gram!(A, 1.0, s.rows, count)
    return J
end

function newton_step!(s::LargeShooting, damping)
    factorise!(s.blocks, damping) || return false
    D, K = size(s.x)
    @inbounds for k in 1:K
        v = s.step[k].scalars
        for i in eachindex(v)
            v[i] = i <= D ? s.gradient[i, k] : 0.0
        end
    end
    solve!(s.step, s.blocks)
    @inbounds for k in 1:K, i in 1:D
        s.trial[i, k] = s.x[i, k] - s.step[k].scalars[i]
    end
    return true
end

function trajectory!(out, s::LargeShooting, scheme, m)
    K, T = size(s.x, 2), size(out, 2)
    for k in 1:K
        load!(s.segment.x, s.x, k)
        last = segment_end(k, K, T, s.cost.every)
        for t in (k-1)*s.cost.every+1:last
            out[:, t] .= s.segment.x
            t < last && steps!(s.segment, scheme, m, s.cost.h, s.cost.substeps)
        end
    end
    return out
end

function variances!(out, s::LargeShooting, scheme, m)
    D, K, T = size(s.x, 1), size(s.x, 2), size(out, 2)
    P = padded(m)
    ws = s.segment
    if !factorise!(s.blocks, 0.0)
        return fill!(out, NaN)
    end
    Z = inverse_diagonal!([zeros(P, P) for _ in 1:K], s.blocks)
    ZMᵀ = zeros(P, P)
    for k in 1:K
        start_at!(ws, s.x, k)
        last = segment_end(k, K, T, s.cost.every)
        for t in (k-1)*s.cost.every+1:last
            BLAS.gemm!('N', 'N', 1.0, Z[k], ws.transposed, 0.0, ZMᵀ)
            for i in 1:D
                v = 0.0
                for j in 1:D
                    v += ws.transposed[j, i] * ZMᵀ[j, i]
                end
                out[i, t] = v
            end
            t < last && segment!(ws, scheme, m, s.cost.h, s.cost.substeps)
        end
    end
    return out
end
