# Weak-constraint 4D-Var by Levenberg-Marquardt, optionally with annealing of the model error.
#
# The damping acts like an observation of the current state with `damping` times the weight of the best
# observation. It starts at zero, is 0.01 after the first step that does not lower the cost, five times
# larger after each further one, five times smaller after steps that do, and zero again below 1e-6: in
# the curved valleys of windows with blanked edges an intermediate value is right for many steps. Every
# window has its own damping, even if several windows are processed in lanes.
#
# Annealing (weights w of the model that grow from stage to stage) starts each stage where the previous
# one ended: with a loose model the observations alone decide, and the final tight model is reached
# without being trapped in the many minima that it has.

# Reasons why a window stopped.
const CONVERGED, ITERATION_LIMIT, DIVERGED, GIVEN_UP = 0, 1, 3, 9
const FIRST_DAMPING, SMALLEST_DAMPING, LARGEST_DAMPING = 1e-2, 1e-6, 1e12
# Relative increase of a cost that rounding may cause.
const ROUNDING = 1e-13

"Stopping criteria: see `weak_constraint!`."
struct Stopping
    iterations::Int
    tolerance::Float64
    drop::Float64
    give_up_stage::Int
    give_up_cost::Vector{Float64}       # of each window
end

"Progress of the windows of a block, by lane."
struct Progress
    cost::Vector{Float64}
    norm::Vector{Float64}
    first_norm::Vector{Float64}
    damping::Vector{Float64}
    scale::Vector{Float64}
    give_up_cost::Vector{Float64}
    active::Vector{Bool}            # in this stage
    status::Vector{Int}
    iterations::Vector{Int}
end
Progress(W) = Progress(ntuple(_ -> zeros(W), Val(6))..., fill(false, W), fill(ITERATION_LIMIT, W), zeros(Int, W))

pack(::Type{Lanes{W,T}}, v) where {W,T} = Lanes{W,T}(ntuple(l -> VecElement{T}(v[l]), Val(W)))
pack(::Type{T}, v) where {T<:AbstractFloat} = T(v[1])

"""
    minimise!(s, p, scheme, m, w, stop)

Run Levenberg-Marquardt on the active windows of `s` (see `p.active`), with one weight of the model.
"""
function minimise!(s, p::Progress, scheme, m, w, stop::Stopping)
    N = eltype(s.x)
    W = lanes(N)
    evaluate!(s, p, scheme, m, w)
    for l in 1:W
        if p.active[l] && !isfinite(p.cost[l])
            p.active[l] = false
            p.status[l] = DIVERGED
        end
        p.active[l] && (p.status[l] = ITERATION_LIMIT)
        p.first_norm[l] == 0 && (p.first_norm[l] = p.norm[l])
    end
    damping = similar(p.damping)
    for _ in 1:stop.iterations
        settle!(p, stop)
        any(p.active) || break
        damping .= p.damping .* p.scale
        solved = newton_step!(s, pack(N, damping))
        cost = solved ? cost_at(s, s.trial, scheme, m, w) : N(NaN)
        moved = false
        for l in 1:W
            p.active[l] || continue
            p.iterations[l] += 1
            new = lane(cost, l)
            if new <= p.cost[l] + ROUNDING * abs(p.cost[l])
                accept!(s, l)
                moved = true
                if p.cost[l] - new < stop.drop
                    p.active[l] = false
                    p.status[l] = CONVERGED
                end
                p.cost[l] = new
                p.damping[l] = p.damping[l] <= SMALLEST_DAMPING ? 0.0 : p.damping[l] / 5
            else
                p.damping[l] = p.damping[l] == 0 ? FIRST_DAMPING : 5 * p.damping[l]
                p.active[l] = p.damping[l] < LARGEST_DAMPING
            end
        end
        moved && any(p.active) && evaluate!(s, p, scheme, m, w)
    end
    settle!(p, stop)
    return nothing
end

function evaluate!(s, p, scheme, m, w)
    cost = linearise!(s, scheme, m, w)
    g = scalars(s.gradient)
    for l in 1:lanes(eltype(s.x))
        p.cost[l] = lane(cost, l)
        p.norm[l] = 0.0
        @inbounds for k in axes(g, 3), i in axes(g, 2)
            p.norm[l] += g[l, i, k]^2
        end
        p.norm[l] = sqrt(p.norm[l])
    end
    return nothing
end

"Deactivate windows that have converged (small gradient) or diverged (gradient not finite)."
function settle!(p, stop)
    for l in eachindex(p.active)
        p.active[l] || continue
        limit = stop.tolerance * p.first_norm[l]
        if !(isfinite(p.norm[l]) && isfinite(limit))
            p.active[l] = false
            p.status[l] = DIVERGED
        elseif p.norm[l] <= limit
            p.active[l] = false
            p.status[l] = CONVERGED
        end
    end
    return nothing
end

function accept!(s, l)
    x, trial = scalars(s.x), scalars(s.trial)
    @inbounds for k in axes(x, 3), i in axes(x, 2)
        x[l, i, k] = trial[l, i, k]
    end
    return nothing
end

