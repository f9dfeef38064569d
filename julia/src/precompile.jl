# What a process would otherwise compile on its first calls, compiled once: into a system image before
# version 1.9 (image.jl), and while the package is precompiled from 1.9 on. The entry points are called as
# Python calls them, so that the arguments have the types of boundary/boundary.jl; the sizes do not matter.

const ARGUMENT_TYPES = Dict(name => [C_TYPES[type] for (type, _) in arguments] for (name, arguments) in signatures())

"    call_once(name, arguments...): call the entry point with arrays in place of pointers, nothing in place of null"
function call_once(name, arguments...)
    message = zeros(UInt8, 2048)
    given = Any[arguments..., message, length(message)]
    GC.@preserve given begin
        converted = [c_argument(T, a) for (T, a) in zip(ARGUMENT_TYPES[name], given)]
        status = getfield(VDA, Symbol("c_", name))(converted...)
    end
    status == DONE || error("$name: $(unsafe_string(pointer(message)))")
    return nothing
end
c_argument(::Type{T}, a::AbstractArray) where {T} = T(pointer(a))
c_argument(::Type{T}, ::Nothing) where {T} = T(C_NULL)
c_argument(::Type{T}, a) where {T} = T(a)

"    run_once(m, h): every entry point that takes a model, once, for this one of VDA's own"
function run_once(m, h)
    (D, T, windows, count) = (length(m), 24, 2, 12)
    (Q, ones_, text) = ([Float64(i == j) for i in 1:D, j in 1:D], ones(D), zeros(UInt8, 1 << 16))
    fields = Float64[getfield(m, name) for name in fieldnames(typeof(m))]
    (handle, type) = (zeros(Int64, 1), Vector{UInt8}(string(nameof(typeof(m)))))
    call_once("register", UInt8[], 0, UInt8[], 0, type, length(type), handle)
    call_once("describe", handle[1], nothing, 0, text, length(text))
    call_once("describe", handle[1], fields, length(fields), text, length(text))
    model(size = D) = (handle[1], fields, length(fields), size)
    none = (0, 0, nothing, nothing, nothing, nothing, nothing, nothing)

    (x, other) = (zeros(D, T, windows), zeros(D, T, windows))
    call_once("simulate", model()..., T, windows, [1.0 + i / D for i in 1:D, _ in 1:windows], x, h, h, 1e-3, 1e-3)
    precision = [t % 8 == 0 ? 1.0 : 0.0 for _ in 1:D, t in 1:T, _ in 1:windows]
    states = x[:, 1:count, 1] .+ [0.1 * (i + j) % 3 for i in 1:D, j in 1:count]
    at_steps = (count, 1, zeros(Int64, count, windows), zeros(count, windows), ones(count, windows),
                ones(count, windows), zeros(Int64, 1, count, windows), ones(1, count, windows))
    foreach(what -> call_once("step", model()..., count, 4, h, what, states, states, similar(states)), 0:2)
    call_once("observed", model()..., T, windows, 4, h, x, zeros(count, windows), at_steps...)
    for S in (Float64, Float32)
        (xS, yS, maskS) = (Array{S}(x), Array{S}(x), Array{S}(precision))
        problem = (model()..., T, windows, sizeof(S), 4, h, 0.01, 1.0, xS, yS, maskS)
        call_once("cost", problem..., zeros(3, windows), similar(xS), none...)
        call_once("cost", problem..., zeros(3, windows), nothing, none...)
        call_once("descend", problem..., 0.1, 2, 0, 0, nothing, nothing, none...)
    end

    weak(stdev, model_precision) =
        call_once("weak_constraint", model()..., T, windows, 4, h, 1, 8, copy(x), stdev, zeros(4, windows), x, precision,
                  ones(windows), zeros(D, windows), Q, model_precision, [1.0, 2.0], 2, 2, 1e-8, 0.0, 0, fill(Inf, windows), none...)
    weak(nothing, nothing)
    weak(other, nothing)
    (minima, hessian) = (zeros(D, 1, windows), zeros(D, D, 1, windows))
    starts = reshape(states[:, 1:windows], D, 1, windows)
    call_once("strong_constraint", model()..., 0, T, windows, 4, h, x, precision, starts, 1, zeros(D), Q, ones_, 4, 0, 2, 1e-8,
              minima, hessian, zeros(4, 1, windows), none...)
    call_once("trajectories", model()..., 0, T, windows, 4, h, minima, hessian, 4, copy(x), other)
    call_once("ensemble_smoother", model()..., T, windows, 4, h, x, precision, states, count, 1.01, 0, 1, 3, zeros(0), 0, 1,
              nothing, copy(x), other, nothing, 0, 0, nothing, nothing, none...)

    m isa SmallModel || return
    library = (ones(D, 4T, windows), 4T, windows, 4, ones_)
    call_once("posterior_mean", model()..., T, windows, 4, h, x, precision, library..., zeros(D, 8), 8, 50.0, ones_, copy(x),
              other, zeros(3, windows))
    call_once("best_starts", D, T, windows, x, precision, library..., ones_, 2, zeros(D, 2, windows))
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
    (zeros_, ones_) = (zeros(N), ones(N))
    call_once("optimal_interpolation", N, G, 1, 2, 2, position, map_, zeros(Int64, N), Int64[0, N], zeros_, ones_, ones_, zeros_,
              [0.0], Float64[1 1; 0 1; 9 9; 0 2; 9 9], [0.1, 1.0], [1.0, 1.0, 0.0], 2, 1, 9.0, 1e9, position[:, 1:1],
              map_[:, 1:1], Int64[1, 1], [0.0, 1.0], Int64[1, 0], out)
    return
end

"The local analyses of an ensemble, fixed and adaptive."
function run_local_analyses_once()
    (D, N, data) = (4, 5, 3)
    members = [sin(i + 3.0j) for i in 1:D, j in 1:N]
    S = [sin(2.0i + j) for i in 1:N, j in 1:data]
    rotation = [Float64(i == j) for i in 1:N, j in 1:N]
    GC.@preserve members for (adaptive, mixing) in ((0, nothing), (1, rotation))
        call_once("local_analyses", D, N, 1, [pointer(members)], data, S, ones(data), 1, ones(1, data), D, ones(1, D), zeros(1),
                  collect(0:D), D, collect(0:D-1), fill(1.0 - adaptive / 2, D), 1, [0, D], 1.1, adaptive, mixing)
    end
    return
end

"    run_everything_once(): what a first call would compile; nothing of it stays but the machine code"
function run_everything_once()
    __init__()                  # which chooses kernels, and does not run while code is written
    map(string, (VERSION, Threads.nthreads(), map(entry_point, collect(keys(ARGUMENT_TYPES)))...))
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
