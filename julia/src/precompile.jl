# What a process would otherwise compile on its first calls, compiled once with the package: from
# version 1.9 Julia keeps the machine code of what runs while a package is being precompiled. The
# arguments are of the types that boundary/boundary.jl makes; the sizes do not matter.

function run_once(m, h)
    (D, T, windows, count) = (length(m), 24, 2, 12)
    (scheme, Q) = (RungeKutta4(), [Float64(i == j) for i in 1:D, j in 1:D])
    x = zeros(D, T, windows)
    simulate!(x, [1.0 + i / D for i in 1:D, _ in 1:windows], m, h, h, 1e-3, 1e-3)
    precision = [t % 8 == 0 ? 1.0 : 0.0 for _ in 1:D, t in 1:T, _ in 1:windows]
    states = x[:, 1:count, 1] .+ [0.1 * (i + j) % 3 for i in 1:D, j in 1:count]

    for S in (Float64, Float32)
        (xS, yS, maskS) = (Array{S}(x), Array{S}(x), Array{S}(precision))
        cost_gradient!(zeros(3, windows), similar(xS), xS, yS, maskS, scheme, m, h, 0.01, 1.0, nothing)
        descend!(xS, yS, maskS, scheme, m, h, 0.01, 1.0, 0.1, 2, nothing)
    end
    weak_constraint!(copy(x), similar(x), zeros(4, windows), x, precision, ones(windows), zeros(D, windows),
                     scheme, m, ShootingCost(8, 1, h, Q), [1.0, 2.0],
                     Stopping(2, 1e-8, 0.0, 0, fill(Inf, windows)), nothing)

    problem = StrongConstraint(m, scheme, h, 4, 0, 2, 1e-8, zeros(D), Q, ones(D), x, precision,
                               reshape(states[:, 1:windows], D, 1, windows), nothing)
    (minima, hessian) = (zeros(D, 1, windows), zeros(D, D, 1, windows))
    strong_constraint!(minima, hessian, zeros(4, 1, windows), problem)
    trajectories!(similar(x), similar(x), reshape(minima, D, windows), reshape(hessian, D, D, windows), scheme, m, h, 4)
    ensemble_smoother!(similar(x), similar(x), x, precision, states, scheme, m, h; inflation = 1.01,
                       lag = 0, depth = 1, iterations = 3, reflections = zeros(count, 0, 1))

    m isa SmallModel || return
    library = Library(ones(D, 4T, windows), 4, ones(D))
    posterior_mean!(similar(x), similar(x), zeros(3, windows), x, precision, library, zeros(D, 8), scheme, m, h, 50.0, ones(D))
    best_starts!(zeros(D, 2, windows), x, precision, library, ones(D))
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

# Julia is writing a package image: the only time at which this file does anything.
if ccall(:jl_generating_output, Cint, ()) == 1 && VERSION >= v"1.9"
    println(stderr, "pyvda: compiling its Julia code for this machine, once: about half a minute")
    foreach(((m, h),) -> run_once(m, h), PRECOMPILED)
    foreach(run_learned_once, (Float32, Float64))
end
