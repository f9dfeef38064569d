# Strong-constraint 4D-Var: the model is exact, the control is one state x₀, `lead` steps before the
# window, so that the flow brings the Gaussian background onto the attractor before the window starts:
#
#     J(x₀) = ½ (x₀ - b)ᵀ B⁻¹ (x₀ - b) + ½ Σ (y - x(t))² / R,      x(t) = Φᵗ(x₀).
#
# Gauss-Newton with the tangent linear columns and Levenberg-Marquardt damping. J has many minima, but
# few while the window is short, so the window can be grown by some steps at a time, each time starting
# from the previous minimum (Pires, Vautard & Talagrand 1996: quasi-static).
#
# A job is one minimisation: a window and a start. A lane holds one job and takes the next when it is
# finished, so that a long minimisation does not keep seven short ones waiting. The expensive part, the
# evaluation of J with gradient and Hessian, runs on all lanes together; decisions are made for each job
# separately. A large model has one job, with its columns in lanes (schemes/segment.jl).
#
# If the model's parameters belong to the control, the model is `WithParameters(m)`, whose state includes
# them. No datum observes a parameter.

"State of one minimisation."
mutable struct Minimisation
    job::Int                    # 0: none
    horizon::Int                # current length of the window
    stop::Int                   # the last step with a datum up to the horizon, the end of evaluations; 0: none
    reach::Int                  # the same in the next longer window that has more data, or `stop`
    fresh::Bool                 # x itself has to be evaluated, with a new horizon
    looked::Bool                # `ahead` is valid at x
    iterations::Int
    since::Int                  # iterations with the current length of the window
    μ::Float64                  # damping
    decrement::Float64
    here::Quadratic             # at x
    found::Quadratic            # at the trial
    ahead::Quadratic            # at the trial, with the data up to `reach`
    x::Vector{Float64}
    δ::Vector{Float64}
    trial::Vector{Float64}      # x + δ, where J is evaluated
    L::Matrix{Float64}
end
Minimisation(D) = Minimisation(0, 0, -1, -1, true, false, 0, 0, 0.0, Inf, Quadratic(D), Quadratic(D), Quadratic(D),
                               zeros(D), zeros(D), zeros(D), zeros(D, D))

struct StrongConstraint{M,S,A,P}
    m::M
    scheme::S
    h::Float64
    lead::Int
    growth::Int                 # 0: the whole window at once
    iterations::Int             # for each length of the window
    tolerance::Float64          # on the decrement, twice the predicted remaining decrease of J
    b::Vector{Float64}
    B⁻¹::Matrix{Float64}
    metric::Vector{Float64}     # metric of the damping: one over the variance of each component
    y::A                        # (state, time, window)
    precision::A
    starts::A                   # (state, start, window)
    points::P                   # data at arbitrary times (cost/point_observations.jl), of weight 1/R; or nothing
    observed::Matrix{Bool}      # (time, window): whether the window has data at the step
end
StrongConstraint(m, scheme, h, lead, growth, iterations, tolerance, b, B⁻¹, metric, y, precision, starts, points = nothing) =
    StrongConstraint(m, scheme, h, lead, growth, iterations, tolerance, b, B⁻¹, metric, y, precision, starts, points,
                     data_steps(precision, points))

const LOOSE = 0.1               # decrement at which a window below its full length is grown
const LOST_IN_SUM = 1e-12       # relative to J: smaller decreases are lost in rounding
const IN_HAND = 1024            # maximum number of minimisations that a thread has begun

