# Entry points of the methods, by the rules of boundary.jl.

# --- cost/point_observations.jl --------------------------------------------------------------------

function c_observed(model, p, D, T, windows, scheme, h, x, out, count, step, fraction, value, weight, operator, message, capacity)
    guarded(message, capacity, refusal(model, scheme)) do
        points = points_at_address(Float64, D, windows, count, step, fraction, value, weight, operator)
        observed!(array_at(out, Float64, count, windows), array_at(x, Float64, D, T, windows), points,
                  scheme_of(scheme), model_of(model, p, D), h)
    end
end

address(::Val{:observed}) = @cfunction(c_observed, Cint, (Int64, Ptr{Float64}, Int64, Int64, Int64, Int64, Float64, Ptr{Float64}, Ptr{Float64}, Int64, Ptr{Int64}, Ptr{Cvoid}, Ptr{Cvoid}, Ptr{Cvoid}, Ptr{Cvoid}, Ptr{UInt8}, Int64))

# --- methods/weak_constraint.jl --------------------------------------------------------------------

# What Python calls; `stdev` may be null.
function c_weak_constraint(model, p, D, T, windows, scheme, h, substeps, every, x, stdev, result, y, mask,
                           divisor, background, precision, weights, stages, iterations, tolerance, drop,
                           give_up_stage, give_up_cost, count, step, fraction, value, weight, operator, message, capacity)
    guarded(message, capacity, refusal(model, scheme)) do
        B⁻¹ = copy(array_at(precision, Float64, D, D))
        sd = stdev == C_NULL ? nothing : array_at(stdev, Float64, D, T, windows)
        weak_constraint!(array_at(x, Float64, D, T, windows), sd, array_at(result, Float64, 4, windows),
                         array_at(y, Float64, D, T, windows), array_at(mask, Float64, D, T, windows),
                         array_at(divisor, Float64, windows), array_at(background, Float64, D, windows),
                         scheme_of(scheme), model_of(model, p, D),
                         ShootingCost(every, substeps, h / substeps, B⁻¹), array_at(weights, Float64, stages),
                         Stopping(iterations, tolerance, drop, give_up_stage, array_at(give_up_cost, Float64, windows)),
                         points_at_address(Float64, D, windows, count, step, fraction, value, weight, operator))
    end
end

address(::Val{:weak_constraint}) = @cfunction(c_weak_constraint, Cint, (Int64, Ptr{Float64}, Int64, Int64, Int64, Int64, Float64, Int64, Int64, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Int64, Int64, Float64, Float64, Int64, Ptr{Float64}, Int64, Ptr{Int64}, Ptr{Cvoid}, Ptr{Cvoid}, Ptr{Cvoid}, Ptr{Cvoid}, Ptr{UInt8}, Int64))

# --- methods/strong_constraint.jl ------------------------------------------------------------------

function c_strong_constraint(model, p, D, estimated, T, windows, scheme, h, y, precision, starts, count, b, B⁻¹, metric, lead, growth,
                             iterations, tolerance, x, H, info, n, step, fraction, value, weight, operator, message, capacity)
    guarded(message, capacity, refusal(model, scheme)) do
        problem = StrongConstraint(
            control_model(model, p, D, estimated), scheme_of(scheme), h, Int(lead), Int(growth), Int(iterations), tolerance,
            array_at(b, Float64, D), array_at(B⁻¹, Float64, D, D), array_at(metric, Float64, D), array_at(y, Float64, D, T, windows),
            array_at(precision, Float64, D, T, windows), array_at(starts, Float64, D, count, windows),
            points_at_address(Float64, D, windows, n, step, fraction, value, weight, operator),
        )
        strong_constraint!(array_at(x, Float64, D, count, windows), array_at(H, Float64, D, D, count, windows),
                           array_at(info, Float64, 4, count, windows), problem)
    end
end

function c_trajectories(model, p, D, estimated, T, windows, scheme, h, x₀, H, lead, x, stdev, message, capacity)
    guarded(message, capacity, refusal(model, scheme)) do
        trajectories!(array_at(x, Float64, D, T, windows), array_at(stdev, Float64, D, T, windows),
                      array_at(x₀, Float64, D, windows), array_at(H, Float64, D, D, windows),
                      scheme_of(scheme), control_model(model, p, D, estimated), h, lead)
    end
end

