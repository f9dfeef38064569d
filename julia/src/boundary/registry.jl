# Models by handle. `register` evaluates the file of a model in a module of its own, where the contract of
# models/model.jl is imported already, looks for its struct, and answers with a handle: the place of the
# model's type in a list. What is called with a handle afterwards runs in the newest world age, since Julia
# enters an @cfunction there.

struct Registered
    type::Any                   # Rossler: without its type parameter
    name::String
    file::String
    fields::Vector{Symbol}
end

const REGISTERED = Registered[]
const HANDLES = Dict{NTuple{3,String},Int}()        # of source, file and type

"    register(source, file, type) -> a handle, or a sentence; an empty source is for VDA's own models"
function register(source, file, type)
    key = (String(source), String(file), String(type))
    haskey(HANDLES, key) && return HANDLES[key]
    home = VDA
    if !isempty(source)
        home = model_module()
        refused = evaluate!(home, key[1], key[2])
        refused === nothing || return refused
    end
    found = Base.invokelatest(only_model, home, key[2], key[3])
    found isa String && return found
    refused = Base.invokelatest(missing_function, found)
    refused === nothing || return "$(isempty(file) ? type : basename(key[2])): $refused"
    isempty(source) || prepare(found)
    push!(REGISTERED, Registered(found, string(nameof(found)), key[2], collect(Symbol, fieldnames(found))))
    return HANDLES[key] = length(REGISTERED)
end

"A module for the file of a model."
function model_module()
    home = Module(:UserModel)
    Core.eval(home, Expr(:const, Expr(:(=), :VDA, VDA)))
    for name in CONTRACT
        Core.eval(home, Expr(:import, Expr(:(:), Expr(:., :., :VDA), Expr(:., name))))
    end
    without_exit!(home)
    return home
end

const ENDS = (:exit, :quit)                             # they would end Python, too
"Functions of a module that a user's file finds in place of those that end the process."
function without_exit!(home)
    for name in ENDS
        Core.eval(home, :($name(_...) = error("the file of a model cannot end the process by $($(string(name)))()")))
    end
    return home
end

"    kept_alive(ex) -> the expression with the module's own `exit` in place of `Base.exit`"
kept_alive(ex) = ex
kept_alive(ex::Expr) = is_exit(ex) ? ex.args[2].value : Expr(ex.head, map(kept_alive, ex.args)...)
is_exit(ex) = ex.head === :. && length(ex.args) == 2 && ex.args[1] in (:Base, :(Main.Base)) &&
    ex.args[2] isa QuoteNode && ex.args[2].value in ENDS

# An expression at a time: then the line of the one that fails is known, and functions can be inlined.
"    evaluate!(home, source, file) -> nothing, or what is wrong, with file and line"
function evaluate!(home, source, file)
    short = basename(file)
    program = Base.parse_input_line(source; filename = file)
    bad = unparsed(program)
    bad === nothing || return "$short:$(failing_line(source)): $bad"
    line = 1
    for ex in (program isa Expr && program.head === :toplevel ? program.args : Any[program])
        if ex isa LineNumberNode
            line = ex.line
            continue
        end
        try
            Core.eval(home, for_kernels(kept_alive(ex)))
        catch e
            return "$short:$(line_of(catch_backtrace(), file, line)): $(message_of(e))"
        end
    end
    return nothing
end

"    unparsed(ex) -> the parser's message, where it could not read the text"
unparsed(ex) = nothing
function unparsed(ex::Expr)
    ex.head in (:error, :incomplete) && return parser_message(first(ex.args))
    for a in ex.args
        a isa Expr && a.head in (:error, :incomplete) && return unparsed(a)
    end
    return nothing
end

# From version 1.10 on the parser draws the place below the text, with its message behind a dash.
function parser_message(e)
    drawn = match(r" ── (.+)", e isa Exception ? sprint(showerror, e) : "")
    return drawn === nothing ? replace(message_of(e), r"^incomplete: " => "") : String(drawn[1])
