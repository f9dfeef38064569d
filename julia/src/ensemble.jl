# The ensemble transform Kalman smoother: Bishop et al. (2001) with the symmetric square root of
# Hunt et al. (2007), smoothed by the weights of later analyses (Evensen & van Leeuwen 2000).
#
# An analysis at an observation time k takes the anomalies A (a column a member) and the mean x̄ to
#
#     x̄ + A wₖ,  A Tₖ,   wₖ = S Q d,  Tₖ = I + S G Sᵀ,
#
# with S = (HA)ᵀ R^(-1/2), d = R^(-1/2) (y - H x̄), C = SᵀS / (N-1) = U Λ Uᵀ, and, both of them
# divided by N-1, Q = U (I + Λ)⁻¹ Uᵀ and G = U [(I + Λ)^(-1/2) - I] Λ⁻¹ Uᵀ: as small as there are
# data, however many the members.
#
# What is right for the mean is right for any earlier state of the same members. So the filter runs
# once and keeps the anomalies of its forecasts; the smoothed mean at an earlier time is then
# x̄ + A ŵ, with one vector for all times between two analyses: ŵₖ = wₖ + Tₖ ŵₖ₊₁.
#
# After an analysis the members may be mixed: A Ω with Ω = I - 2VVᵀ, V orthonormal columns orthogonal
# to the vector of ones, leaves mean and covariance as they are. It keeps a nonlinear model from
# driving the ensemble into one outlier and a cluster (Sakov & Oke 2008 use a random rotation).
# Everything above holds with TₖΩₖ in place of Tₖ.
#
# In memory a member is a row, padded with zero anomalies to a multiple of eight: the forecast has
# eight members in lanes, and BLAS has the same memory as a matrix.

using LinearAlgebra: BLAS, dot

const MemberLanes = Lanes{8,Float64}

struct EnsembleWorkspace{M,W}
    m::M
    members::Int
    lanes::Array{MemberLanes,3}         # (group, state, time): anomalies of the forecast
    A::Array{Float64,3}                 # (member, state, time): the same memory
    analysed::Matrix{MemberLanes}       # (group, state): anomalies after the analysis
    analysed_scalars::Matrix{Float64}
    x̄::Matrix{Float64}                  # (state, time): means of the forecast
    x̄⁺::Vector{Float64}                 # the mean after the analysis
    S::Matrix{Float64}                  # (member, datum), all observation times
    G::Array{Float64,3}                 # (datum, datum, observation time)
    w::Matrix{Float64}                  # (member, observation time)
    steps::Vector{Int}                  # the observation times
    first::Vector{Int}                  # the first datum of each, and one past the last
    d::Vector{Float64}
    C::Matrix{Float64}
    U::Matrix{Float64}
    ŵ::Vector{Float64}
    V::Array{Float64,3}                 # (member, column, observation time modulo their count)
    Z::Matrix{Float64}                  # (member, state × PIECE)
    SᵀZ::Matrix{Float64}
    GSᵀZ::Matrix{Float64}
    VᵀZ::Matrix{Float64}
    forecast::W
end

const PIECE = 8     # steps whose spread is computed together

forecast_workspace(::SmallModel) = nothing
forecast_workspace(m::LargeModel) =
    (StepWorkspace{Vector{MemberLanes}}(length(m)), zeros(MemberLanes, length(m)))

function EnsembleWorkspace(m, members, T, times, data, reflections = zeros(members, 0, 1))
    D = length(m)
    groups = cld(members, 8)
    P = 8groups
    V = zeros(P, size(reflections, 2), size(reflections, 3))
    V[1:members, :, :] .= reflections
    lanes = zeros(MemberLanes, groups, D, T)
    analysed = zeros(MemberLanes, groups, D)
    as_scalars(a, dims) = unsafe_wrap(Array, Ptr{Float64}(pointer(a)), dims)
    return EnsembleWorkspace(
        m, members, lanes, as_scalars(lanes, (P, D, T)), analysed, as_scalars(analysed, (P, D)),
        zeros(D, T), zeros(D), zeros(P, data), zeros(D, D, times), zeros(P, times), zeros(Int, times),
        zeros(Int, times + 1), zeros(D), zeros(D, D), zeros(D, D), zeros(P), V, zeros(P, D * PIECE),
        zeros(D, D * PIECE), zeros(D, D * PIECE), zeros(size(V, 2), D * PIECE), forecast_workspace(m),
    )
end

