# The ensemble transform Kalman smoother: the filter (ensemble_analysis.jl) smoothed by the weights of
# later analyses (Evensen & van Leeuwen 2000).
#
# The update of the mean applies to any earlier state of the same members. So the filter runs once and
# keeps the anomalies of its forecasts; the smoothed mean at an earlier time is then x̄ + A ŵ, with one
# vector for all times between two analyses: ŵₖ = wₖ + Tₖ ŵₖ₊₁. Later analyses reduce the squared norm
# of an anomaly a (one component of all members) from aᵀ a to aᵀ Ŵ a, with Ŵₖ = Tₖ Ŵₖ₊₁ Tₖ. Ŵ has as many
# rows as there are members, so it pays off once the ranks of all updates add up to the number of
# members; below that, and with a lag, the updates are applied to the anomalies one after the other.
#
# Model error is noise that each member gets at each step, (member, state, step) numbers whose mean over
# the members is zero. What earlier states learn from later data is then right as long as the noise of a
# step is uncorrelated with the members, which the caller decides. A run that goes back would have to
# repeat the noise as an analysis changes it, so the depth is then 0.

using LinearAlgebra: BLAS

struct EnsembleWorkspace{M,W}
    m::M
    members::Int
    lanes::Array{MemberLanes,3}         # (group, state, time): anomalies of the forecasts
    A::Array{Float64,3}                 # (member, state, time): the same memory
    columns::Matrix{Float64}            # (member, state × time): the same memory
    x̄::Matrix{Float64}                  # (state, time): their means
    standing::Members                   # where the next analysis starts
    trial::Members                      # the run from there to the datum
    between::Members                    # and on over a fraction of a step
    S::Matrix{Float64}                  # (member, datum), all observation times
    G::Array{Float64,3}                 # (datum, datum, observation time)
    G′::Matrix{Float64}                 # (datum, datum): of T⁻¹
    w::Matrix{Float64}                  # (member, observation time)
    steps::Vector{Int}                  # the observation times
    first::Vector{Int}                  # the first datum of each, and one past the last
    d::Vector{Float64}
    C::Matrix{Float64}
    U::Matrix{Float64}
    ŵ::Vector{Float64}
    Ŵ::Matrix{Float64}                  # (member, member), its lower triangle; empty where it does not pay off
    B::Matrix{Float64}                  # (member, datum or column)
    X::Matrix{Float64}
    SᵀŴS::Matrix{Float64}
    V::Array{Float64,3}                 # (member, column, observation time modulo their count)
    Z::Matrix{Float64}                  # (member, state × PIECE)
    SᵀZ::Matrix{Float64}
    GSᵀZ::Matrix{Float64}
    VᵀZ::Matrix{Float64}
    forecast::W
end

const PIECE = 8     # steps whose spread is computed together

# `data` in a window, at most `most` at one of its `times`.
function EnsembleWorkspace(m, members, T, times, data, reflections = zeros(members, 0, 1), most = length(m))
    D = length(m)
    groups = cld(members, 8)
    P = 8groups
    V = zeros(P, size(reflections, 2), size(reflections, 3))
    V[1:members, :, :] .= reflections
    lanes = zeros(MemberLanes, groups, D, T)
    squared = data + times * size(V, 2) >= members ? P : 0
    widest = max(D, size(V, 2), most)
    columns = max(D * PIECE, most)
    return EnsembleWorkspace(
        m, members, lanes, as_scalars(lanes, (P, D, T)), as_scalars(lanes, (P, D * T)), zeros(D, T), Members(groups, D),
        Members(groups, D), Members(groups, D), zeros(P, data), zeros(most, most, times), zeros(most, most),
        zeros(P, times), zeros(Int, times), zeros(Int, times + 1), zeros(most), zeros(most, most), zeros(most, most),
        zeros(P), zeros(squared, squared), zeros(P, widest), zeros(P, widest), zeros(widest, widest), V,
        zeros(P, columns), zeros(most, columns), zeros(most, columns), zeros(size(V, 2), columns), forecast_workspace(m),
    )
end

