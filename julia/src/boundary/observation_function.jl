# Observation operators h of the user's own: a file that defines
#
#     observe(x)                      the K observed values, a tuple (or a vector) of functions of x
#     observe_tangent_linear(x, dx)   H(x) dx, K values; may be missing
#     observe_adjoint(x, v)           H(x)ᵀ v, D values; may be missing
#
# x is a tuple for up to 32 components and a vector beyond. Without the derivatives H comes from
# dual numbers; with them it is compared to these. A file is evaluated in a module of its own and stays
# under a handle, as that of a model does (registry.jl).

struct ObservationFunction
    home::Module
    file::String
end

const OBSERVATION_FUNCTIONS = ObservationFunction[]
const OBSERVATION_HANDLES = Dict{NTuple{2,String},Int}()      # of source and file
const LONGEST_TUPLE = 32        # of longer ones the compiler makes no fast code, and takes long

"    register_observation(source, file) -> a handle, or a sentence"
function register_observation(source, file)
    key = (String(source), String(file))
    haskey(OBSERVATION_HANDLES, key) && return OBSERVATION_HANDLES[key]
    home = Module(:UserObservation)
    refused = evaluate!(home, key...)
    refused === nothing || return refused
    Base.invokelatest(defines, home, :observe, 1) ||
        return "$(basename(file)) does not define observe(x), the observed values of a state x; write it"
    push!(OBSERVATION_FUNCTIONS, ObservationFunction(home, key[2]))
    return OBSERVATION_HANDLES[key] = length(OBSERVATION_FUNCTIONS)
end

"    defines(home, name, count) -> is there in the file a function of this name with so many arguments"
defines(home, name, count) = isdefined(home, name) && getfield(home, name) isa Function &&
    any(m -> length(Base.unwrap_unionall(m.sig).parameters) == count + 1, methods(getfield(home, name)))

"The state, or a vector of as many values, as the user's functions take it."
as_state(x) = length(x) <= LONGEST_TUPLE ? Tuple(x) : x

"    values_of(y, count, call) -> the values as a vector, or a sentence about what `call` returned"
values_of(y, count, call) = "$call returns $(typeof(y)), expected $count real numbers, a tuple"
values_of(y::Real, count, call) = values_of((y,), count, call)
function values_of(y::Union{Tuple,AbstractVector}, count, call)
    length(y) == count || return "$call returns $(length(y)) values, expected $count"
    all(v -> v isa Real, y) || return "$call returns $(typeof(y)), expected $count real numbers"
    return collect(y)
end

"    observed_values!(out, f, x) -> nothing, or a sentence; out: h of each state, `(channel, state)`"
function observed_values!(out, f::ObservationFunction, x)
    observe = getfield(f.home, :observe)
    for n in axes(x, 2)
        y = values_of(observe(as_state(x[:, n])), size(out, 1), "observe(x)")
        y isa String && return y
        out[:, n] .= y
    end
    return nothing
end

"    observation_rows!(out, f, x, how) -> nothing, or a sentence; out: ∂h/∂x, `(state, channel, state)`"
function observation_rows!(out, f::ObservationFunction, x, how = preferred(f))
    (D, K, _) = size(out)
    h = getfield(f.home, how)
    unit(n, k) = as_state([Float64(i == k) for i in 1:n])
    for n in axes(x, 2)
        at = x[:, n]
        for k in 1:(how === :observe_adjoint ? K : D)
            if how === :observe_adjoint
                column = values_of(h(as_state(at), unit(K, k)), D, "observe_adjoint(x, v)")
                column isa String && return column
                out[:, k, n] .= column
            elseif how === :observe_tangent_linear
                column = values_of(h(as_state(at), unit(D, k)), K, "observe_tangent_linear(x, dx)")
                column isa String && return column
                out[k, :, n] .= column
            else
                seeded = as_state([Dual(at[i], (Float64(i == k),)) for i in 1:D])
                column = values_of(h(seeded), K, "observe(x)")
                column isa String && return column
                out[k, :, n] .= map(v -> partial(v, 1), column)
            end
        end
    end
    return nothing
end

preferred(f) = defines(f.home, :observe_adjoint, 2) ? :observe_adjoint :
               defines(f.home, :observe_tangent_linear, 2) ? :observe_tangent_linear : :observe

const OBSERVATION_TOLERANCE = 1e-9      # of derivatives, relative to the largest of a row

"    check_observation(f, x, K) -> nothing, or a sentence about what is wrong with h or a given derivative"
function check_observation(f::ObservationFunction, x, K)
    values = zeros(K, size(x, 2))
    refused = observed_values!(values, f, x)
    refused === nothing || return refused
    all(isfinite, values) ||
        return "observe(x) gives NaN or infinite values at some states; make it finite for every state, for example by clamping its argument"
    exact = zeros(size(x, 1), K, size(x, 2))
    refused = observation_rows!(exact, f, x, :observe)
    refused === nothing || return refused
    for how in (:observe_tangent_linear, :observe_adjoint)
        defines(f.home, how, 2) || continue
        given = similar(exact)
        refused = observation_rows!(given, f, x, how)
        refused === nothing || return refused
        (worst, at) = findmax(map((a, b) -> abs(a - b) <= Inf ? abs(a - b) : Inf, given, exact))
        worst <= OBSERVATION_TOLERANCE * (1 + maximum(abs, view(exact, :, at[2], at[3]))) && continue
        (expected, found) = map(v -> @sprintf("%.9g", v[at]), (exact, given))
        return "$how is wrong: the derivative of observed value $(at[2]) by component $(at[1]) should be $expected, found $found; correct it, or leave it out"
    end
    return nothing
end

# --- what Python calls, by the rules of boundary.jl ---------------------------------------------------

function c_register_observation(source, source_bytes, file, file_bytes, handle, message, capacity)
    guarded(message, capacity, refusal(; source_bytes = source_bytes, file_bytes = file_bytes)) do
        found = register_observation(text_at(source, source_bytes), text_at(file, file_bytes))
        found isa String && return found
        unsafe_store!(handle, found)
        return nothing
    end
end

# `what`: 0 the values (state, channel), 1 the derivatives (state, channel, component), 2 a check alone.
function c_observe(handle, D, K, count, what, x, out, message, capacity)
    refused = refusal(; D = D, K = K, count = count)
    known = 1 <= handle <= length(OBSERVATION_FUNCTIONS)
    known || (refused = "no observation function has the handle $handle; expected what `register_observation` returned")
    guarded(message, capacity, refused, known ? OBSERVATION_FUNCTIONS[handle].file : "") do
        f = OBSERVATION_FUNCTIONS[handle]
        states = array_at(x, Float64, D, count)
        found = what == 0 ? observed_values!(array_at(out, Float64, K, count), f, states) :
                what == 1 ? observation_rows!(array_at(out, Float64, D, K, count), f, states) :
                check_observation(f, states, Int(K))
        found isa String && return "$(basename(f.file)): $found"
        return nothing
    end
end