"""
    ensemble_smoother!(mean, spread, y, precision, members, scheme, m, h, inflation, lag, reflections)

Smooth each window with an ensemble that starts from the same `members`.

- `mean`: `(state, time, window)`, out; NaN in a window that diverged
- `spread`: `(state, time, window)`, out, the standard deviation of the members; `nothing` if it is
  not wanted
- `y`, `precision`: `(state, time, window)`; `precision` is one over the error variance of a datum, 0
  where nothing was observed
- `members`: `(state, member)`, at least two states at the first step
- `inflation`: factor on the anomalies after each analysis
- `lag`: the number of later observation times that a state learns from; 0 for all of them
- `reflections`: `(member, column, count)`, the V of the observation times, in turn; no columns for no
  mixing
"""
function ensemble_smoother!(mean, spread, y, precision, members, scheme, m, h, inflation, lag,
                            reflections = zeros(size(members, 2), 0, 1))
    windows = size(y, 3)
    T = size(y, 2)
    data = maximum(w -> count(>(0), view(precision, :, :, w)), 1:windows)
    times = maximum(w -> count(t -> any(>(0), view(precision, :, t, w)), 1:T), 1:windows)
    BLAS.set_num_threads(1)             # a thread here is a window
    threads = min(Threads.nthreads(), windows)
    Threads.@threads for k in 1:threads
        ws = EnsembleWorkspace(m, size(members, 2), T, times, data, reflections)
        for w in k:threads:windows
            smooth_window!(mean, spread, ws, y, precision, members, scheme, h, inflation, lag, w)
        end
    end
    return mean
end

function smooth_window!(mean, spread, ws, y, precision, members, scheme, h, inflation, lag, window)
    K = forward_pass!(ws, y, precision, members, scheme, h, inflation, window)
    if K < 0
        fill!(view(mean, :, :, window), NaN)
        spread === nothing || fill!(view(spread, :, :, window), NaN)
        return nothing
    end
    T = size(ws.x̄, 2)
    for k in 0:K
        from = k == 0 ? 1 : ws.steps[k]
        to = k == K ? T : ws.steps[k+1] - 1
        from > to && continue
        last = lag == 0 ? K : min(K, k + lag)
        smooth_means!(mean, ws, k, last, from, to, window)
        spread === nothing || smooth_spreads!(spread, ws, k, last, from, to, window)
    end
    return nothing
end

"    forward_pass!(ws, ...) -> the number of observation times, or -1 when the forecast is not finite"
function forward_pass!(ws::EnsembleWorkspace, y, precision, members, scheme, h, inflation, window)
    T = size(ws.x̄, 2)
    @inbounds for i in axes(members, 1), j in axes(members, 2)
        ws.A[j, i, 1] = members[i, j]
    end
    K = 0
    for t in 1:T
        centre!(ws, t) || return -1
        if any(>(0), view(precision, :, t, window))
            K += 1
            analyse!(ws, K, t, y, precision, inflation, window)
        else
            @inbounds for i in axes(ws.x̄, 1)
                ws.x̄⁺[i] = ws.x̄[i, t]
                for g in axes(ws.lanes, 1)
                    ws.analysed[g, i] = ws.lanes[g, i, t]
                end
            end
        end
        t < T && forecast!(ws, ws.forecast, t, scheme, h)
    end
    return K
end

"Members at the time t to their mean and anomalies; false when a member is not finite."
function centre!(ws, t)
    N = ws.members
    finite = true
    @inbounds for i in axes(ws.x̄, 1)
        s = 0.0
        @simd for j in 1:N
            s += ws.A[j, i, t]
        end
        s /= N
        @simd for j in 1:N
            ws.A[j, i, t] -= s
        end
        for j in N+1:size(ws.A, 1)
            ws.A[j, i, t] = 0.0
        end
        ws.x̄[i, t] = s
        finite &= isfinite(s)
    end
    return finite
end

@inline function forecast!(ws, ::Nothing, t, scheme, h)
    D = size_of(ws.m)
    x̄ = tuple_of(ws.x̄⁺, D)
    for g in axes(ws.lanes, 1)
        x = ntuple(i -> (@inbounds ws.analysed[g, i] + x̄[i]), D)
        x̂, _ = step(scheme, ws.m, x, h)
        ntuple(i -> (@inbounds ws.lanes[g, i, t+1] = x̂[i]; nothing), D)
    end
    return nothing
end
@inline function forecast!(ws, (step_ws, x)::Tuple, t, scheme, h)
    for g in axes(ws.lanes, 1)
        @inbounds for i in eachindex(x)
            x[i] = ws.analysed[g, i] + ws.x̄⁺[i]
        end
        x̂ = step!(step_ws, scheme, ws.m, x, h)
        @inbounds for i in eachindex(x)
            ws.lanes[g, i, t+1] = x̂[i]
        end
    end
    return nothing