end

"The line on which the first expression begins that the parser cannot read."
function failing_line(source)
    (at, last) = (firstindex(source), lastindex(source))
    while at <= last
        while at <= last && isspace(source[at])
            at = nextind(source, at)
        end
        start = at
        at <= last || break
        ex, at = Meta.parse(source, at; raise = false)
        ex isa Expr && ex.head in (:error, :incomplete) && return 1 + count(==('\n'), SubString(source, 1, prevind(source, start)))
    end
    return 1 + count(==('\n'), source)
end

"    line_of(backtrace, file, line) -> the line of the file at which it went wrong, as far as is known"
function line_of(backtrace, file, line)
    for frame in stacktrace(backtrace)
        String(frame.file) == file && frame.line > 0 && return frame.line
    end
    return line
end

"    message_of(e) -> Julia's message, on one line, without our frames"
message_of(e::String) = one_line(e)
message_of(e::TaskFailedException) = message_of(e.task.exception)
message_of(e::LoadError) = message_of(e.error)
function message_of(e)
    text = attempt(() -> sprint(showerror, e))          # a user's type may not print
    return text === nothing ? "an exception of the type $(nameof(typeof(e))), whose message cannot be printed" : one_line(text)
end
function one_line(text)
    text = first(split(text, r"\n(Stacktrace|Closest candidates|The applicable method)"))
    return join(filter(!isempty, Base.strip.(split(text, '\n'))), "; ")
end

# --- what a file must have --------------------------------------------------------------------------

function is_model(home, name)
    isdefined(home, name) && !Base.isdeprecated(home, name) || return false
    T = getfield(home, name)
    return T isa Type && T <: Model && T !== Union{} && !isabstracttype(T) && Base.unwrap_unionall(T) isa DataType &&
           parentmodule(T) === home && !(T <: AnyWithParameters)
end

"    only_model(home, file, type) -> the struct of this name, or the only one, or a sentence"
function only_model(home, file, type)
    found = [getfield(home, name) for name in names(home; all = true) if is_model(home, name)]
    if !isempty(type)
        named = filter(T -> string(nameof(T)) == type, found)
        isempty(named) || return first(named)
        return home === VDA ? "the Julia engine has no model $type" :
               "$(basename(file)) has no model $type; found $(isempty(found) ? "none" : join(nameof.(found), ", "))"
    end
    isempty(found) && return "$(basename(file)) defines no model: expected a struct <: SmallModel, LargeModel or VectorModel"
    length(found) == 1 || return "$(basename(file)) defines several models ($(join(nameof.(found), ", "))); expected one struct a file"
    return first(found)
end

"    gives(f, W, position, count) -> whether f has a method for the model W, its argument at `position`"
gives(f, W, position, count) = any(methods(f)) do method
    types = Base.unwrap_unionall(method.sig).parameters
    length(types) == count + 1 || return false
    T = types[position+1]
    T isa TypeVar && (T = T.ub)
    T = Base.unwrap_unionall(T)
    return T isa DataType && T.name === Base.typename(W)
end

