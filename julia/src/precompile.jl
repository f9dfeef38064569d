# What a process would otherwise compile on its first calls, compiled once: into a system image before
# version 1.9 (image.jl), and while the package is precompiled from 1.9 on. The entry points are called as
# Python calls them, by the names in boundary/signatures.txt; the sizes do not matter. A new entry point that takes a
# model is run as well, with zeros for arguments that `examples` lacks.

const ARGUMENTS = [name => [Symbol(argument) => C_TYPES[type] for (type, argument) in arguments] for (name, arguments) in signatures()]

"""
    call_once(name, given)

Call an entry point with these arguments, arrays in place of pointers and nothing in place of null. Numbers that are
not given are 0, arrays are zeros.
"""
function call_once(name, given)
    message = zeros(UInt8, 2048)
    known = merge(Dict{Symbol,Any}(:message => message, :capacity => length(message)), given)
    expected = Dict(ARGUMENTS)[name]
    arguments = Any[haskey(known, argument) ? known[argument] : T <: Ptr ? zeros(1 << 14) : T(0) for (argument, T) in expected]
    GC.@preserve arguments begin
        converted = [c_argument(T, a) for ((_, T), a) in zip(expected, arguments)]
        status = getfield(VDA, Symbol("c_", name))(converted...)
    end
    status == DONE || error("$name: $(unsafe_string(pointer(message)))")
    return nothing
end
call_once(name; given...) = call_once(name, Dict{Symbol,Any}(given))
c_argument(::Type{T}, a::AbstractArray) where {T} = T(pointer(a))
c_argument(::Type{T}, ::Nothing) where {T} = T(C_NULL)
c_argument(::Type{T}, a) where {T} = T(a)

"    examples(m, h, handle) -> for one of VDA's own models, the arguments for which 0 or zeros would not do"
function examples(m, h, handle)
    (D, T, windows, count) = (length(m), 24, 2, 12)
    fields = Float64[getfield(m, name) for name in fieldnames(typeof(m))]
    identity = [Float64(i == j) for i in 1:D, j in 1:D]
    states = [1.0 + i / D + 0.1 * (i + j) % 3 for i in 1:D, j in 1:max(count, T * windows)]
    observed = [t % 8 == 0 ? 1.0 : 0.0 for _ in 1:D, t in 1:T, _ in 1:windows]
    return Dict{Symbol,Any}(
        :handle => handle, :values => fields, :fields => length(fields), :D => D, :T => T, :windows => windows, :scheme => 4,
        :h => h, :dt => h, :spinup => h, :rtol => 1e-3, :atol => 1e-3, :terms => 1, :bytes => 8, :lambda1 => 0.01, :lambda2 => 1.0,
        :alpha => 0.1, :substeps => 1, :every => 8, :stages => 2, :iterations => 2, :tolerance => 1e-8, :start_count => 1,
        :lead => 4, :member_count => count, :inflation => 1.01, :depth => 1, :reflection_count => 1, :length => 4T,
        :trajectories => windows, :draws => 8, :enough => 50.0,
        :start => copy(states), :starts => copy(states), :control => copy(states), :members => copy(states),
        :x => reshape(states[:, 1:T*windows], D, T, windows), :v => copy(states), :states => ones(D, 4T, windows), :signs => ones(D),
        :mask => copy(observed), :precision => observed, :b_inverse => identity, :hessian => repeat(identity, 1, windows),
        :divisor => ones(windows), :metric => ones(D), :weights => [1.0, 2.0], :give_up_cost => fill(Inf, windows),
        :moves => ones(D), :apart => ones(D), :model_precision => nothing, :noise => nothing, :final => nothing,
    )
end

"    variants(name, given) -> the arguments of each call of the entry point, if they decide what is compiled"
variants(name, given) =
    name == "one_step" ? [(; what = what, count = 12) for what in 0:2] :
    name == "cost" ? [(; in_precision(S, given)..., gradient = g) for S in (Float64, Float32) for g in (zeros(1 << 14), nothing)] :
    name == "descend" ? [in_precision(S, given) for S in (Float64, Float32)] :
    name == "observed" ? [(; count = 12)] :
    name == "linearised_run" ? [(; what = what) for what in 0:2] :
    name == "weak_constraint" ? [(; stdev = nothing), NamedTuple()] : [NamedTuple()]
in_precision(::Type{S}, given) where {S} = (; bytes = sizeof(S), x = Array{S}(given[:x]), y = Array{S}(given[:x]), mask = Array{S}(given[:mask]))

# Run below with arguments of their own, or not run: entry points for a user's files, and for checks.
const RUN_OTHERWISE = ("register", "describe", "genn", "genn_back", "convolutions", "convolutions_back", "optimal_interpolation",
                       "local_analyses")
const NOT_RUN = ("starts", "mask", "coordinates", "verdict", "register_observation", "observe", "shooting_objective", "strong_objective")

