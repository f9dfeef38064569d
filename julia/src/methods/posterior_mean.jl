# The posterior mean of a low-dimensional model, by importance sampling from its climatology.
#
# The prior is the model's attractor: a library of states, each with the trajectory that follows it. A
# window's posterior weights every member j by its likelihood,
#
#     wⱼ ∝ exp(-Jⱼ),   Jⱼ = ½ Σ (y - hⱼ)² / R over the window's data.
#
# The sweep over all members is in single precision, which says which of them count; their weights are
# then computed anew in double precision.
#
# The library is a few long trajectories of which every 4th state starts a member. For the sweep over
# members they are stored phase by phase (states 0, 4, 8, ..., then 1, 5, 9, ...), so that the values of
# consecutive members at one step of the window are contiguous, and the compiler vectorises. If a model
# is invariant under a change of signs, each member counts twice, as it is and mirrored.
#
# Where few members carry the weight, a second stage draws around them. A member is chosen with the
# probability vⱼ ∝ exp(-β Jⱼ), with β < 1 such that enough members contribute; its state `lead` steps
# before the window is perturbed by a normal deviate, and the flow brings it back onto the attractor
# before the window starts. For pairs of member and deviate the weight of a draw is exactly exp(-J) / vⱼ,
# if the prior is the library smoothed by the deviates.

const EVERY = 4
const SMALLEST_β = 1 / 32
const HOPELESS = 100            # members whose J exceeds the least by more are not tried as starts
const NEGLIGIBLE = 25.0         # weights below exp(-25) of the largest are ignored

"""
    Library(states, lead, signs)

- `states`: `(state, time, trajectory)`, of equal spacing in time
- `lead`: the first member of a trajectory starts at the step `lead + 1`
- `signs`: `(state)`, the mirror symmetry; all 1 without one
"""
struct Library
    states::Array{Float64,3}
    phases::Array{Float32,4}            # (position, phase, state, trajectory)
    lead::Int
    signs::Vector{Float64}
    mirrored::Bool
end
function Library(states, lead, signs)
    D, T, trajectories = size(states)
    phases = zeros(Float32, cld(T, EVERY), EVERY, D, trajectories)
    @inbounds for q in 1:trajectories, i in 1:D, t in 0:T-1
        phases[t÷EVERY+1, t%EVERY+1, i, q] = states[i, t+1, q]
    end
    return Library(states, phases, lead, collect(signs), any(<(0), signs))
end

"Members of one trajectory, for windows of T steps."
members_each(l::Library, T) = (size(l.states, 2) - l.lead - T) ÷ EVERY + 1
"Number of all members, without the mirrored ones."
members(l::Library, T) = members_each(l, T) * size(l.states, 3)

"    place(l, j, T) -> trajectory and step (from 1) at which member j starts, and whether it is mirrored"
@inline function place(l::Library, j, T)
    n = members_each(l, T)
    all = n * size(l.states, 3)
    mirrored = j > all
    k = mirrored ? j - all : j
    return (k - 1) ÷ n + 1, l.lead + EVERY * ((k - 1) % n) + 1, mirrored
end

"The data of a window: steps, components, values, precisions."
struct Data
    t::Vector{Int}
    i::Vector{Int}
    y::Vector{Float64}
    π::Vector{Float64}
end
function Data(y, precision, window)
    found = [(t, i) for t in axes(y, 2) for i in axes(y, 1) if precision[i, t, window] > 0]
    return Data([t for (t, _) in found], [i for (_, i) in found], [y[i, t, window] for (t, i) in found],
                [precision[i, t, window] for (t, i) in found])
end

"    misfits!(J, l, data, T) -> Jⱼ of all members, followed by those of all mirrored ones"
function misfits!(J::Vector{Float32}, l::Library, data::Data, T)
    n = members_each(l, T)
    trajectories = size(l.states, 3)
    fill!(J, 0.0f0)
    for q in 1:trajectories
        plain = (q - 1) * n
        mirror = plain + n * trajectories
        for k in eachindex(data.t)
            s = l.lead + data.t[k] - 1
            i = data.i[k]
            place = (s ÷ EVERY, s % EVERY + 1, i, q, n)
            a = Float32(data.π[k] / 2)
            y = Float32(data.y[k])
            if l.mirrored
                add_misfits!(J, plain, mirror, l.phases, place, y, Float32(l.signs[i]) * y, a)
            else
                add_misfit!(J, plain, l.phases, place, y, a)
            end
        end
    end
    return J