end

function analyse!(ws, k, t, y, precision, inflation, window)
    D = size(ws.x̄, 1)
    ws.steps[k] = t
    k == 1 && (ws.first[1] = 1)
    n = ws.first[k]
    p = 0
    @inbounds for i in 1:D
        π = precision[i, t, window]
        π > 0 || continue
        p += 1
        root = sqrt(π)
        ws.d[p] = root * (y[i, t, window] - ws.x̄[i, t])
        for j in axes(ws.S, 1)
            ws.S[j, n+p-1] = root * ws.A[j, i, t]
        end
    end
    ws.first[k+1] = n + p
    weights!(ws, k, p)
    # the analysis itself: x̄ + A w and c A T
    w = view(ws.w, :, k)
    copyto!(ws.analysed_scalars, view(ws.A, :, :, t))
    transform!(ws, ws.analysed_scalars, D, k)
    @inbounds for i in 1:D
        s = 0.0
        @simd for j in axes(ws.A, 1)
            s += ws.A[j, i, t] * w[j]
        end
        ws.x̄⁺[i] = ws.x̄[i, t] + s
        @simd for j in axes(ws.A, 1)
            ws.analysed_scalars[j, i] *= inflation
        end
    end
    return nothing
end

"The weights w and the matrix G of the analysis k, of p data."
function weights!(ws, k, p)
    S = data_of(ws, k)
    C = view(ws.C, 1:p, 1:p)
    N⁻ = ws.members - 1
    BLAS.gemm!('T', 'N', 1 / N⁻, S, S, 0.0, C)
    U = eigenvectors!(view(ws.U, 1:p, 1:p), C)      # the eigenvalues are then C's diagonal
    G = view(ws.G, 1:p, 1:p, k)
    fill!(G, 0.0)
    w = view(ws.w, :, k)
    fill!(w, 0.0)
    @inbounds for e in 1:p
        s = sqrt(1 + max(C[e, e], 0.0))
        g = -1 / (s * (s + 1) * N⁻)
        Uᵀd = 0.0
        for i in 1:p
            Uᵀd += U[i, e] * ws.d[i]
        end
        a = Uᵀd / (s^2 * N⁻)
        for i in 1:p
            for j in 1:p
                G[j, i] += U[j, e] * g * U[i, e]
            end
            @simd for j in axes(S, 1)
                w[j] += a * U[i, e] * S[j, i]
            end
        end
    end
    return nothing
end

"The columns of S that belong to the observation time k."
@inline data_of(ws, k) = view(ws.S, :, ws.first[k]:ws.first[k+1]-1)

"The V of the observation time k."
@inline reflection(ws, k) = view(ws.V, :, :, mod1(k, size(ws.V, 3)))

"    transform!(ws, Z, columns, k) -> Z with ΩₖTₖ applied to its first columns"
function transform!(ws, Z, columns, k)
    S = data_of(ws, k)
    p = size(S, 2)
    z = view(Z, :, 1:columns)
    a = view(ws.SᵀZ, 1:p, 1:columns)
    b = view(ws.GSᵀZ, 1:p, 1:columns)
    BLAS.gemm!('T', 'N', 1.0, S, z, 0.0, a)
    BLAS.gemm!('N', 'N', 1.0, view(ws.G, 1:p, 1:p, k), a, 0.0, b)
    BLAS.gemm!('N', 'N', 1.0, S, b, 1.0, z)
    size(ws.V, 2) > 0 || return Z
    V = reflection(ws, k)
    c = view(ws.VᵀZ, :, 1:columns)
    BLAS.gemm!('T', 'N', 1.0, V, z, 0.0, c)
    BLAS.gemm!('N', 'N', -2.0, V, c, 1.0, z)
    return Z
end

"    back!(ŵ, ws, k) -> wₖ + TₖΩₖ ŵ in place of ŵ"
function back!(ŵ, ws, k)
    S = data_of(ws, k)
    p = size(S, 2)
    a = view(ws.SᵀZ, 1:p, 1)
    b = view(ws.GSᵀZ, 1:p, 1)
    if size(ws.V, 2) > 0
        V = reflection(ws, k)
        c = view(ws.VᵀZ, :, 1)
        BLAS.gemv!('T', 1.0, V, ŵ, 0.0, c)
        BLAS.gemv!('N', -2.0, V, c, 1.0, ŵ)
    end
    BLAS.gemv!('T', 1.0, S, ŵ, 0.0, a)
    BLAS.gemv!('N', 1.0, view(ws.G, 1:p, 1:p, k), a, 0.0, b)
    BLAS.gemv!('N', 1.0, S, b, 1.0, ŵ)
    @inbounds @simd for j in eachindex(ŵ)
        ŵ[j] += ws.w[j, k]
    end
    return ŵ
