# Strong-constraint 4D-Var: the model is exact, the control is one state x₀, `lead` steps before the
# window, so that the flow brings the Gaussian background onto the attractor until the window starts:
#
#     J(x₀) = ½ (x₀ - b)ᵀ B⁻¹ (x₀ - b) + ½ Σ (y - x(t))² / R,      x(t) = Φᵗ(x₀).
#
# Gauss-Newton with the tangent linear columns, damped as by Levenberg and Marquardt. Far from the
# minimum J has many others; it has few while the window is short, so the window can be grown by some
# steps at a time, each from the last minimum (Pires, Vautard & Talagrand 1996: quasi-static).
#
# A job is one minimisation: a window and a start. A lane holds one job and takes the next when it has
# done, so that a long minimisation does not keep seven short ones waiting. What costs time is the
# evaluation of J with gradient and Hessian, on all lanes at once; the decisions are made a job at a
# time. A large model has one job, and its columns in lanes (segment.jl).
#
# The model's parameters may belong to the control: all of this is then about `WithParameters(m)`,
# whose state they are part of. No datum is of them.

"One minimisation on its way."
mutable struct Minimisation
    job::Int                    # 0: none
    horizon::Int                # steps of the window that count so far
    fresh::Bool                 # x itself is to be evaluated, with a new horizon
    iterations::Int
    since::Int                  # iterations since the window has this length
    μ::Float64                  # damping
    J::Float64
    decrement::Float64
    x::Vector{Float64}
    g::Vector{Float64}
    H::Matrix{Float64}
    δ::Vector{Float64}
    trial::Vector{Float64}      # x + δ: where J is asked for
    L::Matrix{Float64}
end
Minimisation(D) = Minimisation(0, 0, true, 0, 0, 0.0, Inf, Inf, zeros(D), zeros(D), zeros(D, D), zeros(D), zeros(D), zeros(D, D))

struct StrongConstraint{M,S,A,P}
    m::M
    scheme::S
    h::Float64
    lead::Int
    growth::Int                 # 0: the whole window at once
    iterations::Int             # for each length of the window
    tolerance::Float64          # on the decrement: twice what J could still fall by
    b::Vector{Float64}
    B⁻¹::Matrix{Float64}
    metric::Vector{Float64}     # of the damping: one over the variance of each component
    y::A                        # (state, time, window)
    precision::A
    starts::A                   # (state, start, window)
    points::P                   # data at arbitrary times (points.jl), of weight 1/R; or nothing
end
StrongConstraint(m, scheme, h, lead, growth, iterations, tolerance, b, B⁻¹, metric, y, precision, starts) =
    StrongConstraint(m, scheme, h, lead, growth, iterations, tolerance, b, B⁻¹, metric, y, precision, starts, nothing)


const LOOSE = 0.1               # decrement at which a window that has not its full length is grown
const LOST_IN_SUM = 1e-12       # relative to J: what falls by less is not seen

"""
    strong_constraint!(x, H, info, problem)

Minimise J for every window and start.

- `x`: `(state, start, window)`, out: the minima
- `H`: `(state, state, start, window)`, out: the Gauss-Newton Hessian there, the inverse covariance
- `info`: `(4, start, window)`, out: J, the decrement, iterations, status
"""
function strong_constraint!(x, H, info, p::StrongConstraint)
    jobs = size(p.starts, 2) * size(p.starts, 3)
    BLAS.set_num_threads(1)
    threads = min(Threads.nthreads(), jobs)
    next = Threads.Atomic{Int}(1)
    Threads.@threads for _ in 1:threads
        minimise!(x, H, info, p, evaluator(p.m, size(p.y, 2), p.points), next, jobs)
    end
    return x
end

