# The functions that Python calls. Three rules:
#   1. Only C numbers and pointers cross: sizes, doubles, and arrays that the caller owns. A model is a
#      handle that `register` returned, with the values of its fields.
#   2. No exception crosses: a call returns 0, or another status and one line in the caller's message
#      buffer. Foreseeable errors are reported by a sentence without raising an exception, because
#      where exceptions do not work (boundary/exceptions.jl) one would end the process.
#   3. Handles, counts and sizes are checked here; the caller has checked the arrays behind the pointers.
# Arrays are C-ordered (window, time, state), which is (state, time, window) here.
#
# The entry point `name` of boundary/signatures.txt is a function `c_name(a)`; `a` has the arguments by the names in
# that file, so that `a.T` is the number of steps of a window and `a.x` a pointer.

scheme_of(a) = a.scheme == 1 ? Euler() : RungeKutta4()
type_of(bytes) = bytes == 8 ? Float64 : Float32
array_at(p, ::Type{T}, dims...) where {T} = unsafe_wrap(Array, Ptr{T}(p), Int.(dims))
reals(p, dims...) = array_at(p, Float64, dims...)
"    reals_or_nothing(p, dims...): nothing for a null pointer"
reals_or_nothing(p, dims...) = p == C_NULL ? nothing : reals(p, dims...)

"The Points of cost/point_observations.jl, in the precision S; nothing without data."
function points_of(a, ::Type{S}, m) where {S}
    a.count == 0 && return nothing
    (count, windows) = (a.count, a.windows)
    rows = SparseRows{S}(array_at(a.index, Int64, a.terms, count, windows), array_at(a.coefficient, S, a.terms, count, windows), length(m))
    return Points{S}(array_at(a.step, Int64, count, windows), array_at(a.fraction, S, count, windows),
                     array_at(a.value, S, count, windows), array_at(a.weight, S, count, windows), rows, m isa SmallModel)
end
points_of(a, m) = points_of(a, Float64, m)

"""
    refusal(a) -> what is wrong with the scheme, precision and counts among the arguments, or nothing

Handles and, with a model, the size of its state are checked where the model is known.
"""
function refusal(a)
    get(a, :scheme, 4) in (1, 4) || return "unknown scheme number $(a.scheme)"
    get(a, :bytes, 8) in (4, 8) || return "numbers have $(a.bytes) bytes, expected 4 or 8"
    elsewhere = haskey(a, :handle) ? (:handle, :fields, :D) : ()
    for (name, n) in pairs(a)
        n isa Int64 && !(name in elsewhere) && !(name in (:scheme, :bytes, :observation_function)) || continue
        least = name in (:T, :substeps, :every) ? 1 : 0
        least <= n < 1 << 40 || return "$name is $n, expected at least $least"
    end
    haskey(a, :length) && a.length < a.lead + a.T &&
        return "the trajectories have $(a.length) steps, expected at least $(a.lead + a.T), a window's and those before it"
    haskey(a, :observation_function) && a.channels > 0 && !(1 <= a.observation_function <= length(OBSERVATION_FUNCTIONS)) &&
        return "no observation function has the handle $(a.observation_function); expected what `register_observation` returned"
    return nothing
end

const DONE, REFUSED, FAILED = Cint(0), Cint(1), Cint(2)

# Bytes that calls may leave behind before the young objects are collected, which is quick. Julia itself waits for
# many more, in each worker of a cluster.
const LEFT_BEHIND = 4 << 20
collect_young() = Base.gc_num().allocd > LEFT_BEHIND && GC.gc(false)

"""
    guarded(f, a, file = "", handle = 0) -> a status, and a message

Run `f`, unless `refusal(a)` gives a reason not to, and collect what it has left. Write that reason, the
sentence that `f` returned, or the message of an exception into the buffer `a.message`. `file` is the file
whose code `f` calls, `handle` that of its model.

What depends on the methods of models is called by `invokelatest` here and in `with_model`: a user's file adds
methods, and what the compiler has concluded from those before would be compiled again.
"""
function guarded(f, a, file = "", handle = 0)
    (status, refused) = (REFUSED, refusal(a))
    if refused === nothing
        try
            found = f()
            collect_young()
            found isa String || return DONE
            refused = found
        catch e
            (status, refused) = (FAILED, Base.invokelatest(located, e, catch_backtrace(), file, handle))
        end
    end
    put_text!(a.message, a.capacity, refused)
    return status
