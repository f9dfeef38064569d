# J and its gradient at given controls, exactly as methods/weak_constraint.jl and methods/strong_constraint.jl
# compute them: for `pyvda check`, and for tests. Nothing is minimised.

"""
    shooting_objective!(J, gradient, x, y, precision, background, scheme, m, cost, w, points = nothing)

J of cost/shooting.jl and its gradient. If `gradient` is `nothing`, J is computed as for a trial step.

- `J`, `gradient`: `(window)`, `(state, node, window)`, out
- `x`, `y`, `precision`: `(state, time, window)`; only the nodes of `x` are used
- `background`: `(state, window)`
"""
function shooting_objective!(J, gradient, x, y, precision, background, scheme, m, cost, w, points = nothing)
    (D, T, windows) = size(x)
    N = numbers_of(m)
    for first in 1:lanes(N):windows
        range = first:min(first + lanes(N) - 1, windows)
        b = gather!(WindowBlock{N}(D, T), x, y, precision, range, points)
        reweigh!(b, precision, points, ones(windows), range)
        s = shooting(b, in_lanes(N, background, range), cost, m)
        found = gradient === nothing ? cost_at(s, s.x, scheme, m, w) : linearise!(s, scheme, m, w)
        for (l, window) in enumerate(range)
            J[window] = lane(found, l)
            gradient === nothing || (gradient[:, :, window] .= view(scalars(s.gradient), l, :, :))
        end
    end
    return J
end

"""
    strong_objective!(J, gradient, p)

J of methods/strong_constraint.jl and its gradient `(state, window)` at the first start of each window.
"""
function strong_objective!(J, gradient, p::StrongConstraint)
    e = evaluator(p.m, size(p.y, 2), p.points)
    (next, jobs) = (Threads.Atomic{Int}(1), size(p.starts, 3))
    while next[] <= jobs
        places = filter(s -> take_job!(s, p, next, jobs), [Minimisation(length(p.m)) for _ in 1:width(e)])
        for (l, s) in enumerate(places)
            hold!(e, p, l, window_of(s.job, p))
        end
        evaluate!(e, p, places)
        for s in places
            J[s.job] = s.found.J
            gradient[:, s.job] .= s.found.g
        end
    end
    return J
end