function minimise!(x, H, info, p, e, next, jobs)
    slots = [Minimisation(length(p.m)) for _ in 1:width(e)]
    for s in eachindex(slots)
        take_job!(slots[s], p, e, s, next, jobs)
    end
    while any(s -> s.job > 0, slots)
        evaluate!(e, p, slots)
        for s in eachindex(slots)
            slots[s].job > 0 || continue
            if decide!(slots[s], p, e, s)
                leave!(x, H, info, slots[s], p)
                take_job!(slots[s], p, e, s, next, jobs)
            end
        end
    end
    return nothing
end

window_of(job, p) = (job - 1) ÷ size(p.starts, 2) + 1
start_of(job, p) = (job - 1) % size(p.starts, 2) + 1

"The slot's next job, if there is one."
function take_job!(s::Minimisation, p, e, slot, next, jobs)
    job = Threads.atomic_add!(next, 1)
    s.job = job <= jobs ? job : 0
    clear_data!(e, slot)
    s.horizon = 0
    s.job > 0 || return nothing
    s.iterations = 0
    s.μ = 0.0
    @inbounds for i in eachindex(s.x)
        s.x[i] = p.starts[i, start_of(job, p), window_of(job, p)]
    end
    grow!(s, p, e, slot)
    return nothing
end

"A longer window, or the whole."
function grow!(s, p, e, slot)
    T = size(p.y, 2)
    old = s.horizon
    s.horizon = p.growth == 0 ? T : min(T, old + p.growth)
    add_data!(e, p, slot, window_of(s.job, p), old+1:s.horizon)
    s.fresh = true
    s.since = 0
    s.μ = 0.0
    s.J = Inf
    copyto!(s.trial, s.x)
    return nothing
end

"After an evaluation at the trial: accept or refuse it, and choose the next. True: the job is done."
function decide!(s::Minimisation, p, e, slot)
    J = cost_of_slot(e, slot)
    if s.fresh && !isfinite(J)
        s.J = J
        s.decrement = Inf
        return true
    elseif s.fresh || J < s.J
        s.fresh || adapt_damping!(s, J)
        copyto!(s.x, s.trial)
        s.J = J
        read_slot!(s.g, s.H, e, slot)
        s.fresh = false
        s.decrement = newton_decrement!(s)
    else
        s.decrement > LOST_IN_SUM * (1 + s.J) || return finished!(s, p, e, slot)    # J is at its rounding error
        s.μ = max(5s.μ, 1.0)
    end
    whole = s.horizon == size(p.y, 2)
    s.decrement <= (whole ? p.tolerance : LOOSE) && return finished!(s, p, e, slot)
    if s.since >= p.iterations || s.μ > 1e12
        return whole || finished!(s, p, e, slot)
    end
    while !damped_step!(s, p.metric)
        s.μ = max(5s.μ, 1.0)
        s.μ > 1e12 && return whole || finished!(s, p, e, slot)
    end
    s.iterations += 1
    s.since += 1
    return false
end

"""
    adapt_damping!(s, J)

After a step that was accepted: less damping only when J fell by as much as the Gauss-Newton model
says. Where that model misses curvature (large noise, strongly curved flow) full steps overshoot, and
the damping at which they do not is kept.
"""
function adapt_damping!(s, J)
    linear = quadratic = 0.0
    @inbounds for i in eachindex(s.g)
        linear -= s.g[i] * s.δ[i]
        for j in eachindex(s.g)
            quadratic += s.δ[i] * s.H[i, j] * s.δ[j]
        end
    end
    gain = (s.J - J) / (linear - quadratic / 2)
    gain < 0.5 && (s.μ = max(2s.μ, 0.5))
    gain > 0.8 && (s.μ = s.μ < 0.1 ? 0.0 : s.μ / 4)
    return nothing
end

"At a minimum: with the whole window the job is done, else the window grows."
function finished!(s, p, e, slot)
    s.horizon == size(p.y, 2) && return true
    grow!(s, p, e, slot)
    return false
end

