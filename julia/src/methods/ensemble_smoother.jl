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
# The update of the mean applies to any earlier state of the same members. So the filter runs once and
# keeps the anomalies of its forecasts; the smoothed mean at an earlier time is then x̄ + A ŵ, with one
# vector for all times between two analyses: ŵₖ = wₖ + Tₖ ŵₖ₊₁. Later analyses reduce the squared norm
# of an anomaly a (one component of all members) from aᵀ a to aᵀ Ŵ a, with Ŵₖ = Tₖ Ŵₖ₊₁ Tₖ. Ŵ has as many
# rows as there are members, so it pays off once the ranks of all updates add up to the number of
# members; below that, and with a lag, the updates are applied to the anomalies one after the other.
#
# After an analysis the members may be mixed: A Ω with Ω = I - 2VVᵀ, V orthonormal columns orthogonal
# to the vector of ones, leaves mean and covariance as they are. It keeps a nonlinear model from
# driving the ensemble into one outlier and a cluster (Sakov & Oke 2008 use a random rotation).
# Everything above holds with TₖΩₖ in place of Tₖ.
#
# An analysis may go back (Bocquet & Sakov 2014, the iterative smoother with single assimilation): the
# members stand at an earlier time, `depth` observation times ago, and run to the datum from there.
# S is computed from their anomalies after the run, so w and T are found as above and change the members
# at the earlier time, from where they run again: on a trajectory of the model, not beside it. With
# iterations the members run from x̄ + A w, A T, and T⁻¹ = I + S G′ Sᵀ takes T out of the anomalies
# at the datum; a Gauss-Newton step then has d + Sᵀw in place of d. Depth 0 is the plain smoother.
#
# Model error is noise that each member gets at each step, (member, state, step) numbers whose mean over
# the members is zero. What earlier states learn from later data is then right as long as the noise of a
# step is uncorrelated with the members, which the caller decides. A run that goes back would have to
# repeat the noise as an analysis changes it, so the depth is then 0.
#
# In memory a member is a row, padded with zero anomalies to a multiple of eight: the forecast has
# eight members in lanes, and BLAS has the same memory as a matrix.

using LinearAlgebra: BLAS, dot

const MemberLanes = Lanes{8,Float64}

"Members at one time."
struct Members
    lanes::Matrix{MemberLanes}          # (group, state): anomalies
    A::Matrix{Float64}                  # (member, state): the same memory
    x̄::Vector{Float64}
end
function Members(groups, D)
    lanes = zeros(MemberLanes, groups, D)
    return Members(lanes, as_scalars(lanes, (8groups, D)), zeros(D))
end
as_scalars(lanes, dims) = unsafe_wrap(Array, Ptr{Float64}(pointer(lanes)), dims)

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

forecast_workspace(::SmallModel) = nothing
forecast_workspace(m::LargeModel) =
    (step_workspace(MemberLanes, m), zeros(MemberLanes, length(m)))
forecast_workspace(m::VectorModel) = (step_workspace(Float64, m), zeros(length(m)))

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

"    data_counts(precision, points) -> how many data each window has at each step, `(time, window)`"
function data_counts(precision, points)
    found = [count(>(0), view(precision, :, t, w)) for t in axes(precision, 2), w in axes(precision, 3)]
    add_counts!(found, points)
    return found
end
add_counts!(found, ::Nothing) = nothing
function add_counts!(found, points::Points)
    for w in axes(points.step, 2), k in axes(points.step, 1)
        found[points.step[k, w]+1, w] += points.weight[k, w] > 0
    end
    return nothing
end
function add_counts!(found, data::FunctionData)
    for w in axes(found, 2), t in axes(found, 1)
        found[t, w] += count_points(data, t, w)
    end
    return nothing
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

function inflate!(members::Members, factor)
    @inbounds @simd for n in eachindex(members.A)
        members.A[n] *= factor
    end
    return nothing
end

"Members to their mean and anomalies; false when a member is not finite."
function centre!(ws, members::Members)
    N = ws.members
    A = members.A
    finite = true
    @inbounds for i in axes(A, 2)
        s = 0.0
        @simd for j in 1:N
            s += A[j, i]
        end
        s /= N
        @simd for j in 1:N
            A[j, i] -= s
        end
        for j in N+1:size(A, 1)
            A[j, i] = 0.0
        end
        members.x̄[i] = s
        finite &= isfinite(s)
    end
    return finite
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

"Add the noise of one step."
disturb!(members::Members, ::Nothing, step) = nothing
function disturb!(members::Members, noise, step)
    @inbounds for i in axes(noise, 2)
        @simd for j in axes(noise, 1)
            members.A[j, i] += noise[j, i, step]
        end
    end
    return nothing
end

