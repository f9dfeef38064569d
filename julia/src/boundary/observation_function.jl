# Observation operators h of the user's own: a file that defines
#
#     observe(x)                      the K observed values, a tuple (or a vector) of functions of x
#     observe_tangent_linear(x, dx)   H(x) dx, K values; may be missing
#     observe_adjoint(x, v)           H(x)ᵀ v, D values; may be missing
#
# or, for states and data of many numbers, the same in place:
#
#     observe!(y, x)    observe_tangent_linear!(dy, x, dx)    observe_adjoint!(xbar, x, v)
#     observe_count(D)                K for states of D numbers; needed where no observations give it
#
# x is a tuple for up to 32 components and a vector beyond, and always a vector in place. Without the
# derivatives H comes from dual numbers; with them it is compared to these. A file is evaluated in a
# module of its own and stays under a handle, as that of a model does (registry.jl).
#
# What the file defines is called through `Caller`, whose type says which function that is and how it
# takes a state, so that the loops over states are compiled for it.

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
    home = without_exit!(Module(:UserObservation))
    refused = evaluate!(home, key...)
    refused === nothing || return refused
    Base.invokelatest(form_of, home, :observe) === nothing &&
        return "$(basename(file)) does not define observe(x), the observed values of a state x (or observe!(y, x)); write it"
    push!(OBSERVATION_FUNCTIONS, ObservationFunction(home, key[2]))
    return OBSERVATION_HANDLES[key] = length(OBSERVATION_FUNCTIONS)
end

"    defines(home, name, count) -> whether the file defines a function of this name with `count` arguments"
defines(home, name, count) = isdefined(home, name) && getfield(home, name) isa Function &&
    any(m -> length(Base.unwrap_unionall(m.sig).parameters) == count + 1, methods(getfield(home, name)))

const OBSERVE_ARGUMENTS = (observe = 1, observe_tangent_linear = 2, observe_adjoint = 2)

"    form_of(home, name) -> the name of the function that returns values, else of that in place, else nothing"
function form_of(home, name)
    count = OBSERVE_ARGUMENTS[name]
    defines(home, name, count) && return name
    in_place = Symbol(name, "!")
    return defines(home, in_place, count + 1) ? in_place : nothing
end

"A user's function of a state of D numbers and perhaps of another vector, with `count` values."
struct Caller{F,D,InPlace}
    f::F
    count::Int
    call::String        # for messages
end
function Caller(f::ObservationFunction, name, D, count)
    form = form_of(f.home, name)
    in_place = form !== name
    further = name === :observe ? "" : name === :observe_adjoint ? ", v" : ", dx"
    call = "$form($(in_place ? "y, " : "")x$further)"
    user = getfield(f.home, form)
    size = in_place || D > LONGEST_TUPLE ? nothing : Int(D)
    return Caller{typeof(user),size,in_place}(user, Int(count), call)
end

"    values!(y, caller, x, more...) -> nothing, or a sentence; y: the values for vectors x and more"
@inline function values!(y, c::Caller{F,D,false}, x, more...) where {F,D}
    return put_values!(y, c.f(as_state(x, Val(D)), map(as_state_or_vector, more)...), c)
end
@inline function values!(y, c::Caller{F,D,true}, x, more...) where {F,D}
    fill!(y, NaN)                       # marks values that the function does not set
    c.f(y, x, more...)
    length(y) == c.count || return "$(c.call) changes the length of its first argument"
    return nothing
end
@inline as_state(x, ::Val{D}) where {D} = ntuple(i -> (@inbounds x[i]), Val(D))
@inline as_state(x, ::Val{nothing}) = copy(x)
as_state_or_vector(x) = length(x) <= LONGEST_TUPLE ? Tuple(x) : copy(x)

put_values!(out, y, c) = "$(c.call) returns $(typeof(y)), expected $(c.count) real numbers, a tuple"
put_values!(out, y::Real, c) = put_values!(out, (y,), c)
function put_values!(out, y::AbstractVector, c)
    length(y) == c.count || return "$(c.call) returns $(length(y)) values, expected $(c.count)"
    all(v -> v isa Real, y) || return "$(c.call) returns $(typeof(y)), expected $(c.count) real numbers"
    out .= y
    return nothing
end
@inline function put_values!(out, y::Tuple, c)
    length(y) == c.count || return "$(c.call) returns $(length(y)) values, expected $(c.count)"
    y isa Tuple{Vararg{Real}} || return "$(c.call) returns $(typeof(y)), expected $(c.count) real numbers"
    place!(out, 1, y)
    return nothing
end
@inline place!(out, k, ::Tuple{}) = nothing
@inline function place!(out, k, y::Tuple)
    @inbounds out[k] = y[1]
    return place!(out, k + 1, Base.tail(y))
end

