# Entry points of the methods, which follow the rules of boundary.jl.

# --- cost/point_observations.jl --------------------------------------------------------------------

function c_observed(handle, values, fields, D, T, windows, scheme, h, x, out, count, terms, step, fraction, value, weight, index, coefficient, message, capacity)
    with_model(message, capacity, (handle, values, fields, D), refusal(; scheme = scheme, T = T, windows = windows, count = count, terms = terms);
               h = h, data = (Float64, D, T, windows, count, terms, step, fraction, index)) do m, D
        points = points_at_address(Float64, m, windows, count, terms, step, fraction, value, weight, index, coefficient)
        observed!(array_at(out, Float64, count, windows), array_at(x, Float64, D, T, windows), points,
                  scheme_of(scheme), m, h)
    end
end

# --- methods/linearised_runs.jl --------------------------------------------------------------------

function c_linearised_run(handle, values, fields, D, T, windows, scheme, h, what, memory, x, v, message, capacity)
    with_model(message, capacity, (handle, values, fields, D), refusal(; scheme = scheme, T = T, windows = windows, memory = memory); h = h) do m, D
        (x, v) = (array_at(x, Float64, D, T, windows), array_at(v, Float64, D, T, windows))
        what == 0 && return run!(x, scheme_of(scheme), m, h)
        kept = memory == 0 ? 1 : memory ÷ max(1, workspace_bytes(m))
        (what == 1 ? tangent_run! : adjoint_run!)(v, x, scheme_of(scheme), m, h; kept = kept)
    end
end

# --- methods/weak_constraint.jl --------------------------------------------------------------------

# `stdev` and `model_precision` may be null.
function c_weak_constraint(handle, values, fields, D, T, windows, scheme, h, substeps, every, x, stdev, result, y, mask,
                           divisor, background, precision, model_precision, weights, stages, iterations, tolerance, drop,
                           give_up_stage, give_up_cost, count, terms, step, fraction, value, weight, index, coefficient, message, capacity)
    with_model(message, capacity, (handle, values, fields, D), refusal(; scheme = scheme, T = T, windows = windows, substeps = substeps, every = every, stages = stages, count = count, terms = terms);
               h = h, substeps = substeps, data = (Float64, D, T, windows, count, terms, step, fraction, index)) do m, D
        B⁻¹ = copy(array_at(precision, Float64, D, D))
        sd = stdev == C_NULL ? nothing : array_at(stdev, Float64, D, T, windows)
        weak_constraint!(array_at(x, Float64, D, T, windows), sd, array_at(result, Float64, 4, windows),
                         array_at(y, Float64, D, T, windows), array_at(mask, Float64, D, T, windows),
                         array_at(divisor, Float64, windows), array_at(background, Float64, D, windows),
                         scheme_of(scheme), m,
                         ShootingCost(every, substeps, h / substeps, B⁻¹),
                         model_weights(array_at(weights, Float64, stages), model_precision, D),
                         Stopping(iterations, tolerance, drop, give_up_stage, array_at(give_up_cost, Float64, windows)),
                         points_at_address(Float64, m, windows, count, terms, step, fraction, value, weight, index, coefficient))
    end
end

"The weights of the stages: numbers or, if a matrix Q⁻¹ is given, its multiples."
model_weights(w, model_precision, D) =
    model_precision == C_NULL ? w : [wᵢ * array_at(model_precision, Float64, D, D) for wᵢ in w]

# --- methods/strong_constraint.jl ------------------------------------------------------------------

function c_strong_constraint(handle, values, fields, D, estimated, T, windows, scheme, h, y, precision, starts, start_count, b, B⁻¹, metric, lead, growth,
                             iterations, tolerance, x, H, info, count, terms, step, fraction, value, weight, index, coefficient, message, capacity)
    with_model(message, capacity, (handle, values, fields, D), refusal(; scheme = scheme, T = T, windows = windows, estimated = estimated, start_count = start_count, lead = lead, count = count, terms = terms);
               h = h, estimated = estimated, data = (Float64, D, T, windows, count, terms, step, fraction, index)) do m, D
        problem = StrongConstraint(
            m, scheme_of(scheme), h, Int(lead), Int(growth), Int(iterations), tolerance,
            array_at(b, Float64, D), array_at(B⁻¹, Float64, D, D), array_at(metric, Float64, D), array_at(y, Float64, D, T, windows),
            array_at(precision, Float64, D, T, windows), array_at(starts, Float64, D, start_count, windows),
            points_at_address(Float64, m, windows, count, terms, step, fraction, value, weight, index, coefficient),
        )
        strong_constraint!(array_at(x, Float64, D, start_count, windows), array_at(H, Float64, D, D, start_count, windows),
                           array_at(info, Float64, 4, start_count, windows), problem)
    end