"""
    strong_constraint!(x, H, info, problem)

Minimise J for every window and start.

- `x`: `(state, start, window)`, out: the minima
- `H`: `(state, state, start, window)`, out: the Gauss-Newton Hessian there, the inverse covariance
- `info`: `(4, start, window)`, out: J, the decrement, iterations, status
"""
function strong_constraint!(x, H, info, p::StrongConstraint)
    jobs = size(p.starts, 2) * size(p.starts, 3)
    BLAS.set_num_threads(1)
    threads = threads_for(jobs)
    next = Threads.Atomic{Int}(1)
    in_threads(threads) do _
        e = evaluator(p.m, size(p.y, 2), p.points)
        # With growth, a larger queue lets windows of the same length be evaluated together.
        count = p.growth == 0 || width(e) == 1 ? width(e) : clamp(cld(jobs, threads), width(e), IN_HAND)
        minimise!(x, H, info, p, e, next, jobs, count)
    end
    return x
end

function minimise!(x, H, info, p, e, next, jobs, count)
    none = Minimisation(length(p.m))
    lanes = fill(none, width(e))
    queue = [Minimisation(length(p.m)) for _ in 1:count]
    filter!(s -> take_job!(s, p, next, jobs), queue)
    while true
        for l in eachindex(lanes)
            if lanes[l] === none && !isempty(queue)
                lanes[l] = popfirst!(queue)
                hold!(e, p, l, window_of(lanes[l].job, p))
            end
        end
        all(s -> s === none, lanes) && return nothing
        evaluate!(e, p, lanes)
        for l in eachindex(lanes)
            s = lanes[l]
            s === none && continue
            horizon = s.horizon
            done = decide!(s, p)
            done && leave!(x, H, info, s, p)
            (done || s.horizon > horizon) || continue
            lanes[l] = none
            (!done || take_job!(s, p, next, jobs)) && push!(queue, s)
        end
    end
end

window_of(job, p) = (job - 1) ÷ size(p.starts, 2) + 1
start_of(job, p) = (job - 1) % size(p.starts, 2) + 1

"    take_job!(s, p, next, jobs) -> whether there was another job for s"
function take_job!(s::Minimisation, p, next, jobs)
    job = Threads.atomic_add!(next, 1)
    job <= jobs || return false
    s.job = job
    s.horizon = 0
    s.stop = s.reach = -1
    s.looked = false
    s.iterations = 0
    @inbounds for i in eachindex(s.x)
        s.x[i] = p.starts[i, start_of(job, p), window_of(job, p)]
    end
    grow!(s, p)
    return true
end

"    grow!(s, p): make the window longer -> whether J is known for it; otherwise x is evaluated again"
function grow!(s, p)
    s.horizon = longer(s.horizon, p)
    s.since = 0
    s.μ = 0.0
    stop = last_datum(p, window_of(s.job, p), s.horizon)
    stop == s.stop && return true           # nothing new was observed
    s.stop = stop
    if s.looked && stop == s.reach
        s.looked = false
        (s.here, s.ahead) = (s.ahead, s.here)
        s.decrement = newton_decrement!(s)
        return true
    end
    s.fresh = true
    copyto!(s.trial, s.x)
    look_ahead!(s, p)
    return false
end

longer(horizon, p) = p.growth == 0 ? size(p.y, 2) : min(size(p.y, 2), horizon + p.growth)

"    last_datum(p, window, horizon) -> the last step with a datum up to the horizon; 0 without one"
function last_datum(p, window, horizon)
    t = horizon
    while t > 0 && !p.observed[t, window]
        t -= 1
    end
    return t
end

"Let the next evaluation reach as far as the first longer window that has more data."
function look_ahead!(s, p)
    (horizon, s.reach) = (s.horizon, s.stop)
    while s.reach == s.stop && horizon < size(p.y, 2)
        horizon = longer(horizon, p)
        s.reach = last_datum(p, window_of(s.job, p), horizon)
    end
    return nothing
end

