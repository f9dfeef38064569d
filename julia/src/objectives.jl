# What the minimisations of weak_constraint.jl and strong_constraint.jl take for J and its gradient, at
# controls that are given: for `pyvda check`, and for tests. Nothing is minimised.

"""
    shooting_objective!(J, gradient, x, y, precision, background, scheme, m, cost, w, points = nothing)

J of shooting.jl and its gradient; with `nothing` for a gradient J as a trial step is judged by.

- `J`, `gradient`: `(window)`, `(state, node, window)`, out
- `x`, `y`, `precision`: `(state, time, window)`; of `x` the nodes count
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

J of strong_constraint.jl and its gradient `(state, window)` at the first start of each window.
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

# `gradient` may be null.
function c_shooting_objective(model, p, D, T, windows, scheme, h, substeps, every, x, J, gradient, y, precision, background,
                              B⁻¹, w, count, step, fraction, value, weight, operator, message, capacity)
    guarded(message, capacity, refusal(model, scheme)) do
        g = gradient == C_NULL ? nothing : array_at(gradient, Float64, D, length(nodes(T, every)), windows)
        shooting_objective!(array_at(J, Float64, windows), g, array_at(x, Float64, D, T, windows),
                            array_at(y, Float64, D, T, windows), array_at(precision, Float64, D, T, windows),
                            array_at(background, Float64, D, windows), scheme_of(scheme), model_of(model, p, D),
                            ShootingCost(every, substeps, h / substeps, copy(array_at(B⁻¹, Float64, D, D))), w,
                            points_at_address(Float64, D, windows, count, step, fraction, value, weight, operator))
    end
end

function c_strong_objective(model, p, D, T, windows, scheme, h, lead, x, J, gradient, y, precision, background, B⁻¹,
                            count, step, fraction, value, weight, operator, message, capacity)
    guarded(message, capacity, refusal(model, scheme)) do
        problem = StrongConstraint(
            model_of(model, p, D), scheme_of(scheme), h, Int(lead), 0, 0, 0.0, array_at(background, Float64, D),
            array_at(B⁻¹, Float64, D, D), ones(D), array_at(y, Float64, D, T, windows),
            array_at(precision, Float64, D, T, windows), array_at(x, Float64, D, 1, windows),
            points_at_address(Float64, D, windows, count, step, fraction, value, weight, operator),
        )
        strong_objective!(array_at(J, Float64, windows), array_at(gradient, Float64, D, windows), problem)
    end
end

address(::Val{:shooting_objective}) = @cfunction(c_shooting_objective, Cint, (Int64, Ptr{Float64}, Int64, Int64, Int64, Int64, Float64, Int64, Int64, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Float64, Int64, Ptr{Int64}, Ptr{Cvoid}, Ptr{Cvoid}, Ptr{Cvoid}, Ptr{Cvoid}, Ptr{UInt8}, Int64))
address(::Val{:strong_objective}) = @cfunction(c_strong_objective, Cint, (Int64, Ptr{Float64}, Int64, Int64, Int64, Int64, Float64, Int64, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Int64, Ptr{Int64}, Ptr{Cvoid}, Ptr{Cvoid}, Ptr{Cvoid}, Ptr{Cvoid}, Ptr{UInt8}, Int64))