# What is fitting for all numbers of a model may be written with fewer or more variables.
"    missing_function(W) -> a sentence about what the struct or its functions lack, or nothing"
function missing_function(W)
    name = nameof(W)
    body = Base.unwrap_unionall(W)
    length(body.parameters) <= 1 || return "$name has $(length(body.parameters)) type parameters, expected one, that of its parameters"
    for (k, field) in enumerate(fieldnames(W))
        F = body.types[k]
        F isa TypeVar || F <: Integer && F !== Bool || W <: VectorModel && F <: AbstractFloat ||
            return "the field $field of $name has the type $F, expected the struct's type parameter (struct $name{T}, $field::T) for a parameter or Int for a size"
    end
    hasmethod(variables, Tuple{Type{concrete(W)}}) ||
        return "write variables(::Type{<:$name}), the names of its variables, as (\"x\", \"y\")"
    hasmethod(time_step, Tuple{Type{concrete(W)}}) || return "write time_step(::Type{<:$name}), its assimilation step"
    refused = names_refusal(name, variables(concrete(W)))
    refused === nothing || return refused
    h = time_step(concrete(W))
    h isa Real && isfinite(h) && h > 0 || return "time_step(::Type{<:$name}) is $(repr(h)), expected a positive number"
    if W <: SmallModel
        gives(tendency, W, 1, 2) || return "write tendency(m::$name, (x, y, ...)), which returns dx/dt as a tuple"
    elseif W <: LargeModel
        gives(tendency, W, 1, 3) || return "write tendency(m::$name, x, s), the tendency at the place s.i"
        gives(tangent_linear, W, 1, 4) || return "write tangent_linear(m::$name, x, dx, s): a LargeModel has no derivatives by default"
        gives(adjoint, W, 1, 4) || return "write adjoint(m::$name, x, v, s): a LargeModel has no derivatives by default"
        gives(dimensions, W, 1, 1) || return "write dimensions(m::$name), as (site = m.n,)"
    else
        (tends, steps) = (gives(tendency!, W, 2, 4), gives(step!, W, 2, 4))
        tends || steps || return "write tendency!(dx, m::$name, x, work), or step!(x1, m::$name, x, work)"
        tends && steps && return "$name has tendency! and step!; expected one of them, of which tangent_linear! and adjoint! are the derivatives"
        gives(tangent_linear!, W, 2, 5) || return "write tangent_linear!(dy, m::$name, x, dx, work): a VectorModel has no derivatives by default"
        gives(adjoint!, W, 2, 5) || return "write adjoint!(xbar, m::$name, x, ybar, work): a VectorModel has no derivatives by default"
        gives(dimensions, W, 1, 1) || return "write dimensions(m::$name), as (y = m.n, x = m.n)"
    end
    return nothing
end
concrete(W) = W isa UnionAll ? W{Float64} : W

names_refusal(type, found) =
    !(found isa Tuple && !isempty(found) && all(v -> v isa Union{String,Symbol}, found)) ?
    "variables(::Type{<:$type}) is $(one_line(repr(found))), expected a tuple of names, as (\"x\", \"y\")" :
    !all(v -> occursin(r"^\w[\w.+@-]*\z", string(v)), found) ?
    "variables(::Type{<:$type}) is $(one_line(repr(found))), expected names of letters, digits and underscores" : nothing

"    value_refusal(m) -> what is wrong with the types that the model's functions return, as inferred, or nothing"
function value_refusal(m::SmallModel)
    (name, D, known) = (nameof(typeof(m)), length(m), length(variables(typeof(m))))
    D == known || return "length(m::$name) is $D, expected $known, the number of variables($name); leave out this function"
    x = NTuple{D,Float64}
    for (f, rest) in ((tendency, ()), (tangent_linear, (x,)), (adjoint, (x,)))
        T = returned(f, typeof(m), x, rest...)
        T isa DataType && T !== Any || continue
        T <: Tuple || return "$f(m::$name, ...) returns $(nameof(T)), expected a tuple of $D numbers"
        n = length(T.parameters)
        (n > 0 && Base.isvarargtype(T.parameters[end])) || n == D || return "$f(m::$name, ...) returns $n numbers, expected $D, one for each of variables($name)"
    end
    return nothing
end
function value_refusal(m::LargeModel)
    (name, x) = (nameof(typeof(m)), Vector{Float64})
    needs_circle(m) || return nothing
    for (f, rest) in ((tendency, ()), (tangent_linear, (x,)), (adjoint, (x,)))
        T = returned(f, typeof(m), x, rest..., Neighbours)
        isconcretetype(T) && !(T <: Real) && return "$f(m::$name, ...) returns $(nameof(T)), expected the number of the place s.i"
    end
    return nothing
