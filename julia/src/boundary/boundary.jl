# The functions that Python calls. Three rules:
#   1. Only C numbers and pointers cross: sizes, doubles, and arrays that the caller owns. A model is a
#      handle that `register` returned, with the values of its fields.
#   2. No exception crosses: a call returns 0, or another status and one line in the caller's message
#      buffer. Foreseeable errors are reported by a sentence without raising an exception, because
#      where exceptions do not work (boundary/exceptions.jl) one would end the process.
#   3. Handles, counts and sizes are checked here; the caller has checked the arrays behind the pointers.
# Arrays are C-ordered (window, time, state), which is (state, time, window) here. boundary/signatures.txt
# has the arguments of each entry point.

scheme_of(id) = id == 1 ? Euler() : RungeKutta4()
type_of(bytes) = bytes == 8 ? Float64 : Float32
array_at(p, ::Type{T}, dims...) where {T} = unsafe_wrap(Array, Ptr{T}(p), Int.(dims))

"The Points of cost/point_observations.jl from `(datum, window)` arrays with `count` data; nothing if it is 0."
function points_at_address(::Type{S}, m, windows, count, terms, step, fraction, y, weight, index, coefficient) where {S}
    count == 0 && return nothing
    rows = SparseRows{S}(array_at(index, Int64, terms, count, windows), array_at(coefficient, S, terms, count, windows), length(m))
    return Points{S}(array_at(step, Int64, count, windows), array_at(fraction, S, count, windows),
                     array_at(y, S, count, windows), array_at(weight, S, count, windows), rows, m isa SmallModel)
end

"""
    refusal(; scheme, bytes, steps, counts...) -> what is wrong with these numbers, or nothing

`steps` are those of a library's trajectories, and how many a window and the time before it have.
"""
function refusal(; scheme = 4, bytes = 8, steps = (0, 0), counts...)
    scheme in (1, 4) || return "unknown scheme number $scheme"
    bytes in (4, 8) || return "numbers have $bytes bytes, expected 4 or 8"
    for (name, n) in counts
        least = name in (:T, :substeps, :every) ? 1 : 0
        least <= n < 1 << 40 || return "$name is $n, expected at least $least"
    end
    steps[1] >= steps[2] || return "the trajectories have $(steps[1]) steps, expected at least $(steps[2]), a window's and those before it"
    return nothing
end

const DONE, REFUSED, FAILED = Cint(0), Cint(1), Cint(2)

"""
    guarded(f, message, capacity, refused = nothing, file = "") -> a status, and a message

Run `f`, unless `refused` gives a reason not to. Write that reason, the sentence that `f` returned, or the
message of an exception into the buffer. `file` is the file of the model.

What depends on the methods of models is called by `invokelatest` here and in `with_model`: a user's file adds
methods, and what the compiler has concluded from those before would be compiled again.
"""
function guarded(f, message, capacity, refused = nothing, file = "")
    status = REFUSED
    if refused === nothing
        try
            found = f()
            found isa String || return DONE
            refused = found
        catch e
            (status, refused) = (FAILED, Base.invokelatest(located, e, catch_backtrace(), file))
        end
    end
    put_text!(message, capacity, refused)
    return status
end

"    located(e, backtrace, file) -> the message of an exception, preceded by the file and line if known"
function located(e, backtrace, file)
    isempty(file) && return message_of(e)
    (line, said) = (line_of(backtrace, file, 0), message_of(e))
    line == 0 && (line = line_of_function(file, said))
    return "$(basename(file))$(line > 0 ? ":$line" : ""): $said"
end

"""
    line_of_function(file, said) -> the first line of the function that fails with this message, or 0

For a backtrace that ends before it reaches the file (exceptions.jl): the functions of the model with its
default values are called one after the other.
"""
function line_of_function(file, said)
    known = findlast(r -> r.file == file, REGISTERED)
    known === nothing && return 0
    W = REGISTERED[known].type
    for call in (Any[W], Any[variables, concrete(W)], Any[time_step, concrete(W)])
        line = line_if_it_fails(file, said, call...)
        line > 0 && return line
    end
    m = default_model(known)
    m === nothing && return 0
    for call in calls_of(m)
        line = line_if_it_fails(file, said, call...)
        line > 0 && return line
    end
    return 0
end

