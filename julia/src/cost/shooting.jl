# The weak-constraint cost whose control is the states at nodes, every n-th step; between nodes the
# model is exact (multiple shooting):
#
#     J = ½ (x₁ - b)ᵀ B⁻¹ (x₁ - b) + ½ Σ c (x(t) - y(t))² + ½ Σₖ rₖᵀ w rₖ,     rₖ = xₖ₊₁ - M(xₖ).
#
# The weight w of the model is a number, 1/q, or a matrix, the inverse Q⁻¹ of a model-error covariance.
# With a node at every step, c = 2λ₁ mask / number of observations, w = 2λ₂/n and no background it
# is exactly the cost (4); with c = 1/R and w = 1/q it is the logarithm of a posterior density.
# Its Gauss-Newton Hessian is block-tridiagonal: with the Jacobian Mₖ of a segment,
#
#     Aₖₖ = [k = 1: B⁻¹, else w] + Σ c Mᵢᵀ Mᵢ + Mₖᵀ w Mₖ,     Aₖ₊₁,ₖ = -w Mₖ.
#
# `SmallShooting` holds the windows of a small model in lanes, `LargeShooting` one window.

"Settings of the cost, the same for every window."
struct ShootingCost
    every::Int                      # model steps between two nodes
    substeps::Int                   # steps of the scheme per model step
    h::Float64                      # length of a step of the scheme
    precision::Matrix{Float64}      # B⁻¹, zeros without a background
end

"    nodes(T, every) -> the steps that are nodes"
nodes(T, every) = 1:every:T
"    segment_end(k, K, T, every) -> the last step whose observations belong to node k"
@inline segment_end(k, K, T, every) = k < K ? k * every : T

using LinearAlgebra: dot, mul!

# --- small models, windows in lanes -------------------------------------------------------------

"    weighed(w, r) -> w r"
@inline weighed(w::Float64, r) = times(w, r)
@inline weighed(w::Matrix{Float64}, r::NTuple{D,N}) where {D,N} =
    ntuple(i -> weighed_row(w, i, r), Val(D))
@inline function weighed_row(w, i, r::NTuple{D,N}) where {D,N}
    s = zero(N)
    for j in 1:D
        @inbounds s = muladd(N(w[i, j]), r[j], s)
    end
    return s
end

"    weight_entry(w, i, j) -> entry (i, j) of the matrix w, or of w I"
@inline weight_entry(w::Float64, i, j) = i == j ? w : 0.0
@inline weight_entry(w::Matrix{Float64}, i, j) = @inbounds w[i, j]

struct SmallShooting{D,N}
    x::Matrix{N}                    # (state, node)
    trial::Matrix{N}
    gradient::Matrix{N}
    step::Matrix{N}
    blocks::LaneBlocks{D,N}
    b::WindowBlock{N}
    background::Vector{N}
    cost::ShootingCost
    columns::Matrix{N}              # (state, column) of the current Jacobian
end
function SmallShooting{D,N}(b::WindowBlock{N}, background, cost::ShootingCost) where {D,N}
    x = b.x[:, nodes(size(b.x, 2), cost.every)]
    K = size(x, 2)
    return SmallShooting{D,N}(x, similar(x), zeros(N, D, K), zeros(N, D, K), LaneBlocks{D,N}(K), b,
                              background, cost, zeros(N, D, D))
end
shooting(b::WindowBlock{N}, background, cost, m::SmallModel) where {N} =
    SmallShooting{length(m),N}(b, background, cost)

"    cost_at(s, x, scheme, m, w) -> J of the nodes x"
function cost_at(s::SmallShooting{D,N}, x, scheme, m, w) where {D,N}
    (b, every, substeps, h) = (s.b, s.cost.every, s.cost.substeps, s.cost.h)
    K, T = size(x, 2), length(b.slot)
    J = background_cost(s, x)
    for k in 1:K
        state = column(x, k, Val(D))
        last = segment_end(k, K, T, every)
        for t in (k-1)*every+1:last
            slot = @inbounds b.slot[t]
            if slot > 0
                d = map(-, state, column(b.y, slot, Val(D)))
                J = muladd_sum(map(*, column(b.c, slot, Val(D)), d), d, J)
                isempty(points_at(b.points, t)) || (J += point_misfit(b.points, t, state, scheme, m, h, substeps))
            end
            (t < last || k < K) && (state = segment(scheme, m, state, h, substeps))
        end
        if k < K
            r = map(-, column(x, k + 1, Val(D)), state)
            J = muladd_sum(weighed(w, r), r, J)
        end
    end
    return J * 0.5
end

function background_cost(s::SmallShooting{D,N}, x) where {D,N}
    J = zero(N)
    @inbounds for j in 1:D, i in 1:D
        J += s.cost.precision[i, j] * (x[i, 1] - s.background[i]) * (x[j, 1] - s.background[j])
    end
    return J
end