end

function add_misfit!(J, at, phases, (shift, phase, i, q, n), y, a)
    @inbounds @simd for j in 1:n
        d = y - phases[j+shift, phase, i, q]
        J[at+j] = muladd(a * d, d, J[at+j])
    end
    return nothing
end

function add_misfits!(J, at, mirror, phases, (shift, phase, i, q, n), y, y′, a)
    @inbounds @simd ivdep for j in 1:n
        h = phases[j+shift, phase, i, q]
        d = y - h
        d′ = y′ - h
        J[at+j] = muladd(a * d, d, J[at+j])
        J[mirror+j] = muladd(a * d′, d′, J[mirror+j])
    end
    return nothing
end

"    misfit_of_member(l, j, data, T) -> J of one member, in double precision"
function misfit_of_member(l::Library, j, data::Data, T)
    q, from, mirrored = place(l, j, T)
    J = 0.0
    @inbounds for k in eachindex(data.t)
        i = data.i[k]
        x = l.states[i, from+data.t[k]-1, q]
        d = data.y[k] - (mirrored ? l.signs[i] * x : x)
        J = muladd(data.π[k] / 2 * d, d, J)
    end
    return J
end

"""
The least of J; `minimum` checks for NaN and is several times slower. `Inf` if J of every member overflows
Float32: then no member can be chosen, and the window has no analysis.
"""
function least_of(J)
    least = Inf32
    @inbounds @simd for j in eachindex(J)
        least = ifelse(J[j] < least, J[j], least)
    end
    return least
end

# --- sums of weighted samples ---------------------------------------------------------------------

"Sums over samples with the weight exp(-J), relative to the largest weight so far."
mutable struct Sums
    least::Float64
    w::Float64
    w²::Float64
    x::Matrix{Float64}          # (state, time)
    x²::Matrix{Float64}
end
Sums(D, T) = Sums(Inf, 0.0, 0.0, zeros(D, T), zeros(D, T))

function clear!(s::Sums)
    s.least = Inf
    s.w = s.w² = 0.0
    fill!(s.x, 0.0)
    fill!(s.x², 0.0)
    return s
end

"    weight!(s, J) -> the weight of a sample; the sums are scaled when it is the largest so far"
@inline function weight!(s::Sums, J)
    if J < s.least
        c = exp(J - s.least)
        s.least = J
        s.w *= c
        s.w² *= c^2
        s.x .*= c
        s.x² .*= c
    end
    w = J - s.least < NEGLIGIBLE ? exp(s.least - J) : 0.0
    s.w += w
    s.w² += w^2
    return w
end

effective(s::Sums) = s.w > 0 ? s.w^2 / s.w² : 0.0

# --- the two stages -------------------------------------------------------------------------------

struct PosteriorWorkspace{M,R}
    m::M
    J::Vector{Float32}
    order::Vector{Int}                  # members whose weight is not negligible
    exact::Vector{Float64}              # their J
    v::Vector{Float64}                  # their probabilities, cumulated
    chosen::Vector{Int}                 # the member of each draw
    bias::Vector{Float64}               # minus the logarithm of its probability, but for a constant
    sums::Sums
    better::Sums
    x::Matrix{Lanes{8,Float64}}         # (state, time): eight draws
    room::R                             # workspace for the steps of a model that works on vectors
end
PosteriorWorkspace(m, l, T, draws) = PosteriorWorkspace(
    m, zeros(Float32, members(l, T) * (1 + l.mirrored)), Int[], Float64[], Float64[], zeros(Int, draws), zeros(draws),
    Sums(length(m), T), Sums(length(m), T), zeros(Lanes{8,Float64}, length(m), T), draw_workspace(m),
)
draw_workspace(::SmallModel) = nothing
draw_workspace(m::LargeModel) = step_workspace(Lanes{8,Float64}, m)
draw_workspace(m::VectorModel) = step_workspace(Float64, m)