"""
    damped_step!(s, metric) -> is H + μ W positive definite; solve it for the next trial

The damping W is in the units of the climatology, not of H: where the directions of small and large
curvature are oblique, the diagonal of H is large everywhere and would hold back the former.
"""
function damped_step!(s, metric)
    D = length(s.g)
    @inbounds for j in 1:D, i in j:D
        s.L[i, j] = s.H[i, j] + (i == j) * s.μ * metric[i]
    end
    cholesky_in_place!(s.L) || return false
    @inbounds for i in 1:D
        s.δ[i] = -s.g[i]
    end
    forward!(s.δ, s.L)
    backward!(s.δ, s.L)
    @inbounds for i in 1:D
        s.trial[i] = s.x[i] + s.δ[i]
    end
    return true
end

"gᵀ H⁻¹ g, infinite where H is singular."
function newton_decrement!(s)
    copyto!(s.L, s.H)
    cholesky_in_place!(s.L) || return Inf
    copyto!(s.δ, s.g)
    forward!(s.δ, s.L)
    return sum(abs2, s.δ)
end

function leave!(x, H, info, s, p)
    (k, w) = (start_of(s.job, p), window_of(s.job, p))
    @inbounds for j in eachindex(s.x)
        x[j, k, w] = s.x[j]
        for i in eachindex(s.x)
            H[i, j, k, w] = s.H[i, j]
        end
    end
    converged = s.horizon == size(p.y, 2) && (s.decrement <= p.tolerance || s.decrement <= LOST_IN_SUM * (1 + s.J))
    info[1, k, w] = s.J
    info[2, k, w] = s.decrement
    info[3, k, w] = s.iterations
    info[4, k, w] = !isfinite(s.J) ? DIVERGED : converged ? CONVERGED : ITERATION_LIMIT
    return nothing
end

# --- small dense triangles, without exceptions ----------------------------------------------------

"    cholesky_in_place!(A) -> is A positive definite; its lower triangle is then the factor"
function cholesky_in_place!(A)
    D = size(A, 1)
    @inbounds for j in 1:D
        d = A[j, j]
        scale = d
        for k in 1:j-1
            d -= A[j, k]^2
        end
        d > 1e-14 * scale || return false
        A[j, j] = sqrt(d)
        for i in j+1:D
            a = A[i, j]
            for k in 1:j-1
                a -= A[i, k] * A[j, k]
            end
            A[i, j] = a / A[j, j]
        end
    end
    return true
end
function forward!(v, L)
    @inbounds for i in eachindex(v)
        a = v[i]
        for k in 1:i-1
            a -= L[i, k] * v[k]
        end
        v[i] = a / L[i, i]
    end
    return v
end
function backward!(v, L)
    @inbounds for i in length(v):-1:1
        a = v[i]
        for k in i+1:length(v)
            a -= L[k, i] * v[k]
        end
        v[i] = a / L[i, i]
    end
    return v
end

# --- J, its gradient and its Hessian: windows in lanes --------------------------------------------

struct LaneEvaluator{N}
    y::Matrix{N}                # (state, time)
    π::Matrix{N}                # 0 beyond a slot's horizon
    observed::Vector{Bool}      # by any slot
    points::PointBlock{N}       # as many places for each step as any window needs
    x::Vector{N}
    J::Base.RefValue{N}
    g::Vector{N}
    H::Matrix{N}
end
function evaluator(m::SmallModel, T, points = nothing)
    N = lanes_for(Float64)
    D = length(m)
    places = make_room!(PointBlock{N}(T), points, points === nothing ? () : axes(points.step, 2))
    return LaneEvaluator{N}(zeros(N, D, T), zeros(N, D, T), fill(false, T), places, zeros(N, D), Ref(zero(N)), zeros(N, D), zeros(N, D, D))
end
width(::LaneEvaluator{N}) where {N} = lanes(N)
cost_of_slot(e::LaneEvaluator, slot) = lane(e.J[], slot)
function read_slot!(g, H, e::LaneEvaluator, slot)
    @inbounds for j in eachindex(g)
        g[j] = lane(e.g[j], slot)
        for i in j:length(g)
            H[i, j] = H[j, i] = lane(e.H[i, j], slot)
        end
    end
    return nothing
