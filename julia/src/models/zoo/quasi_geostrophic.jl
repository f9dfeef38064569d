"""
    QuasiGeostrophic(F, r, kappa, n)

A wind-driven ocean of one layer and reduced gravity on the unit square, by its stream function ψ at n x n points, the
walls included, on which it is taken as 0: with q = ∇²ψ - Fψ,

    ∂q/∂t = -r J(ψ, q) - ∂ψ/∂x - κ ∇⁶ψ - 2π sin(2πy),

and ψ and each successive Laplacian 0 on the walls. Sakov, P. & Oke, P. R. (2008): A deterministic formulation of
the ensemble Kalman filter. Tellus A 60, 361-371. J is Arakawa's (1966; J. Comput. Phys. 1, 119-143, his equation
(45)): the sum over the points of a J(b, c) changes its sign with every exchange of two of the three fields, which
gives the adjoint below. n is 2ᵏ + 1.

A step of 5 is four Runge-Kutta steps of 1.25 up to 129 x 129 points. On finer grids their number grows as n - 1, for
the flow must not cross much more than a point in a step, and the default of κ falls as (n - 1)⁻³, so that the smallest
waves are damped as fast, measured by the time in which the flow crosses a point, as they are at 129 x 129.
"""
struct QuasiGeostrophic{T} <: VectorModel
    F::T
    r::T
    kappa::T
    n::Int
end
QuasiGeostrophic(; F = 1600.0, r = 1e-5, n = 129, kappa = 2e-12 * min(1.0, 128 / (n - 1))^3) = QuasiGeostrophic(F, r, kappa, n)
variables(::Type{<:QuasiGeostrophic}) = ("psi",)
dimensions(m::QuasiGeostrophic) = (y = m.n, x = m.n)
time_step(::Type{<:QuasiGeostrophic}) = 5.0

"Runge-Kutta steps in a time step."
runge_kutta_steps(m::QuasiGeostrophic) = 4 * max(1, (m.n - 1) ÷ 128)

"The fields of a step; `stages` are the ψ and q at which it evaluates the tendency, once `x` is known."
struct QGWorkspace
    solver::Helmholtz
    x::Vector{Float64}              # the state that the stages start from; NaN: none
    stages::Matrix{NTuple{2,GridField}}     # (stage, Runge-Kutta step)
    end_of_step::GridField
    z::NTuple{4,GridField}          # stages of a tangent linear or adjoint step
    a::RingField                    # Laplacians and products
    b::RingField
    c::RingField
    d::RingField
    wind::Vector{Float64}           # for each row
end
function workspace(::Type{T}, m::QuasiGeostrophic) where {T}
    M = m.n - 1
    solver = Helmholtz(M, m.F)
    field() = grid_field!(solver.memory, M)
    ring() = ring_field!(solver.memory, M)
    wind = [-2π * sinpi(2y / M) for y in 1:M-1]
    return QGWorkspace(solver, fill(NaN, m.n^2), [(field(), field()) for _ in 1:4, _ in 1:runge_kutta_steps(m)], field(),
                       (field(), field(), field(), field()), ring(), ring(), ring(), ring(), wind)
end

"Eight points of a row with their western and eastern neighbours, by shuffles of whole lines of the cache."
@inline function row_around(f, y, x)
    here = lanes_at(f, y, x)
    return before(lanes_at(f, y, x - 8), here), here, after(here, lanes_at(f, y, x + 8))
end
for (name, first) in ((:before, 7), (:after, 1))
    V = NTuple{8,VecElement{Float64}}
    ir = """%r = shufflevector <8 x double> %0, <8 x double> %1, <8 x i32> <$(join(("i32 $(first + i)" for i in 0:7), ", "))>
            ret <8 x double> %r"""
    @eval @inline $name(a::GridLanes, b::GridLanes) = GridLanes(Base.llvmcall($ir, $V, Tuple{$V,$V}, a.v, b.v))
end

@inline function laplacian(f, y, x, over_h²)
    (w, here, e) = row_around(f, y, x)
    return over_h² * muladd(GridLanes(-4), here, (w + e) + (lanes_at(f, y - 1, x) + lanes_at(f, y + 1, x)))
end

"12 h² J(a, b) at eight points."
@inline function arakawa(a, b, y, x)
    (aₙ_w, aₙ, aₙₑ) = row_around(a, y + 1, x)
    (a_w, _, aₑ) = row_around(a, y, x)
    (aₛ_w, aₛ, aₛₑ) = row_around(a, y - 1, x)
    (bₙ_w, bₙ, bₙₑ) = row_around(b, y + 1, x)
    (b_w, _, bₑ) = row_around(b, y, x)
    (bₛ_w, bₛ, bₛₑ) = row_around(b, y - 1, x)
    (b_ns, b_ew) = (bₙ - bₛ, bₑ - b_w)
    j = aₑ * (b_ns + (bₙₑ - bₛₑ))
    j = muladd(-a_w, b_ns + (bₙ_w - bₛ_w), j)
    j = muladd(-aₙ, b_ew + (bₙₑ - bₙ_w), j)
    j = muladd(aₛ, b_ew + (bₛₑ - bₛ_w), j)
    j = muladd(bₙ, aₙₑ - aₙ_w, j)
    j = muladd(-bₛ, aₛₑ - aₛ_w, j)
    j = muladd(-bₑ, aₙₑ - aₛₑ, j)
    return muladd(b_w, aₙ_w - aₛ_w, j)
