# J of strong-constraint 4D-Var with its gradient and its Gauss-Newton Hessian, for as many concurrent
# minimisations as the width of an evaluator: windows in lanes for a small model, one window with the
# columns of its tangent linear in lanes for a large one.
#
# A growing window currently ends at the step `stop`, and at the step `reach` after it has grown next.
# A sweep goes as far as `reach` and stores the sums at both steps, so that once the short window is
# minimised, the long one starts without a sweep of its own. Values computed past `reach` in a lane
# are discarded.

"J, its gradient and its Hessian at a control."
mutable struct Quadratic
    J::Float64
    g::Vector{Float64}
    H::Matrix{Float64}
end
Quadratic(D::Integer) = Quadratic(Inf, zeros(D), zeros(D, D))

"Store the sums up to step t for the minimisations whose `stop` or `reach` it is."
function note!(minimisations, e, t)
    for (l, s) in enumerate(minimisations)
        s.stop == t && read!(s.found, e, l)
        s.reach == t && s.reach > s.stop && read!(s.ahead, e, l)
    end
    return nothing
end

"    data_steps(precision, points) -> whether each window has data at each step, `(time, window)`"
function data_steps(precision, points)
    found = fill(false, size(precision, 2), size(precision, 3))
    threads = threads_for(size(found, 2), length(precision))
    in_threads(threads) do k
        for w in k:threads:size(found, 2)
            @inbounds for t in axes(found, 1), i in axes(precision, 1)
                found[t, w] |= precision[i, t, w] > 0
            end
            mark_points!(found, points, w)
        end
    end
    return found
end

mark_points!(found, ::Nothing, w) = nothing
function mark_points!(found, data::FunctionData, w)
    for t in axes(found, 1)
        found[t, w] |= any(>(0), view(data.weight, :, t, w))
    end
    return nothing
end
function mark_points!(found, points::Points, w)
    for k in axes(points.step, 1)
        points.weight[k, w] != 0 && (found[points.step[k, w]+1, w] = true)
    end
    return nothing
end

# --- windows in lanes -----------------------------------------------------------------------------

struct LaneEvaluator{N}
    y::Matrix{N}                # (state, time)
    π::Matrix{N}                # inverse error variance; 0 where the window has no datum
    ys::Array{Float64,3}        # (lane, state, time): the memory of y, and of π
    πs::Array{Float64,3}
    window::Vector{Int}         # the window in each lane; 0: none yet
    count::Vector{Int}          # (time): number of lanes with data
    points::PointBlock{N}       # with enough places at each step for every window
    x::Vector{N}
    xs::Matrix{Float64}         # (lane, state): the memory of x
    J::Base.RefValue{N}
    g::Vector{N}
    H::Matrix{N}
end
function evaluator(m::SmallModel, T, points = nothing)
    N = lanes_for(Float64)
    D = length(m)
    places = make_room!(PointBlock{N}(T), points, points === nothing ? () : axes(points.step, 2))
    (y, π, x) = (zeros(N, D, T), zeros(N, D, T), zeros(N, D))
    return LaneEvaluator{N}(y, π, unsafe_scalars(y), unsafe_scalars(π), zeros(Int, lanes(N)), zeros(Int, T), places,
                            x, unsafe_scalars(x), Ref(zero(N)), zeros(N, D), zeros(N, D, D))
end
width(::LaneEvaluator{N}) where {N} = lanes(N)

"    read!(q, e, l) -> q with the sums of the lane l"
function read!(q::Quadratic, e::LaneEvaluator, l)
    q.J = lane(e.J[], l)
    @inbounds for j in eachindex(q.g)
        q.g[j] = lane(e.g[j], l)
        for i in j:length(q.g)
            q.H[i, j] = q.H[j, i] = lane(e.H[i, j], l)
        end
    end
    return q
end