end

function c_trajectories(handle, values, fields, D, estimated, T, windows, scheme, h, x₀, H, lead, x, stdev, message, capacity)
    with_model(message, capacity, (handle, values, fields, D), refusal(; scheme = scheme, T = T, windows = windows, estimated = estimated, lead = lead);
               h = h, estimated = estimated) do m, D
        trajectories!(array_at(x, Float64, D, T, windows), array_at(stdev, Float64, D, T, windows),
                      array_at(x₀, Float64, D, windows), array_at(H, Float64, D, D, windows),
                      scheme_of(scheme), m, h, lead)
    end
end

# --- methods/ensemble_smoother.jl ------------------------------------------------------------------

function c_ensemble_smoother(handle, values, fields, D, T, windows, scheme, h, y, precision, members, N, inflation,
                             lag, depth, iterations, reflections, columns, reflection_count, noise, mean, spread, final,
                             h_handle, channels, channel_value, channel_weight,
                             count, terms, step, fraction, value, weight, index, coefficient, message, capacity)
    refused = refusal(; scheme = scheme, T = T, windows = windows, N = N, columns = columns, reflection_count = reflection_count, count = count, terms = terms)
    refused === nothing && (refused = function_refusal(h_handle, channels))
    with_model(message, capacity, (handle, values, fields, D), refused;
               h = h, data = (Float64, D, T, windows, count, terms, step, fraction, index)) do m, D
        sd = spread == C_NULL ? nothing : array_at(spread, Float64, D, T, windows)
        data = channels > 0 ? function_data(h_handle, D, channels, T, windows, channel_value, channel_weight) :
               points_at_address(Float64, m, windows, count, terms, step, fraction, value, weight, index, coefficient)
        ensemble_smoother!(array_at(mean, Float64, D, T, windows), sd, array_at(y, Float64, D, T, windows),
                           array_at(precision, Float64, D, T, windows), array_at(members, Float64, D, N),
                           scheme_of(scheme), m, h; inflation = inflation,
                           lag = lag, depth = depth, iterations = iterations,
                           reflections = array_at(reflections, Float64, N, columns, reflection_count),
                           noise = noise == C_NULL ? nothing : array_at(noise, Float64, N, D, T - 1),
                           final = final == C_NULL ? nothing : array_at(final, Float64, D, N, windows),
                           points = data)
    end
end

# --- methods/letkf.jl ------------------------------------------------------------------------------

# Offsets and indices count from 0; `rotation` may be null.
function c_local_analyses(D, N, ensemble_count, ensembles, data, S, d, dims, place, centre_count, centre_place, period, first,
                          entries, component, coefficient, colour_count, colours, inflation, adaptive, rotation, message, capacity)
    guarded(message, capacity, refusal(; D = D, N = N, ensemble_count = ensemble_count, data = data, dims = dims,
                                       centre_count = centre_count, entries = entries, colour_count = colour_count)) do
        N >= 2 || return "the ensemble has $N members, expected at least 2"
        adaptive != 0 || inflation > 0 || return "the inflation is $inflation, expected a positive number"
        centres = LocalCentres(array_at(centre_place, Float64, dims, centre_count), array_at(period, Float64, dims),
                               array_at(first, Int64, centre_count + 1) .+ 1, array_at(component, Int64, entries) .+ 1,
                               array_at(coefficient, Float64, entries), array_at(colours, Int64, colour_count + 1))
        refused = centres_refusal(centres, D, centre_count, entries)
        refused === nothing || return refused
        members = [array_at(p, Float64, D, N) for p in array_at(ensembles, Ptr{Cvoid}, ensemble_count)]
        local_analyses!(members, array_at(S, Float64, N, data), array_at(d, Float64, data), array_at(place, Float64, dims, data),
                        centres; inflation = inflation, adaptive = adaptive != 0,
                        rotation = rotation == C_NULL ? nothing : array_at(rotation, Float64, N, N))
        return nothing
    end
end