end

"The constants of the equation on the grid, in lanes."
struct QGConstants
    F::GridLanes
    jacobian::GridLanes             # -r / 12h²
    slope::GridLanes                # 1 / 2h
    friction::GridLanes             # -κ
    over_h²::GridLanes
    negative::GridLanes             # -1
end
function QGConstants(m::QuasiGeostrophic)
    M = Float64(m.n - 1)
    return QGConstants(GridLanes(m.F), GridLanes(-m.r * M^2 / 12), GridLanes(M / 2), GridLanes(-m.kappa), GridLanes(M^2), GridLanes(-1))
end

# The rates are computed row by row, each field a row behind the one that it needs the neighbours of, so that what it
# reads is still in the cache; of the fields that nothing else reads there are only the last rows.

"    each_line(f, M, y): call f(x) for the first of eight points of an interior row, x = 1, 9, ..."
@inline function each_line(f::F, M, y) where {F}
    for x in 1:8:(0 < y < M ? M - 7 : 0)
        f(x)
    end
end
"Set the wall x = M, which the last eight points of a row contain, to zero, or a wall y = 0 or M of a ring."
@inline function clear_wall!(f::AnyField, M, y)
    if 0 < y < M
        unsafe_store!(point(f, y, M), 0.0)
    elseif f isa RingField && (y == 0 || y == M)
        foreach(x -> lanes_at!(f, y, x, zero(GridLanes)), 1:8:M-7)
    end
end

"    potential_vorticity!(z, q, ψ, y): z = ∇²ψ and q = z - Fψ in a row"
@inline function potential_vorticity!(z, q, ψ, k::QGConstants, M, y)
    each_line(M, y) do x
        @inlined
        v = laplacian(ψ, y, x, k.over_h²)
        lanes_at!(z, y, x, v)
        lanes_at!(q, y, x, muladd(-k.F, lanes_at(ψ, y, x), v))
    end
    clear_wall!(z, M, y)
    clear_wall!(q, M, y)
end
@inline function laplacian!(out, f, k::QGConstants, M, y)
    each_line(M, y) do x
        @inlined
        lanes_at!(out, y, x, laplacian(f, y, x, k.over_h²))
    end
    clear_wall!(out, M, y)
end
"-∂f/∂x - κ ∇²w"
@inline function linear_terms(f, w, y, x, k)
    (west, _, east) = row_around(f, y, x)
    return muladd(k.friction, laplacian(w, y, x, k.over_h²), k.slope * (west - east))
end

"""
    rate!(out, base, α, w, k, M, ψ, q) -> out = base + α ∂ψ/∂t

q of ψ is stored.
"""
function rate!(out, base, α, w::QGWorkspace, k, M, ψ, q)
    solved!(out, base, α, w, M) do y
        @inlined
        potential_vorticity!(w.a, q, ψ, k, M, y)
        laplacian!(w.b, w.a, k, M, y - 1)
        each_line(M, y - 2) do x
            @inlined
            f = muladd(k.jacobian, arakawa(ψ, q, y - 2, x), linear_terms(ψ, w.b, y - 2, x, k))
            lanes_at!(w.c, y - 2, x, f + GridLanes(@inbounds w.wind[y-2]))
        end
    end
end
function tangent_rate!(out, base, α, w::QGWorkspace, k, M, (ψ, q), δ)
    solved!(out, base, α, w, M) do y
        @inlined
        potential_vorticity!(w.a, w.d, δ, k, M, y)
        laplacian!(w.b, w.a, k, M, y - 1)
        each_line(M, y - 2) do x
            @inlined
            j = arakawa(δ, q, y - 2, x) + arakawa(ψ, w.d, y - 2, x)
            lanes_at!(w.c, y - 2, x, muladd(k.jacobian, j, linear_terms(δ, w.b, y - 2, x, k)))
        end
    end
end
"out = base + α u, where `row!(y)` computes the row y - 2 of (∇² - F) u in `w.c`"
@inline function solved!(row!::R, out, base, α, w, M) where {R}
    for y in 0:M+2
        row!(y)
        clear_wall!(w.c, M, y - 2)
        y > 2 && (y - 2) % 8 == 0 && to_modes!(w.solver, w.c, y - 9)
    end
    solve_modes!(w.solver)
    for y in 1:8:M-7
        add_solution!(out, base, α, w.solver, y)
    end
    return out
end