end

# No exception may leave this function: a call from C has no handler for it, and it would end the process.
"    located(e, backtrace, file, handle) -> the message of an exception, preceded by the file and line if known"
function located(e, backtrace, file, handle)
    isempty(file) && return message_of(e)
    (line, said) = (line_of(backtrace, file, 0), message_of(e))
    line == 0 && 1 <= handle <= length(REGISTERED) && (line = line_of_function(handle, said))
    return "$(basename(file))$(line > 0 ? ":$line" : ""): $said"
end

"""
    line_of_function(handle, said) -> the first line of the model's function that fails with this message, or 0

For a backtrace that ends before it reaches the file (exceptions.jl): the functions of the model with its
default values are called one after the other.
"""
function line_of_function(handle, said)
    (W, file) = (REGISTERED[handle].type, REGISTERED[handle].file)
    for call in (Any[W], Any[variables, concrete(W)], Any[time_step, concrete(W)])
        line = line_if_it_fails(file, said, call...)
        line > 0 && return line
    end
    calls = attempt(() -> calls_of(default_model(handle)))
    calls === nothing && return 0
    for call in calls
        line = line_if_it_fails(file, said, call...)
        line > 0 && return line
    end
    return 0
end

function line_if_it_fails(file, said, f, arguments...)
    types = Tuple{map(Core.Typeof, arguments)...}
    hasmethod(f, types) || return 0
    try
        f(arguments...)
        return 0
    catch e
        method = which(f, types)
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
    first = Any[(dimensions, m), (spinup, m), (land, m), (coordinates, m), (start, m, MersenneTwister(0)), (each_place, identity, m)]
    works(() -> each_place(identity, m)) || return first
    (x, θ, places) = (fill(0.1, length(m)), parameters(m), Any[])
    each_place(s -> any(p -> p isa typeof(s), places) || push!(places, s), m)
    return append!(first, [c for s in places for c in ((tendency, m, x, s), (tangent_linear, m, x, x, s), (adjoint, m, x, x, s),
                                                       (parameter_tangent, m, x, θ, s))], [(parameter_adjoint, m, x, x)])
end
function calls_of(m::VectorModel)
    first = Any[(dimensions, m), (spinup, m), (land, m), (coordinates, m), (start, m, MersenneTwister(0)), (workspace, Float64, m)]
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
    with_model(f, a) -> a status, and a message

Run `f(m)` with the model that the arguments describe. If `a.estimated` is positive, it is the number of
parameters, which are then part of the state.
"""
function with_model(f, a)
    return guarded(a, file_of(a.handle), a.handle) do
        refused = handle_refusal(a.handle, a.values, a.fields)
        refused === nothing || return refused
        return Base.invokelatest(run_with, f, model_at(a.handle, a.values), a)
    end
end

function run_with(f, m, a)
    estimated = get(a, :estimated, 0)
    refused = size_refusal(m, a.D - estimated)
    refused === nothing && (refused = parameter_refusal(m, estimated))
    refused === nothing && (refused = step_refusal(m, get(a, :h, nothing), get(a, :substeps, 1)))
    refused === nothing && haskey(a, :fraction) && (refused = data_refusal(m, type_of(get(a, :bytes, 8)), a))
    refused === nothing || return refused
    return f(estimated == 0 ? m : WithParameters(m))
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
function data_refusal(m, ::Type{S}, a) where {S}
    (count, windows) = (a.count, a.windows)
    count == 0 && return nothing
    a.terms >= 1 || return "data have $(a.terms) terms, expected at least 1"
    all(i -> 0 <= i < a.D, array_at(a.index, Int64, a.terms, count, windows)) || return "data are of components outside the $(a.D) of the state"
    all(t -> 0 <= t < a.T, array_at(a.step, Int64, count, windows)) || return "data lie outside the $(a.T) steps of a window"
    all(θ -> 0 <= θ <= 1, array_at(a.fraction, S, count, windows)) || return "the fractions of a step at which data lie are not all from 0 to 1"
    return nothing
end
