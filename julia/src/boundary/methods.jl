# Entry points of the costs and methods, which follow the rules of boundary.jl.

# --- cost/weak_constraint_cost.jl, methods/descent.jl ----------------------------------------------

function c_cost(a)
    with_model(a) do m
        S = type_of(a.bytes)
        at(p) = array_at(p, S, a.D, a.T, a.windows)
        cost_gradient!(reals(a.cost, 3, a.windows), a.gradient == C_NULL ? nothing : at(a.gradient), at(a.x), at(a.y), at(a.mask),
                       scheme_of(a), m, a.h, a.lambda1, a.lambda2, points_of(a, S, m))
        return nothing
    end
end

function c_descend(a)
    with_model(a) do m
        S = type_of(a.bytes)
        at(p) = array_at(p, S, a.D, a.T, a.windows)
        data = a.channels > 0 ? function_data(a) : points_of(a, S, m)
        descend!(at(a.x), at(a.y), at(a.mask), scheme_of(a), m, a.h, a.lambda1, a.lambda2, a.alpha, a.iterations, data)
        return nothing
    end
end

# --- cost/point_observations.jl --------------------------------------------------------------------

function c_observed(a)
    with_model(a) do m
        observed!(reals(a.out, a.count, a.windows), reals(a.x, a.D, a.T, a.windows), points_of(a, m), scheme_of(a), m, a.h)
        return nothing
    end
end

# --- methods/linearised_runs.jl --------------------------------------------------------------------

function c_linearised_run(a)
    with_model(a) do m
        (x, v) = (reals(a.x, a.D, a.T, a.windows), reals(a.v, a.D, a.T, a.windows))
        kept = a.memory == 0 ? 1 : a.memory ÷ max(1, workspace_bytes(m))
        a.what == 0 ? run!(x, scheme_of(a), m, a.h) :
        a.what == 1 ? tangent_run!(v, x, scheme_of(a), m, a.h; kept = kept) : adjoint_run!(v, x, scheme_of(a), m, a.h; kept = kept)
        return nothing
    end
end

function c_workspace_bytes(a)
    with_model(a) do m
        unsafe_store!(a.found, workspace_bytes(m))
        return nothing
    end
end

# --- methods/weak_constraint.jl --------------------------------------------------------------------

# `stdev` and `model_precision` may be null.
function c_weak_constraint(a)
    with_model(a) do m
        at(p) = reals(p, a.D, a.T, a.windows)
        weak_constraint!(at(a.x), reals_or_nothing(a.stdev, a.D, a.T, a.windows), reals(a.result, 4, a.windows), at(a.y), at(a.mask),
                         reals(a.divisor, a.windows), reals(a.background, a.D, a.windows), scheme_of(a), m, shooting_cost(a),
                         model_weights(reals(a.weights, a.stages), a),
                         Stopping(a.iterations, a.tolerance, a.drop, a.give_up_stage, reals(a.give_up_cost, a.windows)),
                         points_of(a, m))
        return nothing
    end
end

shooting_cost(a) = ShootingCost(a.every, a.substeps, a.h / a.substeps, copy(reals(a.b_inverse, a.D, a.D)))
"The weights of the stages: numbers or, if a matrix Q⁻¹ is given, its multiples."
model_weights(w, a) = a.model_precision == C_NULL ? w : [wᵢ * reals(a.model_precision, a.D, a.D) for wᵢ in w]

# --- methods/strong_constraint.jl, methods/trajectories.jl -----------------------------------------

function c_strong_constraint(a)
    with_model(a) do m
        (D, count, windows) = (a.D, a.start_count, a.windows)
        problem = StrongConstraint(
            m, scheme_of(a), a.h, a.lead, a.growth, a.iterations, a.tolerance, reals(a.background, D), reals(a.b_inverse, D, D),
            reals(a.metric, D), reals(a.y, D, a.T, windows), reals(a.precision, D, a.T, windows),
            reals(a.starts, D, count, windows), points_of(a, m),
        )
        strong_constraint!(reals(a.control, D, count, windows), reals(a.hessian, D, D, count, windows),
                           reals(a.info, 4, count, windows), problem)
        return nothing
    end
end

function c_trajectories(a)
    with_model(a) do m
        at(p) = reals(p, a.D, a.T, a.windows)
        trajectories!(at(a.x), at(a.stdev), reals(a.control, a.D, a.windows), reals(a.hessian, a.D, a.D, a.windows),
                      scheme_of(a), m, a.h, a.lead)
        return nothing
    end
end

# --- methods/ensemble_smoother.jl ------------------------------------------------------------------

