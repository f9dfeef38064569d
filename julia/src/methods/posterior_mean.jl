# The posterior mean of a low-dimensional model, by importance sampling from its climatology.
#
# The prior is the model's attractor: a library of states, each with the trajectory that follows it. A
# window's posterior weights every member j by its likelihood,
#
#     wⱼ ∝ exp(-Jⱼ),   Jⱼ = ½ Σ (y - hⱼ)² / R over the window's data.
#
# The library (library.jl) says in single precision which members count; their weights are then computed anew in
# double precision.
#
# Where few members carry the weight, a second stage draws around them. A member is chosen with the
# probability vⱼ ∝ exp(-β Jⱼ), with β < 1 such that enough members contribute; its state `lead` steps
# before the window is perturbed by a normal deviate, and the flow brings it back onto the attractor
# before the window starts. For pairs of member and deviate the weight of a draw is exactly exp(-J) / vⱼ,
# if the prior is the library smoothed by the deviates.

const FOR_A_THREAD = 1_000_000      # members to compare, below which another thread was measured to cost more time than it takes over
const SMALLEST_β = 1 / 32
const NEGLIGIBLE = 25.0         # weights below exp(-25) of the largest are ignored

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
    isempty(noise) && (threads = clamp(windows * members(l, T) * (1 + l.mirrored) ÷ FOR_A_THREAD, 1, threads))
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
    # The draws are chosen with weights that are flattened.
    least_of_all = misfits!(ws.J, l, data, size(y, 2), isempty(noise) ? NEGLIGIBLE : NEGLIGIBLE / SMALLEST_β)
    info[3, window] = 0
    if !isfinite(least_of_all)
        fill!(view(mean, :, :, window), NaN)
        fill!(view(stdev, :, :, window), NaN)
        info[1, window] = info[2, window] = NaN
        return nothing
    end
    s = from_library!(ws, least_of_all, l, data, size(y, 2))
    least = s.least
    if effective(s) < enough && !isempty(noise)
        least_draw = from_draws!(ws, least_of_all, l, data, noise, scheme, h, enough, spread)
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

function from_library!(ws, least, l, data, T)
    s = clear!(ws.sums)
    empty!(ws.order)
    each_below(ws.J, least + NEGLIGIBLE) do j
        @inbounds ws.J[j] - least < NEGLIGIBLE && push!(ws.order, j)
    end
    exact!(ws, l, data, T)
    s.least = minimum(ws.exact)
    resize!(ws.v, length(ws.exact))
    map!(J -> weight!(s, J), ws.v, ws.exact)
    mirrored = searchsortedfirst(ws.order, members(l, T) + 1)      # the first one in the order
    add_members!(s, ws, l, 1:mirrored-1, T)
    if mirrored <= length(ws.order)
        s.x .*= l.signs         # the sum is mirrored meanwhile, in place of every member
        add_members!(s, ws, l, mirrored:length(ws.order), T)
        s.x .*= l.signs
    end
    return s
end

"Add the members of a part of the order as they are, four at a time, with the weights `ws.v`."
function add_members!(s, ws, l, part, T)
    for k in first(part):4:last(part)
        four = ntuple(Val(4)) do n
            k + n - 1 > last(part) && return (0, 0.0)
            q, from, _ = place(l, ws.order[k+n-1], T)
            return (LinearIndices(l.states)[1, from, q] - 1, ws.v[k+n-1])
        end
        add_states!(s, l.states, four...)
    end
    return nothing
end

function add_states!(s, states, (a, w₁), (b, w₂), (c, w₃), (d, w₄))
    sum, sum² = s.x, s.x²
    @inbounds @simd ivdep for k in eachindex(sum)
        (x₁, x₂, x₃, x₄) = (states[a+k], states[b+k], states[c+k], states[d+k])
        (y₁, y₂, y₃, y₄) = (w₁ * x₁, w₂ * x₂, w₃ * x₃, w₄ * x₄)
        sum[k] = sum[k] + y₁ + y₂ + y₃ + y₄
        sum²[k] = muladd(y₄, x₄, muladd(y₃, x₃, muladd(y₂, x₂, muladd(y₁, x₁, sum²[k]))))
    end
    return nothing
end

"The J of the members in `order`, in double precision."
function exact!(ws, l, data, T)
    resize!(ws.exact, length(ws.order))
    for (k, j) in enumerate(ws.order)
        ws.exact[k] = misfit_of_member(l, j, data, T)
    end
    return ws.exact
end

"    tempered!(ws, least, enough) -> the β ≤ 1 at which the weights exp(-β J) have the effective size `enough`"
function tempered!(ws, least, enough)
    empty!(ws.order)
    each_below(ws.J, least + NEGLIGIBLE / SMALLEST_β) do j
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

function choose!(ws, least, l, data, β, T)
    empty!(ws.order)
    empty!(ws.v)
    each_below(ws.J, least + NEGLIGIBLE / SMALLEST_β) do j
        @inbounds β * (ws.J[j] - least) < NEGLIGIBLE && push!(ws.order, j)
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
function from_draws!(ws, least, l, data, noise, scheme, h, enough, spread)
    T = size(ws.x, 2)
    s = clear!(ws.better)
    β = tempered!(ws, least, enough)
    choose!(ws, least, l, data, β, T)
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