"With μ = (∇² - F)⁻¹ v: -r J(q, μ) - (∇² - F) r J(μ, ψ) + ∂μ/∂x - κ ∇⁶μ."
function adjoint_rate!(out, base, α, w::QGWorkspace, k, M, (ψ, q), v)
    (μ, j, sum, scale) = (w.c, w.b, w.d, GridLanes(α))
    for y in 1:8:M-7
        to_modes!(w.solver, v, y)
    end
    solve_modes!(w.solver)
    clear_wall!(μ, M, 0)
    for y in 0:M+2
        y < M && y % 8 == 0 && add_solution!(μ, nothing, 1.0, w.solver, y + 1)
        laplacian!(w.a, μ, k, M, y)
        each_line(M, y - 1) do x
            @inlined
            jacobian = k.jacobian * arakawa(μ, ψ, y - 1, x)
            lanes_at!(j, y - 1, x, jacobian)
            lanes_at!(sum, y - 1, x, muladd(k.friction, laplacian(w.a, y - 1, x, k.over_h²), jacobian))
        end
        clear_wall!(j, M, y - 1)
        clear_wall!(sum, M, y - 1)
        each_line(M, y - 2) do x
            @inlined
            (west, _, east) = row_around(μ, y - 2, x)
            f = muladd(k.jacobian, arakawa(q, μ, y - 2, x), k.slope * (east - west)) + laplacian(sum, y - 2, x, k.over_h²)
            lanes_at!(out, y - 2, x, muladd(scale, muladd(-k.F, lanes_at(j, y - 2, x), f), lanes_at(base, y - 2, x)))
        end
        clear_wall!(out, M, y - 2)
    end
    return out
end

"The mean of three stages of a Runge-Kutta step that a quarter of the last rate completes; see schemes/vector_steps.jl."
function combine!(out, z, (z₂, z₃, z₄), M)
    third = GridLanes(1 / 3)
    for y in 1:M-1
        each_line(M, y) do x
            @inlined
            (a, b, c, d) = (lanes_at(z, y, x), lanes_at(z₂, y, x), lanes_at(z₃, y, x), lanes_at(z₄, y, x))
            lanes_at!(out, y, x, muladd(third, (b - c) + (d - a), c))
        end
        clear_wall!(out, M, y)
    end
    return out
end

"The stages of the step from x, unless they are known."
function linearise!(w::QGWorkspace, m::QuasiGeostrophic, x)
    x == reshape(w.x, size(x)) && return w
    (k, M) = (QGConstants(m), m.n - 1)
    (steps, h) = (runge_kutta_steps(m), time_step(m) / runge_kutta_steps(m))
    load!(w.stages[1, 1][1], x)
    for s in 1:steps
        ((ψ₁, q₁), (ψ₂, q₂), (ψ₃, q₃), (ψ₄, q₄)) = (w.stages[1, s], w.stages[2, s], w.stages[3, s], w.stages[4, s])
        rate!(ψ₂, ψ₁, h / 2, w, k, M, ψ₁, q₁)
        rate!(ψ₃, ψ₁, h / 2, w, k, M, ψ₂, q₂)
        rate!(ψ₄, ψ₁, h, w, k, M, ψ₃, q₃)
        ψ = s == steps ? w.end_of_step : w.stages[1, s+1][1]
        combine!(ψ, ψ₁, (ψ₂, ψ₃, ψ₄), M)
        rate!(ψ, ψ, h / 6, w, k, M, ψ₄, q₄)
    end
    copyto!(w.x, x)
    return w
end

function step!(x1, m::QuasiGeostrophic, x, w::QGWorkspace)
    GC.@preserve w store!(x1, linearise!(w, m, x).end_of_step)
end

function linear_step!(rate!::R, out, m, x, δ, w, stages) where {R}
    linearise!(w, m, x)
    (k, M) = (QGConstants(m), m.n - 1)
    h = time_step(m) / runge_kutta_steps(m)
    (z₁, z₂, z₃, z₄) = w.z
    load!(z₁, δ)
    for (first, second, third, fourth) in stages
        rate!(z₂, z₁, h / 2, w, k, M, first, z₁)
        rate!(z₃, z₁, h / 2, w, k, M, second, z₂)
        rate!(z₄, z₁, h, w, k, M, third, z₃)
        combine!(z₁, z₁, (z₂, z₃, z₄), M)
        rate!(z₁, z₁, h / 6, w, k, M, fourth, z₄)
    end
    return store!(out, z₁)
end

tangent_linear!(dy, m::QuasiGeostrophic, x, dx, w::QGWorkspace) =
    GC.@preserve w linear_step!(tangent_rate!, dy, m, x, dx, w, (ntuple(i -> w.stages[i, s], 4) for s in 1:runge_kutta_steps(m)))
adjoint!(xbar, m::QuasiGeostrophic, x, ybar, w::QGWorkspace) =
    GC.@preserve w linear_step!(adjoint_rate!, xbar, m, x, ybar, w, (ntuple(i -> w.stages[5-i, s], 4) for s in runge_kutta_steps(m):-1:1))