"    run_once(m, h): every entry point that takes a model, once, for this one of VDA's own"
function run_once(m, h)
    (handle, type, text) = (zeros(Int64, 1), Vector{UInt8}(string(nameof(typeof(m)))), zeros(UInt8, 1 << 16))
    call_once("register"; type = type, type_bytes = length(type), handle = handle)
    call_once("describe"; handle = handle[1], values = nothing, text = text, text_bytes = length(text))
    call_once("describe", merge(examples(m, h, handle[1]), Dict{Symbol,Any}(:text => text, :text_bytes => length(text))))
    for (name, arguments) in ARGUMENTS
        needs_library = any(p -> first(p) === :trajectories, arguments)
        (name in RUN_OTHERWISE || name in NOT_RUN || (needs_library && !(m isa SmallModel))) && continue
        for own in variants(name, examples(m, h, handle[1]))
            call_once(name, merge(examples(m, h, handle[1]), Dict{Symbol,Any}(pairs(own))))
        end
    end
    return
end

"Learned priors and solvers."
function run_learned_once(::Type{T}) where {T}
    memory = Memory{T}()
    (x, features, latent, outputs) = (ones(T, 3, 24, 2), 4, 2, 3)
    weights = (ones(T, 9, features), ones(T, features, 2latent + outputs), ones(T, latent, outputs))
    scales = [Scale(memory, Grid(3, 3), 1, false, weights...)]
    layers = [Layer(memory, false, ones(T, 3, 3, 3))]
    (g, v) = (similar(x), similar(x))
    GC.@preserve memory begin
        residual_gradient!(g, v, x, scales)
        residual_gradient_back!(similar(x), [map(zero, weights)], x, v, g, scales)
        convolutions!(g, x, layers)
        convolutions_back!(similar(x), [zeros(T, 3, 3, 3)], x, g, layers)
    end
    return
end

"Fields without a model."
function run_interpolation_once()
    (N, G, out) = (3, 1, zeros(4, 2))
    (position, map_) = (Float64[1 2 3; 1 0 2; 0 0 0], Float64[1 2 3; 1 0 2])
    call_once("optimal_interpolation"; data = N, groups = G, points = 1, queries = 2, factors = 2, moving = 1, velocity = zeros(3, N), position = position, map = map_,
              first = Int64[0, N], noise = ones(N), value = ones(N), covariance = Float64[1 1; 0 1; 9 9; 0 2; 9 9],
              along = [0.1, 1.0], scale = [1.0, 1.0, 0.0], own = 2, other = 1, days = 9.0, km = 1e9,
              point_position = position[:, 1:1], point_map = map_[:, 1:1], point = Int64[1, 1], query_time = [0.0, 1.0],
              group = Int64[1, 0], out = out)
    return
end

"The local analyses of an ensemble, fixed and adaptive."
function run_local_analyses_once()
    (D, N, data) = (4, 5, 3)
    members = [sin(i + 3.0j) for i in 1:D, j in 1:N]
    S = [sin(2.0i + j) for i in 1:N, j in 1:data]
    rotation = [Float64(i == j) for i in 1:N, j in 1:N]
    GC.@preserve members for (adaptive, mixing) in ((0, nothing), (1, rotation))
        call_once("local_analyses"; D = D, member_count = N, ensemble_count = 1, ensembles = [pointer(members)], data = data,
                  sensitivity = S, innovation = ones(data), dims = 1, place = ones(1, data), centre_count = D,
                  centre_place = ones(1, D), period = zeros(1), first = collect(0:D), entries = D, component = collect(0:D-1),
                  coefficient = fill(1.0 - adaptive / 2, D), colour_count = 1, colours = [0, D], inflation = 1.1,
                  adaptive = adaptive, rotation = mixing)
    end
    return
end

"    run_everything_once(): compile what first calls need; only the machine code is kept"
function run_everything_once()
    __init__()                  # which chooses kernels, and does not run while code is written
    map(string, (VERSION, Threads.nthreads(), map(entry_point, map(first, ARGUMENTS))...))
    precompile(forget_compiled_code!, ())
    for_kernels(Base.parse_input_line("tendency(m::M, (x, y)) = (m.a * x - y, 2y + x * (y - m.b))").args[end])
    foreach(((m, h),) -> run_once(m, h), PRECOMPILED)
    foreach(run_learned_once, (Float32, Float64))
    run_interpolation_once()
    run_local_analyses_once()
    foreach(empty!, (REGISTERED, HANDLES, WORKSPACES))
    return
end

# Julia is writing a package image: the only time at which this file does anything.
if ccall(:jl_generating_output, Cint, ()) == 1 && VERSION >= v"1.9"
    println(stderr, "pyvda: compiling its Julia code for this machine, once: about half a minute")
    run_everything_once()
end