end

function clear_data!(e::LaneEvaluator, slot)
    view(scalars(e.π), slot, :, :) .= 0
    view(scalars(e.points.c), slot, :) .= 0
    return mark!(e)
end
function add_data!(e::LaneEvaluator, p, slot, window, steps)
    (ys, πs) = (scalars(e.y), scalars(e.π))
    @inbounds for t in steps, i in axes(e.y, 1)
        ys[slot, i, t] = p.y[i, t, window]
        πs[slot, i, t] = p.precision[i, t, window]
    end
    place_points!(e.points, slot, p.points, window, steps)
    return mark!(e)
end
function mark!(e::LaneEvaluator{N}) where {N}
    (πs, cs) = (scalars(e.π), scalars(e.points.c))
    @inbounds for t in eachindex(e.observed)
        s = 0.0
        for k in points_at(e.points, t), l in 1:lanes(N)
            s += cs[l, k]
        end
        for i in axes(e.π, 1), l in 1:lanes(N)
            s += πs[l, i, t]
        end
        e.observed[t] = s > 0
    end
    return nothing
end

function evaluate!(e::LaneEvaluator{N}, p, slots) where {N}
    xs = scalars(e.x)
    for (l, s) in enumerate(slots), i in eachindex(e.x)
        xs[l, i] = s.trial[i]
    end
    background!(e, p.b, p.B⁻¹)
    D = size_of(p.m)
    return sweep!(e, p, tuple_of(e.x, D), unit_columns(N, D), maximum(s -> s.horizon, slots))
end

function background!(e, b, B⁻¹)
    J = zero(eltype(e.x))
    @inbounds for j in eachindex(b)
        g = zero(J)
        for i in eachindex(b)
            g = muladd(B⁻¹[i, j], e.x[i] - b[i], g)
            e.H[i, j] = eltype(e.x)(B⁻¹[i, j])
        end
        e.g[j] = g
        J = muladd(0.5 * g, e.x[j] - b[j], J)
    end
    e.J[] = J
    return nothing
end

function sweep!(e, p, x, columns, horizon)
    x, columns = segment(p.scheme, p.m, x, columns, p.h, p.lead)
    for t in 1:horizon
        if @inbounds e.observed[t]
            add_misfit!(e, x, columns, t)
            isempty(points_at(e.points, t)) ||
                (e.J[] += 0.5 * add_points!(e.g, e.H, e.points, t, x, columns, p.scheme, p.m, p.h, 1))
        end
        t < horizon && ((x, columns) = advance(p.scheme, p.m, x, columns, p.h))
    end
    return nothing
end

@inline function add_misfit!(e::LaneEvaluator, x::NTuple{D,Any}, columns, t) where {D}
    @inbounds for i in 1:D
        π = e.π[i, t]
        r = x[i] - e.y[i, t]
        πr = π * r
        e.J[] = muladd(0.5 * πr, r, e.J[])
        for k in 1:D
            e.g[k] = muladd(πr, columns[k][i], e.g[k])
            πc = π * columns[k][i]
            for j in k:D
                e.H[j, k] = muladd(πc, columns[j][i], e.H[j, k])
            end
        end
    end
    return nothing
end

# --- one window, columns in lanes -----------------------------------------------------------------

struct ColumnEvaluator
    segment::SegmentWorkspace
    points::PointBlock{Float64}
    at_points::SegmentWorkspace
    J::Base.RefValue{Float64}
    g::Vector{Float64}
    H::Matrix{Float64}
end
evaluator(m::LargeModel, T, points = nothing) =
    ColumnEvaluator(SegmentWorkspace(m), PointBlock{Float64}(T), SegmentWorkspace(m), Ref(0.0), zeros(length(m)), zeros(length(m), length(m)))
width(::ColumnEvaluator) = 1
cost_of_slot(e::ColumnEvaluator, slot) = e.J[]
function read_slot!(g, H, e::ColumnEvaluator, slot)
    copyto!(g, e.g)
    copyto!(H, e.H)
    return nothing