function line_if_it_fails(file, said, f, arguments...)
    try
        hasmethod(f, Tuple{map(Core.Typeof, arguments)...}) && f(arguments...)
        return 0
    catch e
        method = which(f, Tuple{map(Core.Typeof, arguments)...})
        return message_of(e) == said && String(method.file) == file ? Int(method.line) : 0
    end
end

"    calls_of(m) -> a function and its arguments, of each that a model's file may give"
function calls_of(m::SmallModel)
    x = ntuple(_ -> 0.1, size_of(m))
    θ = parameters(m)
    return [(spinup, m), (start, m, MersenneTwister(0)), (tendency, m, x), (tangent_linear, m, x, x), (adjoint, m, x, x),
            (parameter_tangent, m, x, θ), (parameter_adjoint, m, x, x)]
end
function calls_of(m::LargeModel)
    first = Any[(dimensions, m), (spinup, m), (land, m), (start, m, MersenneTwister(0)), (each_place, identity, m)]
    works(() -> each_place(identity, m)) || return first
    (x, θ, places) = (fill(0.1, length(m)), parameters(m), Any[])
    each_place(s -> any(p -> p isa typeof(s), places) || push!(places, s), m)
    return append!(first, [c for s in places for c in ((tendency, m, x, s), (tangent_linear, m, x, x, s), (adjoint, m, x, x, s),
                                                       (parameter_tangent, m, x, θ, s))], [(parameter_adjoint, m, x, x)])
end
function calls_of(m::VectorModel)
    first = Any[(dimensions, m), (spinup, m), (land, m), (start, m, MersenneTwister(0)), (workspace, Float64, m)]
    works(() -> (dimensions(m), workspace(Float64, m))) || return first
    (x, y, z, w) = (ntuple(_ -> fill(0.1, array_shape(m)), 3)..., workspace(Float64, m))
    return append!(first, [(tendency!, z, m, x, w), (step!, z, m, x, w), (tangent_linear!, z, m, x, y, w), (adjoint!, z, m, x, y, w),
                           (parameter_tangent!, z, m, x, parameters(m), w), (parameter_adjoint!, m, x, y, w)])
end

"    put_text!(buffer, capacity, text): write as many whole characters as fit, and a terminating zero"
function put_text!(buffer, capacity, text)
    bytes = codeunits(text)
    n = min(length(bytes), capacity - 1)
    while 0 < n < length(bytes) && bytes[n+1] & 0xc0 == 0x80
        n -= 1
    end
    for i in 1:n
        unsafe_store!(buffer, bytes[i], i)
    end
    unsafe_store!(buffer, 0x00, n + 1)
    return n
end

"""
    with_model(f, message, capacity, model, refused = nothing; ...) -> a status, and a message

Run `f(m, D)` with the model of `(handle, values, fields, D)`. If `estimated` is positive, it is the number
of parameters, which are then part of the state. `h` and `substeps` are the requested step, `data` the
arguments of `data_refusal`.
"""
function with_model(f, message, capacity, (handle, p, n, D), refused = nothing; estimated = 0, h = nothing, substeps = 1, data = nothing)
    refused === nothing && (refused = handle_refusal(handle, p, n))
    return guarded(message, capacity, refused, file_of(handle)) do
        Base.invokelatest(run_with, f, model_at(handle, p), Int(D), Int(estimated), h, substeps, data)
    end
end

function run_with(f, m, D, estimated, h, substeps, data)
    refused = size_refusal(m, D - estimated)
    refused === nothing && (refused = parameter_refusal(m, estimated))
    refused === nothing && (refused = step_refusal(m, h, substeps))
    refused === nothing && data !== nothing && (refused = data_refusal(m, data...))
    refused === nothing || return refused
    return f(estimated == 0 ? m : WithParameters(m), D)
end

file_of(handle) = 1 <= handle <= length(REGISTERED) ? REGISTERED[handle].file : ""

function parameter_refusal(m, estimated)
    estimated == 0 && return nothing
    name = nameof(typeof(m))
    estimated == length(parameters(m)) || return "$name has $(length(parameters(m))) parameters, found $estimated"
    knows_parameters(m) || return "write parameter_tangent!(dy, m::$name, x, dθ, work) and parameter_adjoint!(m::$name, x, ybar, work) to estimate parameters of $name"
    return nothing