"    linearise!(s, scheme, m, w) -> J of the nodes `s.x`; its gradient and Hessian are stored in `s`"
function linearise!(s::SmallShooting{D,N}, scheme, m, w) where {D,N}
    (b, x, g, every, substeps, h) = (s.b, s.x, s.gradient, s.cost.every, s.cost.substeps, s.cost.h)
    (A, B, C, P) = (s.blocks.diagonal, s.blocks.below, s.columns, s.cost.precision)
    K, T = size(x, 2), length(b.slot)
    J = background_cost(s, x)
    r = ntuple(_ -> zero(N), Val(D))
    @inbounds for k in 1:K
        for j in 1:D, i in 1:D
            A[i, j, k] = N(k == 1 ? P[i, j] : weight_entry(w, i, j))
        end
        if k == 1
            for i in 1:D
                g[i, 1] = zero(N)
                for j in 1:D
                    g[i, 1] += P[i, j] * (x[j, 1] - s.background[j])
                end
            end
        else
            store!(g, k, weighed(w, r))
        end
        state = column(x, k, Val(D))
        columns = unit_columns(N, Val(D))
        last = segment_end(k, K, T, every)
        for t in (k-1)*every+1:last
            slot = b.slot[t]
            if slot > 0
                store_columns!(C, columns)
                for i in 1:D
                    d = state[i] - b.y[i, slot]
                    c = b.c[i, slot]
                    cd = c * d
                    J = muladd(cd, d, J)
                    for j in 1:D
                        g[j, k] = muladd(cd, C[i, j], g[j, k])
                        cC = c * C[i, j]
                        for l in j:D
                            A[l, j, k] = muladd(cC, C[i, l], A[l, j, k])
                        end
                    end
                end
                if !isempty(points_at(b.points, t))
                    (gₖ, Aₖ) = (view(g, :, k), view(A, :, :, k))
                    J += add_points!(gₖ, Aₖ, b.points, t, state, columns, scheme, m, h, substeps)
                end
            end
            if t < last || k < K
                state, columns = segment(scheme, m, state, columns, h, substeps)
            end
        end
        k == K && break
        r = map(-, column(x, k + 1, Val(D)), state)
        J = muladd_sum(weighed(w, r), r, J)
        store_columns!(C, columns)
        add_model_error!(s, k, w, r)
    end
    return J * 0.5
end

"Add the residual rₖ to the gradient and to the blocks of node k; `s.columns` holds the Jacobian."
@inline function add_model_error!(s::SmallShooting{D,N}, k, w::Float64, r) where {D,N}
    (A, B, C, g) = (s.blocks.diagonal, s.blocks.below, s.columns, s.gradient)
    @inbounds for j in 1:D
        g[j, k] = g[j, k] - w * muladd_sum(column(C, j, Val(D)), r, zero(N))
        for i in 1:D
            B[i, j, k] = -w * C[i, j]
        end
        for l in j:D
            A[l, j, k] = A[l, j, k] + w * muladd_sum(column(C, j, Val(D)), column(C, l, Val(D)), zero(N))
        end
    end
end
function add_model_error!(s::SmallShooting{D,N}, k, w::Matrix{Float64}, r) where {D,N}
    (A, B, C, g) = (s.blocks.diagonal, s.blocks.below, s.columns, s.gradient)
    @inbounds for j in 1:D
        b = map(-, weighed(w, column(C, j, Val(D))))
        store!(view(B, :, :, k), j, b)
        g[j, k] = muladd_sum(b, r, g[j, k])
        for l in j:D
            A[l, j, k] = A[l, j, k] - muladd_sum(column(C, l, Val(D)), b, zero(N))
        end
    end
end

@inline function store!(a, k, v::NTuple{D,Any}) where {D}
    for i in 1:D
        @inbounds a[i, k] = v[i]
    end
end
@inline function store_columns!(C, columns::NTuple{D,Any}) where {D}
    for j in 1:D
        store!(C, j, columns[j])
    end
end

"    newton_step!(s, damping) -> whether `s.trial` is x - (A + damping I)⁻¹ ∂J/∂x; lanes that failed hold NaN"
function newton_step!(s::SmallShooting, damping)
    factorise!(s.blocks, damping)
    copyto!(s.step, s.gradient)
    solve!(s.step, s.blocks)
    @inbounds for i in eachindex(s.x)
        s.trial[i] = s.x[i] - s.step[i]
    end
    return true
end

"    trajectory!(out, s, scheme, m) -> the state at every step, `(state, time)`"
function trajectory!(out::Matrix{N}, s::SmallShooting{D,N}, scheme, m) where {D,N}
    K, T = size(s.x, 2), size(out, 2)
    for k in 1:K
        state = column(s.x, k, Val(D))
        last = segment_end(k, K, T, s.cost.every)
        for t in (k-1)*s.cost.every+1:last
            store!(out, t, state)
            t < last && (state = segment(scheme, m, state, s.cost.h, s.cost.substeps))
        end
    end
    return out
end

"    variances!(out, s, scheme, m) -> diagonals of the covariances at every step, after `linearise!`"
function variances!(out::Matrix{N}, s::SmallShooting{D,N}, scheme, m) where {D,N}
    K, T = size(s.x, 2), size(out, 2)
    factorise!(s.blocks, zero(N))
    Z = inverse_diagonal!(zeros(N, D, D, K), s.blocks)
    C = s.columns
    for k in 1:K
        state = column(s.x, k, Val(D))
        columns = unit_columns(N, Val(D))
        last = segment_end(k, K, T, s.cost.every)
        for t in (k-1)*s.cost.every+1:last
            store_columns!(C, columns)
            for i in 1:D
                v = zero(N)
                for j in 1:D, l in 1:D
                    v += C[i, j] * Z[j, l, k] * C[i, l]
                end
                out[i, t] = v
            end
            if t < last
                state, columns = segment(scheme, m, state, columns, s.cost.h, s.cost.substeps)
            end
        end
    end
    return out
end

# --- large models, one window -------------------------------------------------------------------

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