"    observed_values!(out, f, x) -> nothing, or a sentence; out: h of each state, `(channel, state)`"
observed_values!(out, f::ObservationFunction, x) =
    all_values!(out, Caller(f, :observe, size(x, 1), size(out, 1)), x)

function all_values!(out, c::Caller, x)
    at, y = zeros(size(x, 1)), zeros(size(out, 1))
    for n in axes(x, 2)
        copyto!(at, view(x, :, n))
        refused = values!(y, c, at)
        refused === nothing || return refused
        out[:, n] .= y
    end
    return nothing
end

"    observed_count!(out, f, x) -> nothing, or a sentence; out[1]: K, as `observe_count` or the values at a state x say"
function observed_count!(out, f::ObservationFunction, x)
    found = stated_count(f, length(x))
    if found === nothing
        form_of(f.home, :observe) === :observe ||
            return "observe!(y, x) does not say how many values it sets; define observe_count(D), their number for states of D numbers"
        found = count_of(Caller(f, :observe, length(x), 0), x)
    end
    found isa String && return found
    out[1] = found
    return nothing
end

"    stated_count(f, D) -> what the file's observe_count(D) gives, a sentence if that is no number of values, nothing without one"
function stated_count(f::ObservationFunction, D)
    defines(f.home, :observe_count, 1) || return nothing
    found = f.home.observe_count(D)
    found isa Integer && 0 < found < 1 << 40 || return "observe_count($D) returns $found, expected the number of observed values"
    return Int(found)
end

function count_of(c::Caller{F,D}, x) where {F,D}
    y = c.f(as_state(x, Val(D)))
    y isa Real && return 1
    y isa Union{Tuple,AbstractVector} || return "$(c.call) returns $(typeof(y)), expected real numbers, a tuple"
    return isempty(y) ? "$(c.call) returns no value, expected at least one" : length(y)
end

"    observation_rows!(out, f, x, how) -> nothing, or a sentence; out: ∂h/∂x, `(state, channel, state)`"
function observation_rows!(out, f::ObservationFunction, x, how = preferred(f))
    (D, K, _) = size(out)
    how === :observe_adjoint && return rows_by_units!((k, n) -> view(out, :, k, n), Caller(f, how, D, D), x, K)
    how === :observe_tangent_linear && return rows_by_units!((i, n) -> view(out, i, :, n), Caller(f, how, D, K), x, D)
    return rows_by_duals!(out, Caller(f, how, D, K), x, Val(min(Int(D), DIRECTIONS)))
end

"    rows_by_units!(part, c, x, count): the derivative applied to each of `count` unit vectors, into part(number, state)"
function rows_by_units!(part::F, c::Caller, x, count) where {F}
    at, unit, found = zeros(size(x, 1)), zeros(count), zeros(c.count)
    for n in axes(x, 2), k in 1:count
        copyto!(at, view(x, :, n))
        fill!(unit, 0.0)[k] = 1.0
        refused = values!(found, c, at, unit)
        refused === nothing || return refused
        part(k, n) .= found
    end
    return nothing
end

const DIRECTIONS = 8        # in which dual numbers differentiate at once

function rows_by_duals!(out, c::Caller, x, ::Val{P}) where {P}
    (D, K, N) = size(out)
    at, y = zeros(Dual{P,Float64}, D), zeros(Dual{P,Float64}, K)
    for n in 1:N, first in 1:P:D
        seed!(at, view(x, :, n), first, Val(P))
        refused = values!(y, c, at)
        refused === nothing || return refused
        @inbounds for k in 1:K, i in first:min(first + P - 1, D)
            out[i, k, n] = y[k].partials[i-first+1]
        end
    end
    return nothing
end

"    seed!(at, x, first, Val(P)): the state x, with derivatives by P of its components from the first on"
function seed!(at, x, first, ::Val{P}) where {P}
    @inbounds for i in eachindex(at)
        at[i] = Dual(x[i], ntuple(p -> Float64(first + p - 1 == i), Val(P)))
    end
end

preferred(f) = form_of(f.home, :observe_adjoint) !== nothing ? :observe_adjoint :
               form_of(f.home, :observe_tangent_linear) !== nothing ? :observe_tangent_linear : :observe

const OBSERVATION_TOLERANCE = 1e-9      # of derivatives, relative to the largest of a row