end
value_refusal(::VectorModel) = nothing
returned(f, types...) = Core.Compiler.return_type(f, Tuple{types...})

"    prepare(W): define the methods that depend on which functions the file of W defines"
function prepare(W)
    if W <: VectorModel && gives(step!, W, 2, 4)
        @eval has_own_step(::$W) = true
    elseif W <: LargeModel && !gives(each_place, W, 2, 2) && !gives(map_places!, W, 3, 5)
        @eval @inline map_places!(f::F, out, m::$W, around::Tuple, here::Tuple) where {F} =
            map_circle!(f, out, length(m), around, here)
    end
    return nothing
end
needs_circle(m::Model) = false
needs_circle(m::LargeModel) = !gives(each_place, wrapper(typeof(m)), 2, 2)

# --- a model at a handle ------------------------------------------------------------------------------

"    handle_refusal(handle, p, n[, given]) -> why there is no model with these of n fields at the handle, or nothing"
function handle_refusal(handle, p, n, given = 1:n)
    1 <= handle <= length(REGISTERED) || return "no model has the handle $handle; expected what `register` returned"
    r = REGISTERED[handle]
    n == length(r.fields) || return "$(r.name) has $(length(r.fields)) fields ($(join(r.fields, ", "))), found $n values"
    n > 0 && p == C_NULL && return "the values of the fields of $(r.name) are missing"
    for k in given
        (field, v) = (r.fields[k], unsafe_load(p, k))
        isfinite(v) || return "the field $field of $(r.name) is $v, expected a finite number"
        is_parameter(r.type, k) || (v == round(v) && abs(v) < 1e15) || return "the field $field of $(r.name) is $v, expected a whole number"
    end
    return nothing
end

"    model_at(handle, p) -> the model, after `handle_refusal`"
function model_at(handle, p)
    W = REGISTERED[handle].type
    return W((field_value(W, p, k) for k in 1:fieldcount(Base.unwrap_unionall(W)))...)
end
field_value(W, p, k) = is_parameter(W, k) ? unsafe_load(p, k) : Int(unsafe_load(p, k))

"    size_refusal(m, D) -> why the model cannot have a state of D components, or nothing"
function size_refusal(m, D)
    name = nameof(typeof(m))
    dims = dimensions_of(m)
    all(sizes -> all(>(0), values(sizes)), dims) || return "$name has dimensions $(join(dims, ", ")), expected sizes of at least 1"
    length(m) == D || return "a state of $name has $(length(m)) components, found $D"
    if needs_circle(m)
        length(dims) == 1 && length(first(dims)) == 1 ||
            return "write each_place(f, m::$name): its state is not a single line of places, for which there is a default"
        D >= SMALLEST_CIRCLE || return "$name needs at least $SMALLEST_CIRCLE components, found $D"
    end
    return nothing
end

"    coordinates_refusal(m) -> what is wrong with the coordinates that the model states, or nothing"
function coordinates_refusal(m)
    (said, found) = ("coordinates(m::$(nameof(typeof(m))))", coordinates(m))
    found isa NamedTuple ||
        return "$said is a $(nameof(typeof(found))), expected the points along dimensions, as (lat = 30:0.5:45, lon = 0:0.5:20)"
    sizes = merge(NamedTuple(), dimensions_of(m)...)
    for (dim, points) in pairs(found)
        haskey(sizes, dim) ||
            return "$said has points along $dim, expected dimensions of the model ($(isempty(sizes) ? "it has none" : join(keys(sizes), ", ")))"
        points isa AbstractVector && all(v -> v isa Real, points) ||
            return "$said is a $(nameof(typeof(points))) along $dim, expected a vector of $(sizes[dim]) numbers"
        length(points) == sizes[dim] || return "$said has $(length(points)) points along $dim, expected $(sizes[dim]), its length in dimensions(m)"
        all(isfinite, points) && all(>(0), diff(points)) ||
            return "$said along $dim is not increasing and finite; turn decreasing coordinates round, and the model's states with them"
    end
    return nothing
