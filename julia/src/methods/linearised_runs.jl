# Runs of a model over a window, and the tangent linear and adjoint of such a run applied to a vector: what
# 4D-Var needs of a model whose Jacobian is too large to be a matrix.
#
# Windows are independent and run on all threads. With one window each step may keep a workspace of its own
# from one call to the next, so that a model that remembers what it was linearised about, such as a
# QuasiGeostrophic, does so once for all products with the same trajectory. The steps beyond those share the last
# workspace and are linearised again in each call.

"""
    run!(x, scheme, m, h)

The trajectories from x[:, 1, :], (state, time, window). What x holds at the later times is a forcing that is
added to the states there.
"""
run!(x, scheme, m, h) = over_windows!(step_forward!, x, x, scheme, m, h, nothing)

"    tangent_run!(δ, x, scheme, m, h): the tangent linear of `run!` about the trajectories x, applied to δ"
tangent_run!(δ, x, scheme, m, h; kept = 1) = over_windows!(step_tangent_forward!, δ, x, scheme, m, h, kept)

"""
    adjoint_run!(v, x, scheme, m, h)

The adjoint about the trajectories x: v holds the gradient with respect to the state of each time, and
becomes that with respect to all that follows; v[:, 1, :] is the gradient with respect to the first state, and
v[:, t, :] that with respect to the forcing of time t.
"""
adjoint_run!(v, x, scheme, m, h; kept = 1) = over_windows!(step_adjoint_backward!, v, x, scheme, m, h, kept)

function over_windows!(step_of_run!::F, v, x, scheme, m, h, kept) where {F}
    (steps, windows) = (size(x, 2) - 1, size(x, 3))
    threads = threads_for(windows, length(v))
    rooms = run_rooms(m, threads, windows == 1 ? steps : 1, kept)
    rooms = collect(zip(rooms, run_states(m, threads)))
    times = F === typeof(step_adjoint_backward!) ? (steps:-1:1) : (1:steps)
    each_window(rooms, windows) do (room, states), w
        for t in times
            step_of_run!(view(v, :, :, w), view(x, :, :, w), room[min(t, length(room))], states, scheme, m, h, t)
        end
    end
    return v
end

"Vectors for the states of a step, for each thread, which are kept, so that a run leaves nothing to collect."
run_states(::SmallModel, threads) = fill(nothing, threads)
function run_states(m::ArrayModel, threads)
    states = workspace(() -> [states_of_step(m)], (:run_states, m))
    while length(states) < threads
        push!(states, states_of_step(m))
    end
    return states[1:threads]
end
states_of_step(m) = (zeros(length(m)), zeros(length(m)), zeros(length(m)))

"""
The workspaces of the steps, for each thread. Those of one window are kept, at most `kept` of them: as many as an
earlier call made, or more where this one has more steps. With `nothing` for the number, a run uses the existing ones.
"""
run_rooms(::SmallModel, threads, _, _) = fill([nothing], threads)
function run_rooms(m::ArrayModel, threads, steps, kept)
    rooms = known_rooms(m)
    while length(rooms) < threads
        push!(rooms, [step_workspace(Float64, m)])
    end
    first = rooms[1]
    if kept !== nothing
        length(first) > max(1, kept) && resize!(first, max(1, kept))
        while length(first) < min(steps, kept)
            push!(first, step_workspace(Float64, m))
        end
    end
    return threads == 1 ? rooms[1:1] : [[room[1]] for room in rooms[1:threads]]
end

known_rooms(m::ArrayModel) = run_memory(m).rooms

"The workspaces that are kept, and the bytes of one, measured only once since measuring traverses all of it."
run_memory(m::ArrayModel) = workspace((:run_rooms, m)) do
    room = step_workspace(Float64, m)
    (rooms = [[room]], bytes = Base.summarysize(room))
end

function step_forward!(_, x, ws, (at,), scheme, m::ArrayModel, h, t)
    at .= view(x, :, t)
    view(x, :, t + 1) .+= step!(ws, scheme, m, at, h)
end
function step_tangent_forward!(δ, x, ws, (at, before, after), scheme, m::ArrayModel, h, t)
    at .= view(x, :, t)
    before .= view(δ, :, t)
    stages!(ws, scheme, m, at, h)
    view(δ, :, t + 1) .+= step_tangent!(after, ws, scheme, m, at, before, h)
end
function step_adjoint_backward!(v, x, ws, (at, after), scheme, m::ArrayModel, h, t)
    at .= view(x, :, t)
    after .= view(v, :, t + 1)
    stages!(ws, scheme, m, at, h)
    view(v, :, t) .+= step_adjoint!(ws, scheme, m, at, after, h)
end
"The stages that a linearised step needs: those of the schemes; a model with its own step has them itself."
stages!(ws, scheme, m, x, h) = has_own_step(m) || step!(ws, scheme, m, x, h)

function step_forward!(_, x, _, _, scheme, m::SmallModel, h, t)
    x[:, t+1] .+= first(step(scheme, m, tuple_of(view(x, :, t), size_of(m)), h))
end
function step_tangent_forward!(δ, x, _, _, scheme, m::SmallModel, h, t)
    (_, stages) = step(scheme, m, tuple_of(view(x, :, t), size_of(m)), h)
    δ[:, t+1] .+= step_tangent(scheme, m, stages, tuple_of(view(δ, :, t), size_of(m)), h)
end
function step_adjoint_backward!(v, x, _, _, scheme, m::SmallModel, h, t)
    (_, stages) = step(scheme, m, tuple_of(view(x, :, t), size_of(m)), h)
    v[:, t] .+= step_adjoint(scheme, m, stages, tuple_of(view(v, :, t+1), size_of(m)), h)
end

"    workspace_bytes(m) -> the bytes of a kept workspace of a step"
workspace_bytes(::SmallModel) = 0
workspace_bytes(m::ArrayModel) = run_memory(m).bytes