# `noise`, `spread` and `final` may be null.
function c_ensemble_smoother(a)
    with_model(a) do m
        (D, N, T, windows) = (a.D, a.member_count, a.T, a.windows)
        at(p) = reals(p, D, T, windows)
        ensemble_smoother!(at(a.mean), reals_or_nothing(a.spread, D, T, windows), at(a.y), at(a.precision), reals(a.members, D, N),
                           scheme_of(a), m, a.h; inflation = a.inflation, lag = a.lag, depth = a.depth, iterations = a.iterations,
                           reflections = reals(a.reflections, N, a.columns, a.reflection_count),
                           noise = reals_or_nothing(a.noise, N, D, T - 1), final = reals_or_nothing(a.final, D, N, windows),
                           points = a.channels > 0 ? function_data(a) : points_of(a, m))
        return nothing
    end
end

# --- methods/letkf.jl ------------------------------------------------------------------------------

# Offsets and indices count from 0; `rotation` may be null.
function c_local_analyses(a)
    guarded(a) do
        (D, N) = (a.D, a.member_count)
        N >= 2 || return "the ensemble has $N members, expected at least 2"
        a.adaptive != 0 || a.inflation > 0 || return "the inflation is $(a.inflation), expected a positive number"
        centres = LocalCentres(reals(a.centre_place, a.dims, a.centre_count), reals(a.period, a.dims),
                               array_at(a.first, Int64, a.centre_count + 1) .+ 1, array_at(a.component, Int64, a.entries) .+ 1,
                               reals(a.coefficient, a.entries), array_at(a.colours, Int64, a.colour_count + 1))
        refused = centres_refusal(centres, a)
        refused === nothing || return refused
        members = [reals(p, D, N) for p in array_at(a.ensembles, Ptr{Cvoid}, a.ensemble_count)]
        local_analyses!(members, reals(a.sensitivity, N, a.data), reals(a.innovation, a.data), reals(a.place, a.dims, a.data), centres;
                        inflation = a.inflation, adaptive = a.adaptive != 0, rotation = reals_or_nothing(a.rotation, N, N))
        return nothing
    end
end

function centres_refusal(centres::LocalCentres, a)
    rises(v, from, to) = first(v) == from && last(v) == to && issorted(v)
    rises(centres.first, 1, a.entries + 1) || return "the entries of the centres are not those of $(a.entries) components"
    rises(centres.colours, 0, a.centre_count) || return "the colours are not those of $(a.centre_count) centres"
    all(i -> 1 <= i <= a.D, centres.component) || return "a centre has a component outside the $(a.D) of the state"
    return nothing
end

# --- methods/posterior_mean.jl, methods/best_starts.jl ---------------------------------------------

library_of(a) = library_at(a.states, a.D, a.length, a.trajectories, a.lead, a.signs)

function c_posterior_mean(a)
    with_model(a) do m
        at(p) = reals(p, a.D, a.T, a.windows)
        posterior_mean!(at(a.mean), at(a.stdev), reals(a.info, 3, a.windows), at(a.y), at(a.precision), library_of(a),
                        reals(a.deviates, a.D, a.draws), scheme_of(a), m, a.h, a.enough, reals(a.moves, a.D))
        return nothing
    end
end

function c_best_starts(a)
    guarded(a) do
        at(p) = reals(p, a.D, a.T, a.windows)
        best_starts!(reals(a.starts, a.D, a.start_count, a.windows), at(a.y), at(a.precision), library_of(a), reals(a.apart, a.D))
        return nothing
    end
end

# --- cost/objectives.jl ----------------------------------------------------------------------------

# `gradient` and `model_precision` may be null.
function c_shooting_objective(a)
    with_model(a) do m
        at(p) = reals(p, a.D, a.T, a.windows)
        shooting_objective!(reals(a.J, a.windows), reals_or_nothing(a.gradient, a.D, length(nodes(a.T, a.every)), a.windows),
                            at(a.x), at(a.y), at(a.precision), reals(a.background, a.D, a.windows), scheme_of(a), m,
                            shooting_cost(a), model_weights([a.model_weight], a)[1], points_of(a, m))
        return nothing
    end
end

function c_strong_objective(a)
    with_model(a) do m
        (D, windows) = (a.D, a.windows)
        problem = StrongConstraint(
            m, scheme_of(a), a.h, a.lead, 0, 0, 0.0, reals(a.background, D), reals(a.b_inverse, D, D), ones(D),
            reals(a.y, D, a.T, windows), reals(a.precision, D, a.T, windows), reals(a.control, D, 1, windows), points_of(a, m),
        )
        strong_objective!(reals(a.J, windows), reals(a.gradient, D, windows), problem)
        return nothing
    end
end