"One step of mean and anomalies to members."
@inline function forecast!(members, ws, ::Nothing, scheme, h)
    D = size_of(ws.m)
    lanes = members.lanes
    x̄ = tuple_of(members.x̄, D)
    for g in axes(lanes, 1)
        x = ntuple(i -> (@inbounds lanes[g, i] + x̄[i]), D)
        x̂, _ = step(scheme, ws.m, x, h)
        ntuple(i -> (@inbounds lanes[g, i] = x̂[i]; nothing), D)
    end
    return nothing
end
# A VectorModel takes one member at a time.
function forecast!(members, ws, (step_ws, x)::Tuple{VectorStepWorkspace,Vector{Float64}}, scheme, h)
    A = members.A
    for j in 1:ws.members
        @inbounds for i in eachindex(x)
            x[i] = A[j, i] + members.x̄[i]
        end
        x̂ = step!(step_ws, scheme, ws.m, x, h)
        @inbounds for i in eachindex(x)
            A[j, i] = x̂[i]
        end
    end
    return nothing
end
@inline function forecast!(members, ws, (step_ws, x)::Tuple, scheme, h)
    lanes = members.lanes
    for g in axes(lanes, 1)
        @inbounds for i in eachindex(x)
            x[i] = lanes[g, i] + members.x̄[i]
        end
        x̂ = step!(step_ws, scheme, ws.m, x, h)
        @inbounds for i in eachindex(x)
            lanes[g, i] = x̂[i]
        end
    end
    return nothing
end

"    analyse!(ws, k, start, ...) -> the members at `start` with the data of the observation time k"
function analyse!(ws, k, start, y, precision, how, window)
    (standing, trial) = (ws.standing, ws.trial)
    D = size(ws.x̄, 1)
    t = ws.steps[k]
    k == 1 && (ws.first[1] = 1)
    n = ws.first[k]
    p = 0
    @inbounds for i in 1:D
        p += precision[i, t, window] > 0
    end
    p += count_points(how.points, t, window)
    ws.first[k+1] = n + p
    w = view(ws.w, :, k)
    fill!(w, 0.0)
    iterations = start == t ? 1 : how.iterations
    for iteration in 1:iterations
        copyto!(trial.A, standing.A)
        copyto!(trial.x̄, standing.x̄)
        if iteration > 1
            without_mixing!(ws, trial.A, D, k)
            add_weighted!(trial.x̄, standing.A, w)
        end
        for _ in start+1:t
            forecast!(trial, ws, ws.forecast, how.scheme, how.h)
            centre!(ws, trial) || return false
        end
        sensitivities!(ws, k, t, y, precision, iteration > 1, how, window) || return false
        weights!(ws, k, p)
    end
    add_weighted!(standing.x̄, standing.A, w)
    transform!(ws, standing.A, D, k)
    return true
end

"    add_weighted!(x, A, w) -> x + A w in place of x"
function add_weighted!(x, A, w)
    @inbounds for i in eachindex(x)
        s = 0.0
        @simd for j in axes(A, 1)
            s += A[j, i] * w[j]
        end
        x[i] += s
    end
    return x
end

count_points(::Nothing, t, window) = 0
count_points(data::FunctionData, t, window) = count(>(0), view(data.weight, :, t, window))
function count_points(points::Points, t, window)
    found = 0
    @inbounds for k in axes(points.step, 1)
        found += points.step[k, window] + 1 == t && points.weight[k, window] > 0
    end
    return found
end

"    sensitivities!(ws, k, t, ...) -> S and d of the analysis k, from the trial members at t; false when not finite"
function sensitivities!(ws, k, t, y, precision, transformed, how, window)
    S = data_of(ws, k)
    Y = view(ws.Z, :, axes(S, 2))
    p = 0
    @inbounds for i in axes(ws.x̄, 1)
        π = precision[i, t, window]
        π > 0 || continue
        p += 1
        root = sqrt(π)
        ws.d[p] = root * (y[i, t, window] - ws.trial.x̄[i])
        for j in axes(S, 1)
            Y[j, p] = root * ws.trial.A[j, i]
        end
    end
    point_sensitivities!(Y, ws, how.points, p, t, how, window) || return false
    p = size(S, 2)
    transformed && apply_symmetric!(ws, Y, S, view(ws.G′, 1:p, 1:p))
    copyto!(S, Y)
    if transformed
        BLAS.gemv!('T', 1.0, S, view(ws.w, :, k), 1.0, view(ws.d, 1:p))
    end
    return true
end

