# Multiple shooting (see shooting.jl) of small models, whose windows are in lanes.

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
