# Entry points of models and their steps, which follow the rules of boundary.jl.

# --- boundary/registry.jl, models/verdict.jl --------------------------------------------------------

function c_register(a)
    guarded(a) do
        found = register(text_at(a.source, a.source_bytes), text_at(a.file, a.file_bytes), text_at(a.type, a.type_bytes))
        found isa String && return found
        unsafe_store!(a.handle, found)
        return nothing
    end
end
text_at(p, bytes) = bytes == 0 ? "" : unsafe_string(p, bytes)

# `values` may be null for the default values of all fields; a NaN stands for that of one.
function c_describe(a)
    guarded(a, file_of(a.handle), a.handle) do
        defaults = a.values == C_NULL && 1 <= a.handle <= length(REGISTERED)
        given = a.values == C_NULL ? Int[] : [k for k in 1:a.fields if !isnan(unsafe_load(a.values, k))]
        refused = defaults ? nothing : handle_refusal(a.handle, a.values, a.fields, given)
        refused === nothing || return refused
        whole = !defaults && length(given) == a.fields
        return Base.invokelatest(describe, whole ? model_at(a.handle, a.values) : default_model(a.handle, a.values, given), a)
    end
end
function describe(m, a)
    file = file_of(a.handle)
    m === nothing || m isa Model || return "$(basename(file)): without arguments the constructor gives $(one_line(repr(m))), expected a model"
    refused = m === nothing ? nothing : something(size_refusal(m, length(m)), coordinates_refusal(m), value_refusal(m), Some(nothing))
    refused === nothing || return "$(isempty(file) ? "" : basename(file) * ": ")$refused"
    found = description(a.handle, m)
    put_text!(a.text, a.text_bytes, found) == ncodeunits(found) || return "the description of the model is longer than $(a.text_bytes) bytes"
    return nothing
end

# States from the model's own `start`.
function c_starts(a)
    with_model(a) do m
        name = nameof(typeof(m))
        gives(start, wrapper(typeof(m)), 1, 2) || return "write start(m::$name, rng), a state to start from"
        rng = MersenneTwister(a.seed)
        found = reals(a.states, a.D, a.count)
        for k in 1:a.count
            x = start(m, rng)
            length(x) == a.D || return "start(m::$name, rng) has $(length(x)) components, expected $(a.D)"
            found[:, k] .= vec(collect(x))
        end
        return nothing
    end
end

function c_mask(a)
    with_model(a) do m
        name, found = nameof(typeof(m)), land(m)
        found === nothing && return "write land(m::$name), a mask that is true on land"
        length(found) == a.D || return "land(m::$name) has $(length(found)) components, expected $(a.D)"
        array_at(a.land, UInt8, a.D) .= vec(collect(Bool, found))
        return nothing
    end
end

# The coordinates of all dimensions for which the model states them, in the order of its description.
function c_coordinates(a)
    with_model(a) do m
        refused = coordinates_refusal(m)
        refused === nothing || return refused
        found = reduce(vcat, (Float64.(points) for points in coordinates(m)); init = Float64[])
        length(found) == a.count || return "coordinates(m::$(nameof(typeof(m)))) has $(length(found)) numbers, expected $(a.count)"
        reals(a.points, a.count) .= found
        return nothing
    end
end

function c_verdict(a)
    with_model(a) do m
        found = verdict(m, a.with_parameters != 0)
        found isa String && return found
        put_text!(a.text, a.text_bytes, report(found, m))
        return nothing
    end
end

# --- schemes/dormand_prince.jl, schemes/steps.jl ----------------------------------------------------

function c_simulate(a)
    with_model(a) do m
        refused = step_refusal(m, a.dt, 1)
        refused === nothing || return refused
        simulate!(reals(a.x, a.D, a.T, a.windows), reals(a.start, a.D, a.windows), m, a.dt, a.spinup, a.rtol, a.atol)
        return nothing
    end
end

function c_one_step(a)
    with_model(a) do m
        at(p) = reals(p, a.D, a.count)
        linearised_steps!(at(a.out), at(a.x), at(a.v), scheme_of(a), m, a.h, a.what)
        return nothing
    end
end

function linearised_steps!(out, x, v, scheme, m, h, what)
    ws = single_step_workspace(m)
    for j in axes(x, 2)
        out[:, j] .= linearised_step(ws, scheme, m, x[:, j], v[:, j], h, what)
    end
    return out
end
# A loop for each of the three: to ask at every state which one it is takes several times as long.
function linearised_steps!(out, x, v, scheme, m::SmallModel, h, what)
    stages(x) = last(step(scheme, m, x, h))
    what == 0 && return map_states!((x, _) -> first(step(scheme, m, x, h)), out, x, v, size_of(m))
    what == 1 && return map_states!((x, v) -> step_tangent(scheme, m, stages(x), v, h), out, x, v, size_of(m))
    return map_states!((x, v) -> step_adjoint(scheme, m, stages(x), v, h), out, x, v, size_of(m))
end
function map_states!(f::F, out, x, v, D::Val) where {F}
    for j in axes(x, 2)
        found = f(tuple_of(view(x, :, j), D), tuple_of(view(v, :, j), D))
        for i in eachindex(found)
            @inbounds out[i, j] = found[i]
        end
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