"    hold!(e, p, l, window) -> e with the data of a window in lane l"
function hold!(e::LaneEvaluator, p, l, window)
    old = e.window[l]
    old == window && return e
    (ys, πs) = (e.ys, e.πs)
    @inbounds for t in axes(p.observed, 1)
        if old > 0 && p.observed[t, old]
            e.count[t] -= 1
            for i in axes(πs, 2)
                πs[l, i, t] = 0
            end
        end
        if p.observed[t, window]
            e.count[t] += 1
            for i in axes(πs, 2)
                ys[l, i, t] = p.y[i, t, window]
                πs[l, i, t] = p.precision[i, t, window]
            end
        end
    end
    p.points === nothing || (view(scalars(view(e.points.c, :)), l, :) .= 0)
    place_points!(e.points, l, p.points, window, axes(p.observed, 1))
    e.window[l] = window
    return e
end

"    evaluate!(e, p, minimisations): compute J, gradient and Hessian of each minimisation at its trial control"
function evaluate!(e::LaneEvaluator{N}, p, minimisations) where {N}
    @inbounds for (l, s) in enumerate(minimisations), i in axes(e.xs, 2)
        e.xs[l, i] = s.trial[i]
    end
    background!(e, p.b, p.B⁻¹)
    D = size_of(p.m)
    return sweep!(e, p, tuple_of(e.x, D), unit_columns(N, D), minimisations)
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

function sweep!(e, p, x, columns, minimisations)
    x, columns = segment(p.scheme, p.m, x, columns, p.h, p.lead)
    note!(minimisations, e, 0)
    last = maximum(s -> s.reach, minimisations)
    for t in 1:last
        if @inbounds e.count[t] > 0
            add_misfit!(e, x, columns, t)
            isempty(points_at(e.points, t)) ||
                (e.J[] += 0.5 * add_points!(e.g, e.H, e.points, t, x, columns, p.scheme, p.m, p.h, 1))
            note!(minimisations, e, t)
        end
        t < last && ((x, columns) = advance(p.scheme, p.m, x, columns, p.h))
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

struct ColumnEvaluator{S<:SegmentWorkspace}
    window::Base.RefValue{Int}
    segment::S
    points::PointBlock{Float64}
    at_points::S
    J::Base.RefValue{Float64}
    g::Vector{Float64}
    H::Matrix{Float64}
end
evaluator(m::ArrayModel, T, points = nothing) =
    ColumnEvaluator(Ref(0), SegmentWorkspace(m), PointBlock{Float64}(T), SegmentWorkspace(m), Ref(0.0), zeros(length(m)), zeros(length(m), length(m)))
width(::ColumnEvaluator) = 1

function read!(q::Quadratic, e::ColumnEvaluator, l)
    q.J = e.J[]
    copyto!(q.g, e.g)
    copyto!(q.H, e.H)
    return q
end

function hold!(e::ColumnEvaluator, p, l, window)
    e.window[] == window && return e
    make_room!(e.points, p.points, window:window)
    place_points!(e.points, l, p.points, window, axes(p.observed, 1))
    e.window[] = window
    return e
end

function evaluate!(e::ColumnEvaluator, p, minimisations)
    s = minimisations[1]
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
    e.J[] = J
    segment!(ws, p.scheme, p.m, p.h, p.lead)
    note!(minimisations, e, 0)
    for t in 1:s.reach
        if p.observed[t, e.window[]]
            e.J[] += add_misfit!(e, p, ws, t)
            note!(minimisations, e, t)
        end
        t < s.reach && advance!(ws, p.scheme, p.m, p.h)
    end
    return nothing
end

function add_misfit!(e::ColumnEvaluator, p, ws, t)
    J = 0.0
    window = e.window[]
    @inbounds for i in eachindex(ws.x)
        π = p.precision[i, t, window]
        π > 0 || continue
        r = ws.x[i] - p.y[i, t, window]
        J += π * r^2 / 2
        add_column!(e.g, e.H, ws.transposed, i, π, r)
    end
    isempty(points_at(e.points, t)) ||
        (J += add_points!(e.g, e.H, e.at_points, e.points, t, ws, p.scheme, p.m, p.h, 1) / 2)
    return J
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