end

# --- what Python asks about a model -------------------------------------------------------------------

"""
    description(handle, m) -> lines of words separated by tabs

    kind        small, large or vector
    form        tendency or step
    time_step   in the model's units
    spinup      the same; nothing where the model does not say
    field       name, real or size, the value
    variable    name, then name=size of each dimension, slowest first
    points      the dimensions whose coordinates the model states
    gives       of start, land, parameters (derivatives by them): those that there are
"""
function description(handle, m)
    r = REGISTERED[handle]
    W = r.type
    lines = ["type\t$(r.name)",
             "kind\t$(m isa SmallModel ? "small" : m isa LargeModel ? "large" : "vector")",
             "form\t$(has_own_step(m) ? "step" : "tendency")",
             "time_step\t$(Float64(time_step(m)))",
             "spinup\t$(gives(spinup, W, 1, 1) ? string(Float64(spinup(m))) : "")"]
    for (k, field) in enumerate(r.fields)
        push!(lines, "field\t$field\t$(is_parameter(W, k) ? "real" : "size")\t$(Float64(getfield(m, k)))")
    end
    for (name, dims) in zip(variables(typeof(m)), dimensions_of(m))
        push!(lines, join(["variable", string(name), ("$k=$n" for (k, n) in pairs(dims))...], "\t"))
    end
    push!(lines, join(["points", string.(keys(coordinates(m)))...], "\t"))
    known = ["start" => gives(start, W, 1, 2), "land" => gives(land, W, 1, 1), "parameters" => knows_parameters(m)]
    push!(lines, join(["gives", (name for (name, does) in known if does)...], "\t"))
    return join(lines, "\n")
end

"Without defaults only the fields are known, and none of their values."
function description(handle, ::Nothing)
    r = REGISTERED[handle]
    fields = ["field\t$name\t$(is_parameter(r.type, k) ? "real" : "size")\tNaN" for (k, name) in enumerate(r.fields)]
    return join(["type\t$(r.name)"; fields], "\n")
end

"    knows_parameters(m) -> whether there are derivatives by the parameters, given or by dual numbers"
knows_parameters(m::Model) = !isempty(parameters(m))
knows_parameters(m::VectorModel) = !isempty(parameters(m)) &&
    gives(parameter_tangent!, wrapper(typeof(m)), 2, 5) && gives(parameter_adjoint!, wrapper(typeof(m)), 1, 4)

"""
    default_model(handle, p, given) -> the model that the keyword constructor makes; nothing where it makes none

It is called with the `given` fields of `p` if it has all these keywords, so that defaults may depend on them; else they
take the place of its defaults.
"""
function default_model(handle, p, given)
    (W, fields) = (REGISTERED[handle].type, REGISTERED[handle].fields)
    hasmethod(W, Tuple{}) || return nothing
    names = Tuple(fields[given])
    values = Tuple(field_value(W, p, k) for k in given)
    try
        hasmethod(W, Tuple{}, names) && return W(; NamedTuple{names}(values)...)
        m = W()
        m isa Model || return m
        return W((k in given ? field_value(W, p, k) : getfield(m, k) for k in eachindex(fields))...)
    catch e
        e isa UndefKeywordError || rethrow()
        return nothing
    end
end

# --- the models of models/zoo, each of which was included as a file ------------------------------------

own_models() = [getfield(VDA, name) for name in names(VDA; all = true) if is_model(VDA, name)]

function prepare_own_models()
    for W in own_models()
        refused = missing_function(W)
        refused === nothing || error("models/zoo: $refused")
        prepare(W)
        @eval export $(nameof(W))
    end
end