"    check_observation(f, x, K) -> nothing, or a sentence about what is wrong with h or a given derivative"
function check_observation(f::ObservationFunction, x, K)
    stated = stated_count(f, size(x, 1))
    stated isa String && return stated
    stated in (nothing, K) || return "observe_count($(size(x, 1))) is $stated, but the observations have $K channels; correct it"
    values = zeros(K, size(x, 2))
    refused = observed_values!(values, f, x)
    refused === nothing || return refused
    all(isfinite, values) ||
        return "observe(x) gives NaN or infinite values at some states; make it finite for every state, for example by clamping its argument"
    exact = zeros(size(x, 1), K, size(x, 2))
    refused = observation_rows!(exact, f, x, :observe)
    refused === nothing || return refused
    for how in (:observe_tangent_linear, :observe_adjoint)
        form_of(f.home, how) === nothing && continue
        given = similar(exact)
        refused = observation_rows!(given, f, x, how)
        refused === nothing || return refused
        (worst, at) = findmax(map((a, b) -> abs(a - b) <= Inf ? abs(a - b) : Inf, given, exact))
        worst <= OBSERVATION_TOLERANCE * (1 + maximum(abs, view(exact, :, at[2], at[3]))) && continue
        (expected, found) = map(v -> @sprintf("%.9g", v[at]), (exact, given))
        return "$(form_of(f.home, how)) is wrong: the derivative of observed value $(at[2]) by component $(at[1]) should be $expected, found $found; correct it, or leave it out"
    end
    return nothing
end

"    combine!(y, A, kept) -> y, with A y in it, by the vector `kept` of the same length; A may be nothing"
combine!(y, ::Nothing, kept) = y
combine!(y, A, kept) = mul!(y, A, copyto!(kept, y))

"    pullback(f, D, K, A) -> `back!` of FunctionData for A h, by the file's adjoint or by dual numbers"
function pullback(f::ObservationFunction, D, K, A = nothing)
    observe = Caller(f, :observe, D, K)
    form_of(f.home, :observe_adjoint) === nothing && return pullback_by_duals(observe, D, K, Val(min(D, DIRECTIONS)), A)
    transposed = A === nothing ? nothing : permutedims(A)
    (adjoint, found, v, kept) = (Caller(f, :observe_adjoint, D, D), zeros(K), zeros(K), zeros(K))
    return function (xbar, x, y, c)
        refused = values!(found, observe, x)
        refused === nothing || return refused
        combine!(found, A, kept)
        @inbounds for k in eachindex(v)
            v[k] = c[k] == 0 ? 0.0 : c[k] * (found[k] - y[k])
        end
        return values!(xbar, adjoint, x, combine!(v, transposed, kept))
    end
end

function pullback_by_duals(observe, D, K, ::Val{P}, A) where {P}
    at, found, kept = zeros(Dual{P,Float64}, D), zeros(Dual{P,Float64}, K), zeros(Dual{P,Float64}, K)
    return function (xbar, x, y, c)
        fill!(xbar, 0.0)
        for first in 1:P:D
            seed!(at, x, first, Val(P))
            refused = values!(found, observe, at)
            refused === nothing || return refused
            combine!(found, A, kept)
            @inbounds for k in eachindex(found)
                c[k] == 0 && continue
                v = c[k] * (found[k].value - y[k])
                for i in first:min(first + P - 1, D)
                    xbar[i] += v * found[k].partials[i-first+1]
                end
            end
        end
        return nothing
    end
end

# --- what Python calls, by the rules of boundary.jl ---------------------------------------------------

function c_register_observation(a)
    guarded(a) do
        found = register_observation(text_at(a.source, a.source_bytes), text_at(a.file, a.file_bytes))
        found isa String && return found
        unsafe_store!(a.handle, found)
        return nothing
    end
end

"    function_data(a) -> the data of a function of the state, or of combinations of its values, for a method"
function function_data(a)
    f = OBSERVATION_FUNCTIONS[a.observation_function]
    (K, given) = (a.channels, reals_or_nothing(a.channel_combination, a.channels, a.channels))
    A = given === nothing ? nothing : permutedims(given)        # from C order
    caller = Caller(f, :observe, a.D, K)
    function combined!(y, x)
        refused = values!(y, caller, x)
        A === nothing || refused !== nothing || copyto!(y, A * y)
        return refused
    end
    return FunctionData(combined!, () -> pullback(f, a.D, K, A),
                        reals(a.channel_value, K, a.T, a.windows), reals(a.channel_weight, K, a.T, a.windows))
end

# `what`: 0 the values (state, channel), 1 the derivatives (state, channel, component), 2 a check alone, 3 the number of
# values at one state (1).
function c_observe(a)
    known = 1 <= a.observation_function <= length(OBSERVATION_FUNCTIONS)
    guarded(a, known ? OBSERVATION_FUNCTIONS[a.observation_function].file : "") do
        known || return "no observation function has the handle $(a.observation_function); expected what `register_observation` returned"
        f = OBSERVATION_FUNCTIONS[a.observation_function]
        states = reals(a.x, a.D, a.count)
        found = a.what == 0 ? observed_values!(reals(a.out, a.channels, a.count), f, states) :
                a.what == 1 ? observation_rows!(reals(a.out, a.D, a.channels, a.count), f, states) :
                a.what == 2 ? check_observation(f, states, a.channels) :
                observed_count!(reals(a.out, 1), f, states[:, 1])
        found isa String && return "$(basename(f.file)): $found"
        return nothing
    end
end