end

# A model with its own scheme has one step, without fractions or substeps.
function step_refusal(m, h, substeps)
    has_own_step(m) && h !== nothing || return nothing
    name = nameof(typeof(m))
    (h, wanted) = (Float64(h), Float64(time_step(m)))
    substeps == 1 && abs(h - wanted) <= 1e-9 * abs(wanted) || return "$name has its own scheme with the step $wanted, found $(h / substeps)"
    return nothing
end

"Data at arbitrary times have to lie in the window, and to be of components of the state."
function data_refusal(m, ::Type{S}, D, T, windows, count, terms, step, fraction, index) where {S}
    count == 0 && return nothing
    terms >= 1 || return "data have $terms terms, expected at least 1"
    all(i -> 0 <= i < D, array_at(index, Int64, terms, count, windows)) || return "data are of components outside the $D of the state"
    all(t -> 0 <= t < T, array_at(step, Int64, count, windows)) || return "data lie outside the $T steps of a window"
    all(θ -> 0 <= θ <= 1, array_at(fraction, S, count, windows)) || return "the fractions of a step at which data lie are not all from 0 to 1"
    return nothing
end

# --- models -----------------------------------------------------------------------------------------

function c_register(source, source_bytes, file, file_bytes, type, type_bytes, handle, message, capacity)
    guarded(message, capacity, refusal(; source_bytes = source_bytes, file_bytes = file_bytes, type_bytes = type_bytes)) do
        found = register(text_at(source, source_bytes), text_at(file, file_bytes), text_at(type, type_bytes))
        found isa String && return found
        unsafe_store!(handle, found)
        return nothing
    end
end
text_at(p, bytes) = bytes == 0 ? "" : unsafe_string(p, bytes)

# `values` may be null for the default values of the fields.
function c_describe(handle, values, fields, text, text_bytes, message, capacity)
    known = 1 <= handle <= length(REGISTERED)
    refused = known && values == C_NULL ? nothing : handle_refusal(handle, values, fields)
    guarded(message, capacity, refused, file_of(handle)) do
        m = values == C_NULL ? default_model(handle) : model_at(handle, values)
        refused = m === nothing ? nothing : something(size_refusal(m, length(m)), value_refusal(m), Some(nothing))
        refused === nothing || return "$(isempty(file_of(handle)) ? "" : basename(file_of(handle)) * ": ")$refused"
        found = description(handle, m)
        put_text!(text, text_bytes, found) == ncodeunits(found) || return "the description of the model is longer than $text_bytes bytes"
        return nothing
    end
end

# States from the model's own `start`.
function c_starts(handle, values, fields, D, count, seed, states, message, capacity)
    with_model(message, capacity, (handle, values, fields, D), refusal(; count = count, seed = seed)) do m, D
        gives(start, wrapper(typeof(m)), 1, 2) || return "write start(m::$(nameof(typeof(m))), rng), a state to start from"
        rng = MersenneTwister(seed)
        found = array_at(states, Float64, D, count)
        for k in 1:count
            x = start(m, rng)
            length(x) == D || return "start(m::$(nameof(typeof(m))), rng) has $(length(x)) components, expected $D"
            found[:, k] .= vec(collect(x))
        end
        return nothing
    end
end

function c_mask(handle, values, fields, D, land_, message, capacity)
    with_model(message, capacity, (handle, values, fields, D)) do m, D
        found = land(m)
        found === nothing && return "write land(m::$(nameof(typeof(m)))), a mask that is true on land"
        length(found) == D || return "land(m::$(nameof(typeof(m)))) has $(length(found)) components, expected $D"
        array_at(land_, UInt8, D) .= vec(collect(Bool, found))
        return nothing
    end
end

function c_verdict(handle, values, fields, D, with_parameters, text, text_bytes, message, capacity)
    with_model(message, capacity, (handle, values, fields, D)) do m, D
        found = verdict(m, with_parameters != 0)
        found isa String && return found
        put_text!(text, text_bytes, report(found, m))
        return nothing
    end
end

# --- simulation, cost, descent, steps -----------------------------------------------------------------