end

function smooth_means!(mean, ws, k, last, from, to, window)
    ŵ = ws.ŵ
    fill!(ŵ, 0.0)
    for j in last:-1:k+1
        back!(ŵ, ws, j)
    end
    for t in to:-1:from
        k > 0 && t == from && back!(ŵ, ws, k)       # here A is the forecast's: before the analysis
        @inbounds for i in axes(ws.x̄, 1)
            s = 0.0
            @simd for j in eachindex(ŵ)
                s += ws.A[j, i, t] * ŵ[j]
            end
            mean[i, t, window] = ws.x̄[i, t] + s
        end
    end
    return nothing
end

function smooth_spreads!(spread, ws, k, last, from, to, window)
    P, D, _ = size(ws.A)
    Z = ws.Z
    for start in from:PIECE:to
        stop = min(start + PIECE - 1, to)
        columns = D * (stop - start + 1)
        copyto!(Z, 1, ws.A, P * D * (start - 1) + 1, P * columns)
        k > 0 && start == from && transform!(ws, Z, D, k)
        for j in k+1:last
            transform!(ws, Z, columns, j)
        end
        @inbounds for c in 1:columns
            s = 0.0
            @simd for j in 1:P
                s += Z[j, c]^2
            end
            spread[mod1(c, D), start+(c-1)÷D, window] = sqrt(s / (ws.members - 1))
        end
    end
    return nothing
end

"""
    eigenvectors!(U, C) -> U

Eigenvectors of the symmetric C by Jacobi's rotations, in the columns of U; the eigenvalues are left on
C's diagonal. (LAPACK allocates, and answers a NaN with an exception.)
"""
function eigenvectors!(U, C)
    n = size(C, 1)
    @inbounds for j in 1:n, i in 1:n
        U[i, j] = i == j
    end
    for _ in 1:30
        off, diagonal = 0.0, 0.0
        @inbounds for j in 1:n
            diagonal += C[j, j]^2
            for i in 1:j-1
                off += C[i, j]^2
            end
        end
        off > 1e-32 * diagonal || break
        for q in 2:n, p in 1:q-1
            rotate!(U, C, p, q)
        end
    end
    return U
end

@inline function rotate!(U, C, p, q)
    @inbounds begin
        abs(C[p, q]) > 1e-300 || return nothing
        θ = (C[q, q] - C[p, p]) / (2C[p, q])
        t = copysign(1 / (abs(θ) + sqrt(1 + θ^2)), θ)
        c = 1 / sqrt(1 + t^2)
        s = t * c
        @simd for i in axes(C, 1)
            (a, b) = (C[i, p], C[i, q])
            C[i, p] = c * a - s * b
            C[i, q] = s * a + c * b
        end
        for i in axes(C, 1)
            (a, b) = (C[p, i], C[q, i])
            C[p, i] = c * a - s * b
            C[q, i] = s * a + c * b
        end
        @simd for i in axes(U, 1)
            (a, b) = (U[i, p], U[i, q])
            U[i, p] = c * a - s * b
            U[i, q] = s * a + c * b
        end
    end
    return nothing
end

# --- what Python calls ---------------------------------------------------------------------------

function c_ensemble_smoother(model, p, D, T, windows, scheme, h, y, precision, members, N, inflation,
                             lag, reflections, columns, count, mean, spread, message, capacity)
    guarded(message, capacity, refusal(model, scheme)) do
        sd = spread == C_NULL ? nothing : array_at(spread, Float64, D, T, windows)
        ensemble_smoother!(array_at(mean, Float64, D, T, windows), sd, array_at(y, Float64, D, T, windows),
                           array_at(precision, Float64, D, T, windows), array_at(members, Float64, D, N),
                           scheme_of(scheme), model_of(model, p, D), h, inflation, lag,
                           array_at(reflections, Float64, N, columns, count))
    end
end

address(::Val{:ensemble_smoother}) = @cfunction(c_ensemble_smoother, Cint, (Int64, Ptr{Float64}, Int64, Int64, Int64, Int64, Float64, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Int64, Float64, Int64, Ptr{Float64}, Int64, Int64, Ptr{Float64}, Ptr{Float64}, Ptr{UInt8}, Int64))