"""
    posterior_mean!(mean, stdev, info, y, precision, library, noise, scheme, m, h, enough, spread)

Mean and standard deviation of the posterior of each window.

- `mean`, `stdev`: `(state, time, window)`, out
- `info`: `(3, window)`, out: effective sample size, the least J of the samples used for `mean`, number of
  draws of the second stage

A window whose J all overflow Float32 (absurd data) is filled with NaN.

- `y`, `precision`: `(state, time, window)`; `precision` is one over a datum's error variance, 0 without one
- `noise`: `(state, draw)`, standard normal deviates of the second stage; a multiple of eight draws
- `enough`: the effective sample size below which the second stage runs
- `spread`: `(state)`, standard deviation of the perturbations, `library.lead` steps before the window
"""
function posterior_mean!(mean, stdev, info, y, precision, l::Library, noise, scheme, m, h, enough, spread)
    T, windows = size(y, 2), size(y, 3)
    threads = threads_for(windows)
    in_threads(threads) do k
        ws = PosteriorWorkspace(m, l, T, size(noise, 2))
        for w in k:threads:windows
            posterior_window!(mean, stdev, info, ws, y, precision, l, noise, scheme, h, enough, spread, w)
        end
    end
    return mean
end

function posterior_window!(mean, stdev, info, ws, y, precision, l, noise, scheme, h, enough, spread, window)
    data = Data(y, precision, window)
    misfits!(ws.J, l, data, size(y, 2))
    least = Float64(least_of(ws.J))
    info[3, window] = 0
    if !isfinite(least)
        fill!(view(mean, :, :, window), NaN)
        fill!(view(stdev, :, :, window), NaN)
        info[1, window] = info[2, window] = NaN
        return nothing
    end
    from_library!(ws, l, data, size(y, 2))
    s = ws.sums
    least = s.least
    if effective(s) < enough && !isempty(noise)
        least_draw = from_draws!(ws, l, data, noise, scheme, h, enough, spread)
        info[3, window] = size(noise, 2)
        if effective(ws.better) > effective(s)
            s = ws.better
            least = least_draw
        end
    end
    info[1, window] = effective(s)
    info[2, window] = least
    @inbounds for t in axes(s.x, 2), i in axes(s.x, 1)
        x̄ = s.x[i, t] / s.w
        mean[i, t, window] = x̄
        stdev[i, t, window] = sqrt(max(s.x²[i, t] / s.w - x̄^2, 0.0))
    end
    return nothing
end

function from_library!(ws, l, data, T)
    s = clear!(ws.sums)
    least = least_of(ws.J)
    empty!(ws.order)
    for j in eachindex(ws.J)
        @inbounds ws.J[j] - least < NEGLIGIBLE && push!(ws.order, j)
    end
    exact!(ws, l, data, T)
    s.least = minimum(ws.exact)
    for (j, J) in zip(ws.order, ws.exact)
        w = weight!(s, J)
        q, from, mirrored = place(l, j, T)
        @inbounds for t in 1:T, i in axes(s.x, 1)
            x = l.states[i, from+t-1, q]
            mirrored && (x *= l.signs[i])
            wx = w * x
            s.x[i, t] += wx
            s.x²[i, t] = muladd(wx, x, s.x²[i, t])
        end
    end
    return s
end

"The J of the members in `order`, in double precision."
function exact!(ws, l, data, T)
    resize!(ws.exact, length(ws.order))
    for (k, j) in enumerate(ws.order)
        ws.exact[k] = misfit_of_member(l, j, data, T)
    end
    return ws.exact
end

"    tempered!(ws, enough) -> the β ≤ 1 at which the weights exp(-β J) have the effective size `enough`"
function tempered!(ws, enough)
    least = least_of(ws.J)
    empty!(ws.order)
    for j in eachindex(ws.J)
        @inbounds SMALLEST_β * (ws.J[j] - least) < NEGLIGIBLE && push!(ws.order, j)
    end
    low, high = SMALLEST_β, 1.0
    for _ in 1:8
        β = (low + high) / 2
        size_at(β, ws.J, ws.order, least) > enough ? (low = β) : (high = β)
    end
    return low
end

function size_at(β, J, order, least)
    w = w² = 0.0
    @inbounds for j in order
        e = β * (J[j] - least)
        p = e < NEGLIGIBLE ? exp(-e) : 0.0
        w += p
        w² += p^2
    end
    return w^2 / w²
end