"After an evaluation at the trial, accept or reject it and choose the next; return whether the job is done."
function decide!(s::Minimisation, p)
    J = s.found.J
    s.looked = false
    stuck = false
    if s.fresh || J < s.here.J
        s.fresh || adapt_damping!(s, J)
        s.fresh = false
        s.looked = s.reach > s.stop
        copyto!(s.x, s.trial)
        (s.here, s.found) = (s.found, s.here)
        s.decrement = newton_decrement!(s)
    else
        stuck = s.decrement <= LOST_IN_SUM * (1 + s.here.J)     # J is at its rounding error
        s.μ = max(5s.μ, 1.0)
    end
    while true
        isfinite(s.here.J) || return true
        whole = s.horizon == size(p.y, 2)
        arrived = stuck || s.decrement <= (whole ? p.tolerance : LOOSE)
        if !arrived && s.since < p.iterations && try_step!(s, p.metric)
            look_ahead!(s, p)
            return false
        end
        whole && return true
        grow!(s, p) || return false
        stuck = false
    end
end

"    try_step!(s, metric) -> whether a damping was found with which the step could be computed"
function try_step!(s, metric)
    s.μ <= 1e12 || return false
    while !damped_step!(s, metric)
        s.μ = max(5s.μ, 1.0)
        s.μ <= 1e12 || return false
    end
    s.iterations += 1
    s.since += 1
    return true
end

"""
    adapt_damping!(s, J)

After an accepted step, reduce the damping only if J fell by as much as the Gauss-Newton model
predicts. Where that model misses curvature (large noise, strongly nonlinear flow) full steps overshoot,
and the damping that prevents it is kept.
"""
function adapt_damping!(s, J)
    (g, H) = (s.here.g, s.here.H)
    linear = quadratic = 0.0
    @inbounds for i in eachindex(g)
        linear -= g[i] * s.δ[i]
        for j in eachindex(g)
            quadratic += s.δ[i] * H[i, j] * s.δ[j]
        end
    end
    gain = (s.here.J - J) / (linear - quadratic / 2)
    gain < 0.5 && (s.μ = max(2s.μ, 0.5))
    gain > 0.8 && (s.μ = s.μ < 0.1 ? 0.0 : s.μ / 4)
    return nothing
end

"""
    damped_step!(s, metric) -> whether H + μ W is positive definite; if so, solve it for the next trial

The damping W is scaled by the climatology, not by H: where the directions of small and large curvature
are oblique to the axes, the diagonal of H is large everywhere and would damp the directions of small
curvature too strongly.
"""
function damped_step!(s, metric)
    (g, H) = (s.here.g, s.here.H)
    D = length(g)
    @inbounds for j in 1:D, i in j:D
        s.L[i, j] = H[i, j] + (i == j) * s.μ * metric[i]
    end
    cholesky_in_place!(s.L) || return false
    @inbounds for i in 1:D
        s.δ[i] = -g[i]
    end
    forward!(s.δ, s.L)
    backward!(s.δ, s.L)
    @inbounds for i in 1:D
        s.trial[i] = s.x[i] + s.δ[i]
    end
    return true
end

"gᵀ H⁻¹ g, infinite where H is singular."
function newton_decrement!(s)
    copyto!(s.L, s.here.H)
    cholesky_in_place!(s.L) || return Inf
    copyto!(s.δ, s.here.g)
    forward!(s.δ, s.L)
    return sum(abs2, s.δ)
end

function leave!(x, H, info, s, p)
    (k, w) = (start_of(s.job, p), window_of(s.job, p))
    @inbounds for j in eachindex(s.x)
        x[j, k, w] = s.x[j]
        for i in eachindex(s.x)
            H[i, j, k, w] = s.here.H[i, j]
        end
    end
    J = s.here.J
    converged = s.horizon == size(p.y, 2) && (s.decrement <= p.tolerance || s.decrement <= LOST_IN_SUM * (1 + J))
    info[1, k, w] = J
    info[2, k, w] = s.decrement
    info[3, k, w] = s.iterations
    info[4, k, w] = !isfinite(J) ? DIVERGED : converged ? CONVERGED : ITERATION_LIMIT
    return nothing
end