point_sensitivities!(Y, ws, ::Nothing, p, t, how, window) = true
"Columns of Y and numbers of d, after the first p, of the data between the steps t and t + 1."
function point_sensitivities!(Y, ws, points::Points, p, t, how, window)
    reached = 0.0                       # the fraction of a step at which `between` stands
    for k in axes(points.step, 1)
        π = points.weight[k, window]
        (points.step[k, window] + 1 == t && π > 0) || continue
        θ = points.fraction[k, window]
        if θ > 0 && θ != reached
            copyto!(ws.between.A, ws.trial.A)
            copyto!(ws.between.x̄, ws.trial.x̄)
            forecast!(ws.between, ws, ws.forecast, how.scheme, how.h * θ)
            centre!(ws, ws.between) || return false
            reached = θ
        end
        members = θ > 0 ? ws.between : ws.trial
        p += 1
        root = sqrt(π)
        column = view(Y, :, p)
        fill!(column, 0.0)
        said = 0.0
        @inbounds for term in axes(points.operator.index, 1)
            a = points.operator.coefficient[term, k, window]
            a == 0 && continue
            i = points.operator.index[term, k, window] + 1
            said += a * members.x̄[i]
            @simd for j in axes(Y, 1)
                column[j] += root * a * members.A[j, i]
            end
        end
        ws.d[p] = root * (points.y[k, window] - said)
    end
    return true
end

"The same of data that are a function of the state at t: each member sees the function itself."
function point_sensitivities!(Y, ws, data::FunctionData, p, t, how, window)
    N = ws.members
    said = zeros(size(data.y, 1), N)
    function_of_members!(said, data.values!, ws.trial, N)
    for k in axes(said, 1)
        π = data.weight[k, t, window]
        π > 0 || continue
        mean = sum(view(said, k, :)) / N
        isfinite(mean) || return false
        p += 1
        root = sqrt(π)
        ws.d[p] = root * (data.y[k, t, window] - mean)
        for j in 1:N
            Y[j, p] = root * (said[k, j] - mean)
        end
        Y[N+1:end, p] .= 0.0
    end
    return true
end

"    function_of_members!(out, values!, members, N) -> h of each of the N members, `(channel, member)`"
function function_of_members!(out, values!::F, members, N) where {F}
    (x, y) = (zeros(length(members.x̄)), zeros(size(out, 1)))
    for j in 1:N
        @inbounds for i in eachindex(x)
            x[i] = members.A[j, i] + members.x̄[i]
        end
        refused = values!(y, x)
        refused === nothing || error(refused)
        out[:, j] .= y
    end
    return out
end

"The weights w of the analysis k, of p data, and the matrices G of T and of its inverse."
function weights!(ws, k, p)
    S = data_of(ws, k)
    C = view(ws.C, 1:p, 1:p)
    N⁻ = ws.members - 1
    BLAS.gemm!('T', 'N', 1 / N⁻, S, S, 0.0, C)
    U = eigenvectors!(view(ws.U, 1:p, 1:p), C)      # the eigenvalues are then C's diagonal
    G = view(ws.G, 1:p, 1:p, k)
    G′ = view(ws.G′, 1:p, 1:p)
    fill!(G, 0.0)
    fill!(G′, 0.0)
    w = view(ws.w, :, k)
    fill!(w, 0.0)
    @inbounds for e in 1:p
        s = sqrt(1 + max(C[e, e], 0.0))
        g = -1 / (s * (s + 1) * N⁻)
        g′ = 1 / ((s + 1) * N⁻)
        Uᵀd = 0.0
        for i in 1:p
            Uᵀd += U[i, e] * ws.d[i]
        end
        a = Uᵀd / (s^2 * N⁻)
        for i in 1:p
            for j in 1:p
                G[j, i] += U[j, e] * g * U[i, e]
                G′[j, i] += U[j, e] * g′ * U[i, e]
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

"    apply_symmetric!(ws, z, S, G) -> z + S G Sᵀ z in place of z"
function apply_symmetric!(ws, z, S, G)
    (p, columns) = (size(S, 2), size(z, 2))
    a = view(ws.SᵀZ, 1:p, 1:columns)
    b = view(ws.GSᵀZ, 1:p, 1:columns)
    BLAS.gemm!('T', 'N', 1.0, S, z, 0.0, a)
    BLAS.gemm!('N', 'N', 1.0, G, a, 0.0, b)
    BLAS.gemm!('N', 'N', 1.0, S, b, 1.0, z)
    return z
end

"    transform!(ws, Z, columns, k) -> Z with ΩₖTₖ applied to its first columns"
function transform!(ws, Z, columns, k)
    without_mixing!(ws, Z, columns, k)
    size(ws.V, 2) > 0 || return Z
    z = view(Z, :, 1:columns)
    V = reflection(ws, k)
    c = view(ws.VᵀZ, :, 1:columns)
    BLAS.gemm!('T', 'N', 1.0, V, z, 0.0, c)
    BLAS.gemm!('N', 'N', -2.0, V, c, 1.0, z)
    return Z
end

"    without_mixing!(ws, Z, columns, k) -> Z with Tₖ applied to its first columns"
function without_mixing!(ws, Z, columns, k)
    S = data_of(ws, k)
    p = size(S, 2)
    apply_symmetric!(ws, view(Z, :, 1:columns), S, view(ws.G, 1:p, 1:p, k))
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