"""
    ensemble_smoother!(mean, spread, y, precision, members, scheme, m, h; inflation = 1.0, lag = 0,
                       depth = 0, iterations = 1, reflections, noise = nothing, points = nothing,
                       final = nothing)

Smooth each window with an ensemble that starts from the same `members`.

- `mean`: `(state, time, window)`, out; NaN in a window that diverged
- `spread`: `(state, time, window)`, out, the standard deviation of the members; `nothing` if it is
  not wanted
- `y`, `precision`: `(state, time, window)`; `precision` is one over the error variance of a datum, 0
  where nothing was observed
- `members`: `(state, member)`, at least two states at the first step
- `inflation`: factor on the anomalies when the members leave an observation time
- `lag`: the number of later observation times that a state learns from, `depth` at least; 0 for all
- `depth`: the number of observation times that an analysis goes back
- `iterations`: Gauss-Newton steps of an analysis; with depth 0 the first is the answer
- `reflections`: `(member, column, count)`, the V of the observation times, in turn; no columns for no
  mixing
- `noise`: `(member, state, step)`, added to the members when a step has brought them to its end; or `nothing`.
  With noise `depth` is 0
- `points`: further data, at arbitrary times or of a function of the state (cost/point_observations.jl), of weight
  1/R; or `nothing`
- `final`: `(state, member, window)`, out, the members at the last step, whose mean and standard deviation are
  those that `mean` and `spread` have there; NaN in a window that diverged; `nothing` if they are not wanted
"""
function ensemble_smoother!(mean, spread, y, precision, members, scheme, m, h; inflation = 1.0, lag = 0,
                            depth = 0, iterations = 1, reflections = zeros(size(members, 2), 0, 1), noise = nothing,
                            points = nothing, final = nothing)
    windows = size(y, 3)
    T = size(y, 2)
    observed = data_steps(precision, points)
    count_at = data_counts(precision, points)
    data = maximum(sum(count_at, dims = 1))
    times = maximum(count(observed, dims = 1))
    how = (scheme = scheme, h = h, inflation = inflation, lag = lag, depth = depth, iterations = iterations, noise = noise,
           points = points, observed = observed)
    BLAS.set_num_threads(1)             # a thread here is a window
    threads = threads_for(windows)
    in_threads(threads) do k
        ws = EnsembleWorkspace(m, size(members, 2), T, times, data, reflections, max(size(y, 1), maximum(count_at)))
        for w in k:threads:windows
            smooth_window!(mean, spread, ws, y, precision, members, how, w)
            copy_members!(final, ws, mean, w)
        end
    end
    return mean
end

copy_members!(::Nothing, ws, mean, window) = nothing
"The members at the last step, to which the forward pass brought them; NaN where the mean is."
function copy_members!(final, ws, mean, window)
    diverged = isnan(mean[1, end, window])
    @inbounds for j in axes(final, 2), i in axes(final, 1)
        final[i, j, window] = diverged ? NaN : ws.standing.x̄[i] + ws.standing.A[j, i]
    end
    return nothing
end

function smooth_window!(mean, spread, ws, y, precision, members, how, window)
    K = observation_times!(ws, how.observed, window)
    if !forward_pass!(ws, y, precision, members, how, K, window)
        fill!(view(mean, :, :, window), NaN)
        spread === nothing || fill!(view(spread, :, :, window), NaN)
        return nothing
    end
    T = size(ws.x̄, 2)
    fill!(ws.ŵ, 0.0)
    squared = spread !== nothing && how.lag == 0 && !isempty(ws.Ŵ)
    squared && identity!(ws.Ŵ)
    for k in K:-1:0     # steps at which the members had seen k analyses when they came by
        from = k == 0 ? 1 : start_of(ws, k, how.depth) + 1
        to = k == K ? T : start_of(ws, k + 1, how.depth)
        smooth_means!(mean, ws, k, K, how.lag, from, to, window)
        if squared
            lengths!(spread, ws, from, to, window)
        elseif spread !== nothing
            smooth_spreads!(spread, ws, k, K, how.lag, from, to, window)
        end
        k > 0 && how.lag == 0 && back!(ws.ŵ, ws, k)
        k > 0 && squared && back_squared!(ws, k)
    end
    return nothing
end

function identity!(A)
    fill!(A, 0.0)
    @inbounds for j in axes(A, 1)
        A[j, j] = 1.0
    end
    return A
end

"    observation_times!(ws, observed, window) -> their number"
function observation_times!(ws, observed, window)
    K = 0
    for t in axes(ws.x̄, 2)
        observed[t, window] || continue
        K += 1
        ws.steps[K] = t
    end
    return K
end

# Not before the first observation: the members are as good there as at the first step.
"    start_of(ws, k, depth) -> the step at which the members stand for the analysis k"
@inline start_of(ws, k, depth) = @inbounds ws.steps[max(k - depth, 1)]

"    last_analysis(ws, t, k, K, lag) -> the last analysis that changes the members at t, which follows analysis k"
function last_analysis(ws, t, k, K, lag)
    lag == 0 && return K
    passed = 0
    while passed < K && ws.steps[passed+1] <= t
        passed += 1
    end
    return max(k, min(K, passed + lag))
end