function c_simulate(handle, values, fields, D, T, windows, start, x, dt, spinup, rtol, atol, message, capacity)
    with_model(message, capacity, (handle, values, fields, D), refusal(; T = T, windows = windows); h = dt) do m, D
        simulate!(array_at(x, Float64, D, T, windows), array_at(start, Float64, D, windows), m, dt, spinup, rtol, atol)
    end
end

function c_cost(handle, values, fields, D, T, windows, bytes, scheme, h, λ₁, λ₂, x, y, mask, cost, gradient,
                count, terms, step, fraction, value, weight, index, coefficient, message, capacity)
    refused = refusal(; scheme = scheme, bytes = bytes, T = T, windows = windows, count = count, terms = terms)
    S = type_of(bytes)
    with_model(message, capacity, (handle, values, fields, D), refused; h = h, data = (S, D, T, windows, count, terms, step, fraction, index)) do m, D
        g = gradient == C_NULL ? nothing : array_at(gradient, S, D, T, windows)
        cost_gradient!(array_at(cost, Float64, 3, windows), g, array_at(x, S, D, T, windows),
                       array_at(y, S, D, T, windows), array_at(mask, S, D, T, windows),
                       scheme_of(scheme), m, h, λ₁, λ₂,
                       points_at_address(S, m, windows, count, terms, step, fraction, value, weight, index, coefficient))
    end
end

function c_descend(handle, values, fields, D, T, windows, bytes, scheme, h, λ₁, λ₂, x, y, mask, α, iterations,
                   h_handle, channels, channel_value, channel_weight,
                   count, terms, step, fraction, value, weight, index, coefficient, message, capacity)
    refused = refusal(; scheme = scheme, bytes = bytes, T = T, windows = windows, count = count, terms = terms, iterations = iterations, channels = channels)
    refused === nothing && (refused = function_refusal(h_handle, channels))
    S = type_of(bytes)
    with_model(message, capacity, (handle, values, fields, D), refused; h = h, data = (S, D, T, windows, count, terms, step, fraction, index)) do m, D
        data = channels > 0 ? function_data(h_handle, D, channels, T, windows, channel_value, channel_weight) :
               points_at_address(S, m, windows, count, terms, step, fraction, value, weight, index, coefficient)
        descend!(array_at(x, S, D, T, windows), array_at(y, S, D, T, windows),
                 array_at(mask, S, D, T, windows), scheme_of(scheme), m, h, λ₁, λ₂, α, iterations, data)
    end
end

# `what`: 0 the step Φ(x), 1 its tangent linear applied to v, 2 its adjoint applied to v.
function c_step(handle, values, fields, D, n, scheme, h, what, x, v, out, message, capacity)
    c_step_with_parameters(handle, values, fields, D, 0, n, scheme, h, what, x, v, out, message, capacity)
end
# The same, where x, v and out contain state and parameters.
function c_step_with_parameters(handle, values, fields, D, estimated, n, scheme, h, what, x, v, out, message, capacity)
    refused = refusal(; scheme = scheme, n = n, estimated = estimated)
    with_model(message, capacity, (handle, values, fields, D), refused; estimated = estimated, h = h) do m, D
        linearised_steps!(array_at(out, Float64, D, n), array_at(x, Float64, D, n), array_at(v, Float64, D, n),
                          scheme_of(scheme), m, h, what)
    end
end

function linearised_steps!(out, x, v, scheme, m, h, what)
    ws = single_step_workspace(m)
    for j in axes(x, 2)
        out[:, j] .= linearised_step(ws, scheme, m, x[:, j], v[:, j], h, what)
    end
    return out
end
single_step_workspace(::SmallModel) = nothing
single_step_workspace(m::ArrayModel) = step_workspace(Float64, m)

function linearised_step(_, scheme, m::SmallModel, x, v, h, what)
    D = size_of(m)
    x̂, stages = step(scheme, m, tuple_of(x, D), h)
    what == 0 && return x̂
    return what == 1 ? step_tangent(scheme, m, stages, tuple_of(v, D), h) :
           step_adjoint(scheme, m, stages, tuple_of(v, D), h)
end
function linearised_step(ws, scheme, m::ArrayModel, x, v, h, what)
    x̂ = step!(ws, scheme, m, x, h)
    what == 0 && return x̂
    return what == 1 ? step_tangent!(similar(v), ws, scheme, m, x, v, h) : step_adjoint!(ws, scheme, m, x, v, h)
end