end
clear_data!(::ColumnEvaluator, slot) = nothing
function add_data!(e::ColumnEvaluator, p, slot, window, steps)
    first(steps) == 1 && make_room!(e.points, p.points, window:window)
    place_points!(e.points, slot, p.points, window, steps)
    return nothing
end

function evaluate!(e::ColumnEvaluator, p, slots)
    s = slots[1]
    D = length(s.x)
    ws = start!(e.segment, s.trial)
    fill!(e.g, 0.0)
    copyto!(e.H, p.B⁻¹)
    J = 0.0
    @inbounds for j in 1:D
        for i in 1:D
            e.g[j] += p.B⁻¹[i, j] * (s.trial[i] - p.b[i])
        end
        J += e.g[j] * (s.trial[j] - p.b[j]) / 2
    end
    window = window_of(s.job, p)
    segment!(ws, p.scheme, p.m, p.h, p.lead)
    for t in 1:s.horizon
        @inbounds for i in 1:D
            π = p.precision[i, t, window]
            π > 0 || continue
            r = ws.x[i] - p.y[i, t, window]
            J += π * r^2 / 2
            add_column!(e.g, e.H, ws.transposed, i, π, r)
        end
        isempty(points_at(e.points, t)) ||
            (J += add_points!(e.g, e.H, e.at_points, e.points, t, ws, p.scheme, p.m, p.h, 1) / 2)
        t < s.horizon && advance!(ws, p.scheme, p.m, p.h)
    end
    e.J[] = J
    return nothing
end

function add_column!(g, H, transposed, i, π, r)
    @inbounds for k in eachindex(g)
        c = π * transposed[k, i]
        g[k] += r * c
        @simd for j in eachindex(g)
            H[j, k] += c * transposed[j, i]
        end
    end
    return nothing
end

# --- the analysis and its spread ------------------------------------------------------------------

"""
    trajectories!(x, stdev, x₀, H, scheme, m, h, lead)

The states of each window that follow from its minimum, and their standard deviations: with H⁻¹ = CCᵀ
the covariance at a step is (𝚽C)(𝚽C)ᵀ. NaN where H is not positive definite.

- `x`, `stdev`: `(state, time, window)`, out
- `x₀`, `H`: `(state, window)`, `(state, state, window)`
"""
function trajectories!(x, stdev, x₀, H, scheme, m, h, lead)
    windows = size(x, 3)
    threads = min(Threads.nthreads(), windows)
    Threads.@threads for k in 1:threads
        for w in k:threads:windows
            C, regular = root_of_inverse(view(H, :, :, w))
            follow!(x, stdev, view(x₀, :, w), C, scheme, m, h, lead, w)
            regular || fill!(view(stdev, :, :, w), NaN)
        end
    end
    return x
end

"C with CCᵀ = H⁻¹, and whether there is one."
function root_of_inverse(H)
    D = size(H, 1)
    L = Matrix(H)
    C = zeros(D, D)
    cholesky_in_place!(L) || return C, false
    for j in 1:D
        C[j, j] = 1
        backward!(view(C, :, j), L)
    end
    return C, true
end

function follow!(x, stdev, x₀, C, scheme, m::SmallModel, h, lead, w)
    D = size_of(m)
    from = tuple_of(x₀, D)
    columns = ntuple(j -> tuple_of(view(C, :, j), D), D)
    return follow_small!(x, stdev, from, columns, scheme, m, h, lead, w)
end
function follow_small!(x, stdev, state::NTuple{D,Float64}, columns, scheme, m, h, lead, w) where {D}
    state, columns = segment(scheme, m, state, columns, h, lead)
    for t in axes(x, 2)
        @inbounds for i in 1:D
            x[i, t, w] = state[i]
            s = 0.0
            for j in 1:D
                s += columns[j][i]^2
            end
            stdev[i, t, w] = sqrt(s)
        end
        state, columns = advance(scheme, m, state, columns, h)
    end
    return nothing