"    forward_pass!(ws, ...) -> whether the members stayed finite"
function forward_pass!(ws::EnsembleWorkspace, y, precision, members, how, K, window)
    @inbounds for i in axes(members, 1), j in axes(members, 2)
        ws.standing.A[j, i] = members[i, j]
    end
    centre!(ws, ws.standing) || return false
    keep!(ws, 1)
    t = 1
    for k in 1:K
        start = start_of(ws, k, how.depth)
        t < start && k > 1 && inflate!(ws.standing, how.inflation)
        move!(ws, t, start, how) || return false
        t = start
        analyse!(ws, k, t, y, precision, how, window) || return false
    end
    T = size(ws.x̄, 2)
    K > 0 && t < T && inflate!(ws.standing, how.inflation)
    return move!(ws, t, T, how)
end

"Members as they stand at the time t, for the smoother."
function keep!(ws, t)
    @inbounds for i in axes(ws.x̄, 1)
        ws.x̄[i, t] = ws.standing.x̄[i]
        for g in axes(ws.lanes, 1)
            ws.lanes[g, i, t] = ws.standing.lanes[g, i]
        end
    end
    return nothing
end

"    move!(ws, from, to, how) -> the members run and are kept at each step; false when not finite"
function move!(ws, from, to, how)
    for t in from+1:to
        forecast!(ws.standing, ws, ws.forecast, how.scheme, how.h)
        disturb!(ws.standing, how.noise, t - 1)
        centre!(ws, ws.standing) || return false
        keep!(ws, t)
    end
    return true
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

function smooth_means!(mean, ws, k, K, lag, from, to, window)
    ŵ = ws.ŵ                # without a lag that of the steps here
    known = lag == 0 ? K : -1
    for t in to:-1:from
        last = last_analysis(ws, t, k, K, lag)
        if last != known
            fill!(ŵ, 0.0)
            for j in last:-1:k+1
                back!(ŵ, ws, j)
            end
            known = last
        end
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

"    back_squared!(ws, k) -> TₖΩₖ Ŵ ΩₖTₖ in place of Ŵ"
function back_squared!(ws, k)
    if size(ws.V, 2) > 0
        V = reflection(ws, k)
        B = view(ws.B, :, axes(V, 2))
        @inbounds for j in axes(V, 2)
            @simd for i in axes(V, 1)
                B[i, j] = -2V[i, j]
            end
        end
        enclose!(ws, B, V)
    end
    S = data_of(ws, k)
    p = size(S, 2)
    B = view(ws.B, :, 1:p)
    BLAS.gemm!('N', 'N', 1.0, S, view(ws.G, 1:p, 1:p, k), 0.0, B)
    enclose!(ws, B, S)
    return nothing
end

"    enclose!(ws, B, S) -> (I + BSᵀ) Ŵ (I + BSᵀ) in place of Ŵ, for a symmetric BSᵀ"
function enclose!(ws, B, S)
    p = size(S, 2)
    X = view(ws.X, :, 1:p)
    SᵀŴS = view(ws.SᵀŴS, 1:p, 1:p)
    BLAS.symm!('L', 'L', 1.0, ws.Ŵ, S, 0.0, X)
    BLAS.gemm!('T', 'N', 0.5, S, X, 0.0, SᵀŴS)
    BLAS.gemm!('N', 'N', 1.0, B, SᵀŴS, 1.0, X)
    BLAS.syr2k!('L', 'N', 1.0, B, X, 1.0, ws.Ŵ)         # Ŵ + BXᵀ + XBᵀ
    return nothing
end

"The spread of the steps for which Ŵ is."
function lengths!(spread, ws, from, to, window)
    D = size(ws.x̄, 1)
    for start in from:PIECE:to
        stop = min(start + PIECE - 1, to)
        Z = view(ws.columns, :, D*(start-1)+1:D*stop)
        ŴZ = view(ws.Z, :, axes(Z, 2))
        BLAS.symm!('L', 'L', 1.0, ws.Ŵ, Z, 0.0, ŴZ)
        @inbounds for c in axes(Z, 2)
            s = 0.0
            @simd for j in axes(Z, 1)
                s += Z[j, c] * ŴZ[j, c]
            end
            spread[mod1(c, D), start+(c-1)÷D, window] = sqrt(max(s, 0.0) / (ws.members - 1))
        end
    end
    return nothing
end

function smooth_spreads!(spread, ws, k, K, lag, from, to, window)
    P, D, _ = size(ws.A)
    Z = ws.Z
    start = from
    while start <= to
        last = last_analysis(ws, start, k, K, lag)
        stop = start
        while stop < min(start + PIECE - 1, to) && last_analysis(ws, stop + 1, k, K, lag) == last
            stop += 1
        end
        columns = D * (stop - start + 1)
        copyto!(Z, 1, ws.A, P * D * (start - 1) + 1, P * columns)
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
        start = stop + 1
    end
    return nothing
end