function choose!(ws, l, data, β, T)
    least = least_of(ws.J)
    empty!(ws.order)
    empty!(ws.v)
    @inbounds for j in eachindex(ws.J)
        β * (ws.J[j] - least) < NEGLIGIBLE && push!(ws.order, j)
    end
    least = minimum(exact!(ws, l, data, T))
    total = 0.0
    for J in ws.exact
        total += exp(-β * (J - least))
        push!(ws.v, total)
    end
    n = length(ws.chosen)
    k = 1
    for d in 1:n                        # equally spaced in the cumulated probabilities
        u = (d - 0.5) / n * total
        while k < length(ws.v) && ws.v[k] < u
            k += 1
        end
        ws.chosen[d] = ws.order[k]
        ws.bias[d] = β * (ws.exact[k] - least)
    end
    return ws.chosen
end

"""
    from_draws!(ws, ...) -> the least J of the draws

Fill `ws.better`, where `least` is not a J, but J plus the logarithm of the probability of the draw.
"""
function from_draws!(ws, l, data, noise, scheme, h, enough, spread)
    T = size(ws.x, 2)
    s = clear!(ws.better)
    β = tempered!(ws, enough)
    choose!(ws, l, data, β, T)
    least_draw = Inf
    for first in 1:8:size(noise, 2)
        fly!(ws, l, first, noise, scheme, h, spread)
        J = misfit_of(ws.x, data)
        for lane_ in 1:8
            Jₗ = lane(J, lane_) - ws.bias[first+lane_-1]
            isfinite(Jₗ) || continue
            least_draw = min(least_draw, lane(J, lane_))
            w = weight!(s, Jₗ)
            w > 0 && add_sample!(s, w, ws.x, lane_)
        end
    end
    return least_draw
end

"Integrate eight draws from `lead` steps before the window to its end."
fly!(ws, l, first, noise, scheme, h, spread) = fly!(ws, ws.m, l, first, noise, scheme, h, spread)
function fly!(ws, m::SmallModel, l, first, noise, scheme, h, spread)
    D = size_of(m)
    T = size(ws.x, 2)
    x = ntuple(i -> Lanes{8,Float64}(ntuple(k -> VecElement(start_of(ws, l, first + k - 1, noise, spread, i, T)), Val(8))), D)
    for _ in 1:l.lead
        x, _ = step(scheme, ws.m, x, h)
    end
    for t in 1:T
        put!(ws.x, t, x)
        x, _ = step(scheme, ws.m, x, h)
    end
    return nothing
end
function fly!(ws, m::LargeModel, l, first, noise, scheme, h, spread)
    (D, T) = size(ws.x)
    x = [Lanes{8,Float64}(ntuple(k -> VecElement(start_of(ws, l, first + k - 1, noise, spread, i, T)), Val(8))) for i in 1:D]
    for t in 1-l.lead:T
        t > 0 && (ws.x[:, t] .= x)
        copyto!(x, step!(ws.room, scheme, m, x, h))
    end
    return nothing
end
function fly!(ws, m::VectorModel, l, first, noise, scheme, h, spread)
    (D, T) = size(ws.x)
    states = scalars(ws.x)
    for k in 1:8
        x = [start_of(ws, l, first + k - 1, noise, spread, i, T) for i in 1:D]
        for t in 1-l.lead:T
            t > 0 && (states[k, :, t] .= x)
            copyto!(x, step!(ws.room, scheme, m, x, h))
        end
    end
    return nothing
end
@inline put!(a, t, x::NTuple{D,Any}) where {D} = (ntuple(i -> ((@inbounds a[i, t] = x[i]); nothing), Val(D)); nothing)

@inline function start_of(ws, l, draw, noise, spread, i, T)
    q, from, mirrored = place(l, ws.chosen[draw], T)
    x = l.states[i, from-l.lead, q]
    return (mirrored ? l.signs[i] * x : x) + spread[i] * noise[i, draw]
end

function misfit_of(x, data)
    J = zero(eltype(x))
    @inbounds for k in eachindex(data.t)
        d = data.y[k] - x[data.i[k], data.t[k]]
        J = muladd(data.π[k] / 2 * d, d, J)
    end
    return J
end

function add_sample!(s, w, x, lane_)
    @inbounds for t in axes(x, 2), i in axes(x, 1)
        xₗ = lane(x[i, t], lane_)
        wx = w * xₗ
        s.x[i, t] += wx
        s.x²[i, t] = muladd(wx, xₗ, s.x²[i, t])
    end
    return nothing
end