"""
    weak_constraint!(x, stdev, result, y, mask, divisor, background, scheme, m, cost, weights, stop, points)

Minimise the cost of cost/shooting.jl for every window, from `x`, at each weight of the model in turn.

- `x`: `(state, time, window)`, in: the nodes' first guess; out: the trajectory through them
- `stdev`: the same shape, out: standard deviations from the Hessian; or `nothing`
- `result`: `(4, window)`, out: status, iterations, cost, norm of the gradient
- `y`, `mask`: `(state, time, window)`; `divisor`: `(window)`, an observation has the weight
  mask / divisor
- `background`: `(state, window)`
- `weights`: w of each stage, numbers or matrices
- `points`: data at arbitrary times (cost/point_observations.jl), or `nothing`
- `stop`: at most `iterations` per stage; a window leaves a stage when the norm of its gradient is
  below `tolerance` times its first, or a step lowers the cost by less than `drop`; it is given up
  when its cost after the stage `give_up_stage` is above its own `give_up_cost`
"""
function weak_constraint!(x, stdev, result, y, mask, divisor, background, scheme, m, cost, weights, stop, points = nothing)
    windows = size(x, 3)
    W = lanes(numbers_of(m))
    jobs = cld(windows, W)
    next = Threads.Atomic{Int}(1)           # dynamic, because windows take different times
    in_threads(threads_for(jobs)) do _
        work!(x, stdev, result, y, mask, divisor, background, scheme, m, cost, weights, stop, points, next, jobs)
    end
    return x
end

numbers_of(::SmallModel) = lanes_for(Float64)
numbers_of(::ArrayModel) = Float64

function work!(x, stdev, result, y, mask, divisor, background, scheme, m, cost, weights, stop, points, next, jobs)
    W = lanes(numbers_of(m))
    while true
        job = Threads.atomic_add!(next, 1)
        job > jobs && return nothing
        range = (job - 1) * W + 1:min(job * W, size(x, 3))
        work_on!(x, stdev, result, y, mask, divisor, background, scheme, m, cost, weights, stop, points, range)
    end
end

function work_on!(x, stdev, result, y, mask, divisor, background, scheme, m, cost, weights, stop, points, range)
    N = numbers_of(m)
    b = gather!(WindowBlock{N}(size(x, 1), size(x, 2)), x, y, mask, range, points)
    reweigh!(b, mask, points, divisor, range)
    s = shooting(b, in_lanes(N, background, range), cost, m)
    p = started(b, range, stop)
    anneal!(s, p, scheme, m, weights, stop)
    trajectory!(b.x, s, scheme, m)
    scatter!(x, b.x, range)
    record!(result, p, range)
    spread!(stdev, b, s, scheme, m, weights[end], range)
    return nothing
end

function started(b::WindowBlock{N}, range, stop) where {N}
    p = Progress(lanes(N))
    c = scalars(b.c)
    for (l, w) in enumerate(range)
        p.give_up_cost[l] = stop.give_up_cost[w]
        p.scale[l] = reduce(max, view(scalars(b.points.c), l, :); init = largest(c, l))
        p.active[l] = true
    end
    return p
end

function record!(result, p, range)
    for (l, w) in enumerate(range)
        result[1, w] = p.status[l]
        result[2, w] = p.iterations[l]
        result[3, w] = p.cost[l]
        result[4, w] = p.norm[l]
    end
    return result
end

spread!(::Nothing, b, s, scheme, m, w, range) = nothing
function spread!(stdev, b, s, scheme, m, w, range)
    linearise!(s, scheme, m, w)
    variances!(b.x, s, scheme, m)
    scatter!(stdev, b.x, range)
    for w in range, t in axes(stdev, 2), i in axes(stdev, 1)
        v = stdev[i, t, w]
        stdev[i, t, w] = v >= 0 ? sqrt(v) : NaN
    end
    return stdev
end

"Replace the weights mask / number of observations by mask / divisor."
function reweigh!(b, mask, points, divisor, range)
    (c, at_points) = (scalars(b.c), scalars(b.points.c))
    for (l, w) in enumerate(range)
        factor = count_data(mask, points, w) / divisor[w]
        view(c, l, :, :) .*= factor
        view(at_points, l, :) .*= factor
    end
    return b
end

function largest(c, l)
    found = 0.0
    @inbounds for k in axes(c, 3), i in axes(c, 2)
        found = max(found, c[l, i, k])
    end
    return found
end

function anneal!(s, p, scheme, m, weights, stop)
    running = copy(p.active)
    for stage in eachindex(weights)
        p.active .= running
        any(running) || break
        fill!(p.damping, 0.0)
        minimise!(s, p, scheme, m, weights[stage], stop)
        for l in eachindex(running)
            running[l] &= p.status[l] != DIVERGED
            if running[l] && stage == stop.give_up_stage && p.cost[l] > p.give_up_cost[l]
                running[l] = false
                p.status[l] = GIVEN_UP
            end
        end
    end
    return nothing
end

function in_lanes(::Type{N}, background, range) where {N}
    D = size(background, 1)
    out = zeros(N, D, 1)
    s = scalars(out)
    for (l, w) in enumerate(range), i in 1:D
        s[l, i, 1] = background[i, w]
    end
    return vec(out)
end
