"""
    AdvectionDiffusion(speed, diffusivity, transfer, decay, n)

Two tracers in a closed square basin with islands, n x n cells of size 1, carried by a steady double gyre u:

    ∂a/∂t = -∇·(u a) + κ ∇²a - transfer a,    ∂b/∂t = -∇·(u b) + κ ∇²b + transfer a - decay b.

The transport through a face between two cells of water is the difference of the stream function at its corners

    ψ = n / 2π sin(πX) sin(2πY) Πₖ (1 - exp(-(dₖ / 0.1)²)),      (X, Y) in the unit square,

with dₖ the distance from the island k, and ψ = 0 at the corners of land, so that no water is lost and none crosses a
coast. Fluxes are centred: without decay Σ (a + b) is constant, and without diffusion Σ a², Σ b² change by the transfer
alone, since the matrix of the advection is antisymmetric. Land keeps its values.
"""
struct AdvectionDiffusion{T} <: LargeModel
    speed::T
    diffusivity::T
    transfer::T
    decay::T
    n::Int
end
AdvectionDiffusion(; speed = 1.0, diffusivity = 0.05, transfer = 0.02, decay = 0.01, n = 32) =
    AdvectionDiffusion(speed, diffusivity, transfer, decay, n)
variables(::Type{<:AdvectionDiffusion}) = ("a", "b")
dimensions(m::AdvectionDiffusion) = (y = m.n, x = m.n)
time_step(::Type{<:AdvectionDiffusion}) = 0.5
land(m::AdvectionDiffusion) = (mask = vec(.!basin(m.n).sea); [mask; mask])

const ISLANDS = ((0.5, 0.5, 0.12), (0.15, 0.2, 0.1))     # X and Y of the centre, radius

"The basin: `(x, y)` arrays of its cells, with the faces towards growing x and y, and zeros around them."
struct Basin
    sea::Matrix{Bool}
    eastward::Matrix{Float64}       # transport through the face between x and x + 1, at x + 1
    northward::Matrix{Float64}
    open_x::Matrix{Float64}         # 1 for a face between two cells of water, else 0
    open_y::Matrix{Float64}
end
function Basin(n)
    from(X, Y, (x, y, r)) = max(0.0, hypot(X - x, Y - y) - r)
    sea = [all(island -> from((i - 0.5) / n, (j - 0.5) / n, island) > 0, ISLANDS) for i in 1:n, j in 1:n]
    is_sea(i, j) = 1 <= i <= n && 1 <= j <= n && sea[i, j]
    function stream(i, j)           # at the corner between the cells i and i + 1, j and j + 1
        all(is_sea(k, l) for k in (i, i + 1), l in (j, j + 1)) || return 0.0
        (X, Y) = (i / n, j / n)
        return n / 2π * sinpi(X) * sinpi(2Y) * prod(1 - exp(-(from(X, Y, island) / 0.1)^2) for island in ISLANDS)
    end
    ψ = [stream(i, j) for i in 0:n, j in 0:n]
    eastward = [ψ[i, j] - ψ[i, j+1] for i in 1:n+1, j in 1:n]
    northward = [ψ[i+1, j] - ψ[i, j] for i in 1:n, j in 1:n+1]
    open_x = [Float64(is_sea(i - 1, j) && is_sea(i, j)) for i in 1:n+1, j in 1:n]
    open_y = [Float64(is_sea(i, j - 1) && is_sea(i, j)) for i in 1:n, j in 1:n+1]
    return Basin(sea, eastward, northward, open_x, open_y)
end

const BASINS = Dict{Int,Basin}()
const BASINS_LOCK = ReentrantLock()
"    basin(n) -> the basin of n x n cells, which is made once"
basin(n) = lock(() -> get!(() -> Basin(n), BASINS, n), BASINS_LOCK)

"A cell of the tracer V: itself, its neighbours (itself at the edges), the other tracer, transports, open faces."
struct TracerCell{V}
    i::Int
    west::Int
    east::Int
    south::Int
    north::Int
    other::Int
    from_west::Float64
    to_east::Float64
    from_south::Float64
    to_north::Float64
    open_west::Float64
    open_east::Float64
    open_south::Float64
    open_north::Float64
    sea::Float64
end

@inline function each_place(f::F, m::AdvectionDiffusion) where {F}
    b = basin(m.n)::Basin
    each_cell(f, TracerCell{1}, b, m.n, 0, m.n^2)
    each_cell(f, TracerCell{2}, b, m.n, m.n^2, -m.n^2)
end
@inline function each_cell(f::F, ::Type{C}, b, n, before, other) where {F,C}
    for y in 1:n, x in 1:n
        i = before + (y - 1) * n + x
        @inbounds f(C(i, x == 1 ? i : i - 1, x == n ? i : i + 1, y == 1 ? i : i - n, y == n ? i : i + n, i + other,
                      b.eastward[x, y], b.eastward[x+1, y], b.northward[x, y], b.northward[x, y+1],
                      b.open_x[x, y], b.open_x[x+1, y], b.open_y[x, y], b.open_y[x, y+1], Float64(b.sea[x, y])))
    end
    return nothing
end

# What a cell holds itself is in no flux, because as much water comes in as goes out.
@inline advection(x, s) =
    @inbounds 0.5 * (s.from_west * x[s.west] - s.to_east * x[s.east] + s.from_south * x[s.south] - s.to_north * x[s.north])
@inline diffusion(x, s) =
    @inbounds s.open_west * (x[s.west] - x[s.i]) + s.open_east * (x[s.east] - x[s.i]) +
              s.open_south * (x[s.south] - x[s.i]) + s.open_north * (x[s.north] - x[s.i])
@inline moved(speed, diffusivity, x, s) = speed * advection(x, s) + diffusivity * diffusion(x, s)

@inline tendency(m::AdvectionDiffusion, x, s::TracerCell{1}) =
    @inbounds moved(m.speed, m.diffusivity, x, s) - m.transfer * (s.sea * x[s.i])
@inline tendency(m::AdvectionDiffusion, x, s::TracerCell{2}) =
    @inbounds moved(m.speed, m.diffusivity, x, s) + m.transfer * (s.sea * x[s.other]) - m.decay * (s.sea * x[s.i])
@inline tangent_linear(m::AdvectionDiffusion, x, δ, s::TracerCell) = tendency(m, δ, s)
@inline adjoint(m::AdvectionDiffusion, x, v, s::TracerCell{1}) =
    @inbounds moved(-m.speed, m.diffusivity, v, s) + m.transfer * (s.sea * (v[s.other] - v[s.i]))
@inline adjoint(m::AdvectionDiffusion, x, v, s::TracerCell{2}) =
    @inbounds moved(-m.speed, m.diffusivity, v, s) - m.decay * (s.sea * v[s.i])

# The tendency is linear in the parameters, too.
@inline parameter_tangent(m::AdvectionDiffusion, x, (speed, diffusivity, transfer, decay), s::TracerCell{1}) =
    @inbounds moved(speed, diffusivity, x, s) - transfer * (s.sea * x[s.i])
@inline parameter_tangent(m::AdvectionDiffusion, x, (speed, diffusivity, transfer, decay), s::TracerCell{2}) =
    @inbounds moved(speed, diffusivity, x, s) + transfer * (s.sea * x[s.other]) - decay * (s.sea * x[s.i])