function centres_refusal(centres::LocalCentres, D, centre_count, entries)
    rises(v, from, to) = first(v) == from && last(v) == to && issorted(v)
    rises(centres.first, 1, entries + 1) || return "the entries of the centres are not those of $entries components"
    rises(centres.colours, 0, centre_count) || return "the colours are not those of $centre_count centres"
    all(i -> 1 <= i <= D, centres.component) || return "a centre has a component outside the $D of the state"
    return nothing
end

# --- methods/posterior_mean.jl ---------------------------------------------------------------------

function c_posterior_mean(handle, values, fields, D, T, windows, scheme, h, y, precision, states, length_, trajectories, lead,
                          signs, noise, draws, enough, spread, mean, stdev, info, message, capacity)
    with_model(message, capacity, (handle, values, fields, D), refusal(; scheme = scheme, T = T, windows = windows, length = length_, trajectories = trajectories, lead = lead, draws = draws, steps = (length_, lead + T));
               h = h) do m, D
        posterior_mean!(array_at(mean, Float64, D, T, windows), array_at(stdev, Float64, D, T, windows),
                        array_at(info, Float64, 3, windows), array_at(y, Float64, D, T, windows),
                        array_at(precision, Float64, D, T, windows),
                        library_at(states, D, length_, trajectories, lead, signs),
                        array_at(noise, Float64, D, draws), scheme_of(scheme), m, h,
                        enough, array_at(spread, Float64, D))
    end
end

function c_best_starts(D, T, windows, y, precision, states, length_, trajectories, lead, signs, apart, count,
                       starts, message, capacity)
    guarded(message, capacity, refusal(; D = D, T = T, windows = windows, trajectories = trajectories, length = length_, lead = lead, count = count, steps = (length_, lead + T))) do
        best_starts!(array_at(starts, Float64, D, count, windows), array_at(y, Float64, D, T, windows),
                     array_at(precision, Float64, D, T, windows),
                     library_at(states, D, length_, trajectories, lead, signs), array_at(apart, Float64, D))
    end
end

# --- cost/objectives.jl ----------------------------------------------------------------------------

# `gradient` may be null.
function c_shooting_objective(handle, values, fields, D, T, windows, scheme, h, substeps, every, x, J, gradient, y, precision, background,
                              B⁻¹, w, model_precision, count, terms, step, fraction, value, weight, index, coefficient, message, capacity)
    with_model(message, capacity, (handle, values, fields, D), refusal(; scheme = scheme, T = T, windows = windows, substeps = substeps, every = every, count = count, terms = terms);
               h = h, substeps = substeps, data = (Float64, D, T, windows, count, terms, step, fraction, index)) do m, D
        g = gradient == C_NULL ? nothing : array_at(gradient, Float64, D, length(nodes(T, every)), windows)
        shooting_objective!(array_at(J, Float64, windows), g, array_at(x, Float64, D, T, windows),
                            array_at(y, Float64, D, T, windows), array_at(precision, Float64, D, T, windows),
                            array_at(background, Float64, D, windows), scheme_of(scheme), m,
                            ShootingCost(every, substeps, h / substeps, copy(array_at(B⁻¹, Float64, D, D))), model_weights([w], model_precision, D)[1],
                            points_at_address(Float64, m, windows, count, terms, step, fraction, value, weight, index, coefficient))
    end
end

function c_strong_objective(handle, values, fields, D, T, windows, scheme, h, lead, x, J, gradient, y, precision, background, B⁻¹,
                            count, terms, step, fraction, value, weight, index, coefficient, message, capacity)
    with_model(message, capacity, (handle, values, fields, D), refusal(; scheme = scheme, T = T, windows = windows, lead = lead, count = count, terms = terms);
               h = h, data = (Float64, D, T, windows, count, terms, step, fraction, index)) do m, D
        problem = StrongConstraint(
            m, scheme_of(scheme), h, Int(lead), 0, 0, 0.0, array_at(background, Float64, D),
            array_at(B⁻¹, Float64, D, D), ones(D), array_at(y, Float64, D, T, windows),
            array_at(precision, Float64, D, T, windows), array_at(x, Float64, D, 1, windows),
            points_at_address(Float64, m, windows, count, terms, step, fraction, value, weight, index, coefficient),
        )
        strong_objective!(array_at(J, Float64, windows), array_at(gradient, Float64, D, windows), problem)
    end
end