# `what` as for c_step; x, v, out: state and parameters.
function c_step_with_parameters(model, p, D, estimated, n, scheme, h, what, x, v, out, message, capacity)
    guarded(message, capacity, refusal(model, scheme)) do
        linearised_steps!(array_at(out, Float64, D, n), array_at(x, Float64, D, n), array_at(v, Float64, D, n),
                          scheme_of(scheme), control_model(model, p, D, estimated), h, what)
    end
end

address(::Val{:step_with_parameters}) = @cfunction(c_step_with_parameters, Cint, (Int64, Ptr{Float64}, Int64, Int64, Int64, Int64, Float64, Int64, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Ptr{UInt8}, Int64))
address(::Val{:strong_constraint}) = @cfunction(c_strong_constraint, Cint, (Int64, Ptr{Float64}, Int64, Int64, Int64, Int64, Int64, Float64, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Int64, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Int64, Int64, Int64, Float64, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Int64, Ptr{Int64}, Ptr{Cvoid}, Ptr{Cvoid}, Ptr{Cvoid}, Ptr{Cvoid}, Ptr{UInt8}, Int64))
address(::Val{:trajectories}) = @cfunction(c_trajectories, Cint, (Int64, Ptr{Float64}, Int64, Int64, Int64, Int64, Int64, Float64, Ptr{Float64}, Ptr{Float64}, Int64, Ptr{Float64}, Ptr{Float64}, Ptr{UInt8}, Int64))

# --- methods/ensemble_smoother.jl ------------------------------------------------------------------

function c_ensemble_smoother(model, p, D, T, windows, scheme, h, y, precision, members, N, inflation,
                             lag, depth, iterations, reflections, columns, count, mean, spread,
                             message, capacity)
    guarded(message, capacity, refusal(model, scheme)) do
        sd = spread == C_NULL ? nothing : array_at(spread, Float64, D, T, windows)
        ensemble_smoother!(array_at(mean, Float64, D, T, windows), sd, array_at(y, Float64, D, T, windows),
                           array_at(precision, Float64, D, T, windows), array_at(members, Float64, D, N),
                           scheme_of(scheme), model_of(model, p, D), h; inflation = inflation,
                           lag = lag, depth = depth, iterations = iterations,
                           reflections = array_at(reflections, Float64, N, columns, count))
    end
end

address(::Val{:ensemble_smoother}) = @cfunction(c_ensemble_smoother, Cint, (Int64, Ptr{Float64}, Int64, Int64, Int64, Int64, Float64, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Int64, Float64, Int64, Int64, Int64, Ptr{Float64}, Int64, Int64, Ptr{Float64}, Ptr{Float64}, Ptr{UInt8}, Int64))

# --- methods/posterior_mean.jl ---------------------------------------------------------------------

function c_posterior_mean(model, p, D, T, windows, scheme, h, y, precision, states, length_, trajectories, lead,
                          signs, noise, draws, enough, spread, mean, stdev, info, message, capacity)
    guarded(message, capacity, refusal_of_large(model, scheme)) do
        posterior_mean!(array_at(mean, Float64, D, T, windows), array_at(stdev, Float64, D, T, windows),
                        array_at(info, Float64, 3, windows), array_at(y, Float64, D, T, windows),
                        array_at(precision, Float64, D, T, windows),
                        library_at(states, D, length_, trajectories, lead, signs),
                        array_at(noise, Float64, D, draws), scheme_of(scheme), model_of(model, p, D), h,
                        enough, array_at(spread, Float64, D))
    end
end

function c_best_starts(D, T, windows, y, precision, states, length_, trajectories, lead, signs, apart, count,
                       starts, message, capacity)
    guarded(message, capacity) do
        best_starts!(array_at(starts, Float64, D, count, windows), array_at(y, Float64, D, T, windows),
                     array_at(precision, Float64, D, T, windows),
                     library_at(states, D, length_, trajectories, lead, signs), array_at(apart, Float64, D))
    end
end

refusal_of_large(model, scheme) =
    model == 63 ? refusal(model, scheme) : "a library is of use for low-dimensional models only"

address(::Val{:posterior_mean}) = @cfunction(c_posterior_mean, Cint, (Int64, Ptr{Float64}, Int64, Int64, Int64, Int64, Float64, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Int64, Int64, Int64, Ptr{Float64}, Ptr{Float64}, Int64, Float64, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Ptr{UInt8}, Int64))
address(::Val{:best_starts}) = @cfunction(c_best_starts, Cint, (Int64, Int64, Int64, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Int64, Int64, Int64, Ptr{Float64}, Ptr{Float64}, Int64, Ptr{Float64}, Ptr{UInt8}, Int64))

# --- cost/objectives.jl ----------------------------------------------------------------------------

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