end
function follow!(x, stdev, x₀, C, scheme, m::LargeModel, h, lead, w)
    ws = start!(SegmentWorkspace(m), x₀)
    D = length(m)
    for j in 1:D, i in 1:D
        ws.transposed[j, i] = C[i, j]
    end
    segment!(ws, scheme, m, h, lead)
    for t in axes(x, 2)
        for i in 1:D
            x[i, t, w] = ws.x[i]
            stdev[i, t, w] = sqrt(sum(abs2, view(ws.transposed, :, i)))
        end
        advance!(ws, scheme, m, h)
    end
    return nothing
end

# --- what Python calls ----------------------------------------------------------------------------

# D is the size of the control, of which the last `estimated` are parameters.
control_model(model, p, D, estimated) =
    estimated == 0 ? model_of(model, p, D) : WithParameters(model_of(model, p, D - estimated))

function c_strong_constraint(model, p, D, estimated, T, windows, scheme, h, y, precision, starts, count, b, B⁻¹, metric, lead, growth,
                             iterations, tolerance, x, H, info, n, step, fraction, value, weight, operator, message, capacity)
    guarded(message, capacity, refusal(model, scheme)) do
        problem = StrongConstraint(
            control_model(model, p, D, estimated), scheme_of(scheme), h, Int(lead), Int(growth), Int(iterations), tolerance,
            array_at(b, Float64, D), array_at(B⁻¹, Float64, D, D), array_at(metric, Float64, D), array_at(y, Float64, D, T, windows),
            array_at(precision, Float64, D, T, windows), array_at(starts, Float64, D, count, windows),
            points_at_address(Float64, D, windows, n, step, fraction, value, weight, operator),
        )
        strong_constraint!(array_at(x, Float64, D, count, windows), array_at(H, Float64, D, D, count, windows),
                           array_at(info, Float64, 4, count, windows), problem)
    end
end

function c_trajectories(model, p, D, estimated, T, windows, scheme, h, x₀, H, lead, x, stdev, message, capacity)
    guarded(message, capacity, refusal(model, scheme)) do
        trajectories!(array_at(x, Float64, D, T, windows), array_at(stdev, Float64, D, T, windows),
                      array_at(x₀, Float64, D, windows), array_at(H, Float64, D, D, windows),
                      scheme_of(scheme), control_model(model, p, D, estimated), h, lead)
    end
end

# `what` as for c_step; x, v, out: state and parameters.
function c_step_with_parameters(model, p, D, estimated, n, scheme, h, what, x, v, out, message, capacity)
    guarded(message, capacity, refusal(model, scheme)) do
        linearised_steps!(array_at(out, Float64, D, n), array_at(x, Float64, D, n), array_at(v, Float64, D, n),
                          scheme_of(scheme), control_model(model, p, D, estimated), h, what)
    end
end

address(::Val{:step_with_parameters}) = @cfunction(c_step_with_parameters, Cint, (Int64, Ptr{Float64}, Int64, Int64, Int64, Int64, Float64, Int64, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Ptr{UInt8}, Int64))
address(::Val{:strong_constraint}) = @cfunction(c_strong_constraint, Cint, (Int64, Ptr{Float64}, Int64, Int64, Int64, Int64, Int64, Float64, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Int64, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Int64, Int64, Int64, Float64, Ptr{Float64}, Ptr{Float64}, Ptr{Float64}, Int64, Ptr{Int64}, Ptr{Cvoid}, Ptr{Cvoid}, Ptr{Cvoid}, Ptr{Cvoid}, Ptr{UInt8}, Int64))
address(::Val{:trajectories}) = @cfunction(c_trajectories, Cint, (Int64, Ptr{Float64}, Int64, Int64, Int64, Int64, Int64, Float64, Ptr{Float64}, Ptr{Float64}, Int64, Ptr{Float64}, Ptr{Float64}, Ptr{UInt8}, Int64))
