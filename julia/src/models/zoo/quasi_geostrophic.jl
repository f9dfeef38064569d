"""
    QuasiGeostrophic(F, r, kappa, n)

A wind-driven ocean of one layer and reduced gravity on the unit square, by its stream function ψ at n x n points, the
walls included, on which it is taken as 0: with q = ∇²ψ - Fψ,

    ∂q/∂t = -r J(ψ, q) - ∂ψ/∂x - κ ∇⁶ψ - 2π sin(2πy),

and ψ and each successive Laplacian 0 on the walls. Sakov, P. & Oke, P. R. (2008): A deterministic formulation of
the ensemble Kalman filter. Tellus A 60, 361-371. J is Arakawa's (1966; J. Comput. Phys. 1, 119-143, his equation
(45)): the sum over the points of a J(b, c) changes its sign with every exchange of two of the three fields, which
gives the adjoint below. A step of 5 is four Runge-Kutta steps of 1.25. n is 2ᵏ + 1.
"""
struct QuasiGeostrophic{T} <: VectorModel
    F::T
    r::T
    kappa::T
    n::Int
end
QuasiGeostrophic(; F = 1600.0, r = 1e-5, kappa = 2e-12, n = 129) = QuasiGeostrophic(F, r, kappa, n)
variables(::Type{<:QuasiGeostrophic}) = ("psi",)
dimensions(m::QuasiGeostrophic) = (y = m.n, x = m.n)
time_step(::Type{<:QuasiGeostrophic}) = 5.0

const QG_STEPS = 4

"The fields of a step; `stages` are the ψ and q at which it evaluates the tendency, once `x` is known."
struct QGWorkspace
    solver::Helmholtz
    x::Vector{Float64}              # the state that the stages start from; NaN: none
    stages::Matrix{NTuple{2,GridField}}     # (stage, Runge-Kutta step)
    end_of_step::GridField
    z::NTuple{4,GridField}          # stages of a tangent linear or adjoint step
    a::GridField                    # Laplacians and products
    b::GridField
    c::GridField
    d::GridField
    wind::Vector{Float64}           # for each row
end
function workspace(::Type{T}, m::QuasiGeostrophic) where {T}
    M = m.n - 1
    solver = Helmholtz(M, m.F)
    field() = grid_field!(solver.memory, M)
    wind = [-2π * sinpi(2y / M) for y in 1:M-1]
    return QGWorkspace(solver, fill(NaN, m.n^2), [(field(), field()) for _ in 1:4, _ in 1:QG_STEPS], field(),
                       (field(), field(), field(), field()), field(), field(), field(), field(), wind)
end

@inline function laplacian(f, y, x, over_h²)
    around = (lanes_at(f, y, x - 1) + lanes_at(f, y, x + 1)) + (lanes_at(f, y - 1, x) + lanes_at(f, y + 1, x))
    return over_h² * muladd(GridLanes(-4), lanes_at(f, y, x), around)
end

"12 h² J(a, b) at eight points."
@inline function arakawa(a, b, y, x)
    (aₙ, aₛ, aₑ, a_w) = (lanes_at(a, y + 1, x), lanes_at(a, y - 1, x), lanes_at(a, y, x + 1), lanes_at(a, y, x - 1))
    (aₙₑ, aₙ_w, aₛₑ, aₛ_w) = (lanes_at(a, y + 1, x + 1), lanes_at(a, y + 1, x - 1), lanes_at(a, y - 1, x + 1), lanes_at(a, y - 1, x - 1))
    (bₙ, bₛ, bₑ, b_w) = (lanes_at(b, y + 1, x), lanes_at(b, y - 1, x), lanes_at(b, y, x + 1), lanes_at(b, y, x - 1))
    (bₙₑ, bₙ_w, bₛₑ, bₛ_w) = (lanes_at(b, y + 1, x + 1), lanes_at(b, y + 1, x - 1), lanes_at(b, y - 1, x + 1), lanes_at(b, y - 1, x - 1))
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

"    potential_vorticity!(z, q, ψ): z = ∇²ψ and q = z - Fψ"
function potential_vorticity!(z, q, ψ, k::QGConstants, M)
    each_block(M) do y, x
        @inlined
        v = laplacian(ψ, y, x, k.over_h²)
        lanes_at!(z, y, x, v)
        lanes_at!(q, y, x, muladd(-k.F, lanes_at(ψ, y, x), v))
    end
    clear_wall!(z, M)
    clear_wall!(q, M)
end
function laplacian!(out, f, k::QGConstants, M)
    each_block(M) do y, x
        @inlined
        lanes_at!(out, y, x, laplacian(f, y, x, k.over_h²))
    end
    clear_wall!(out, M)
end
"-∂f/∂x - κ ∇²w"
@inline linear_terms(f, w, y, x, k) =
    muladd(k.friction, laplacian(w, y, x, k.over_h²), k.slope * (lanes_at(f, y, x - 1) - lanes_at(f, y, x + 1)))

"    rate!(out, base, α, w, m, ψ, q) -> out = base + α ∂ψ/∂t; q of ψ is stored"
function rate!(out, base, α, w::QGWorkspace, k, M, ψ, q)
    potential_vorticity!(w.a, q, ψ, k, M)
    laplacian!(w.b, w.a, k, M)
    each_block(M) do y, x
        @inlined
        f = muladd(k.jacobian, arakawa(ψ, q, y, x), linear_terms(ψ, w.b, y, x, k))
        lanes_at!(w.c, y, x, f + GridLanes(@inbounds w.wind[y]))
    end
    return solve!(out, base, α, w.solver, w.c)
end
function tangent_rate!(out, base, α, w::QGWorkspace, k, M, (ψ, q), δ)
    potential_vorticity!(w.a, w.d, δ, k, M)
    laplacian!(w.b, w.a, k, M)
    each_block(M) do y, x
        @inlined
        j = arakawa(δ, q, y, x) + arakawa(ψ, w.d, y, x)
        lanes_at!(w.c, y, x, muladd(k.jacobian, j, linear_terms(δ, w.b, y, x, k)))
    end
    return solve!(out, base, α, w.solver, w.c)
end
"With μ = (∇² - F)⁻¹ v: -r J(q, μ) - (∇² - F) r J(μ, ψ) + ∂μ/∂x - κ ∇⁶μ."
function adjoint_rate!(out, base, α, w::QGWorkspace, k, M, (ψ, q), v)
    (μ, j, sum) = (w.c, w.b, w.d)
    fill_zero!(μ, M)
    solve!(μ, μ, 1.0, w.solver, v)
    laplacian!(w.a, μ, k, M)
    each_block(M) do y, x
        @inlined
        jacobian = k.jacobian * arakawa(μ, ψ, y, x)
        lanes_at!(j, y, x, jacobian)
        lanes_at!(sum, y, x, muladd(k.friction, laplacian(w.a, y, x, k.over_h²), jacobian))
    end
    clear_wall!(j, M)
    clear_wall!(sum, M)
    α = GridLanes(α)
    each_block(M) do y, x
        @inlined
        slope = k.slope * (lanes_at(μ, y, x + 1) - lanes_at(μ, y, x - 1))
        f = muladd(k.jacobian, arakawa(q, μ, y, x), slope) + laplacian(sum, y, x, k.over_h²)
        lanes_at!(out, y, x, muladd(α, muladd(-k.F, lanes_at(j, y, x), f), lanes_at(base, y, x)))
    end
    return clear_wall!(out, M)
end
function fill_zero!(f, M)
    each_block(M) do y, x
        @inlined
        lanes_at!(f, y, x, zero(GridLanes))
    end
end

"The mean of three stages of a Runge-Kutta step that a quarter of the last rate completes; see schemes/vector_steps.jl."
function combine!(out, z, (z₂, z₃, z₄), M)
    third = GridLanes(1 / 3)
    each_block(M) do y, x
        @inlined
        (a, b, c, d) = (lanes_at(z, y, x), lanes_at(z₂, y, x), lanes_at(z₃, y, x), lanes_at(z₄, y, x))
        lanes_at!(out, y, x, muladd(third, (b - c) + (d - a), c))
    end
    return clear_wall!(out, M)
end

"The stages of the step from x, unless they are known."
function linearise!(w::QGWorkspace, m::QuasiGeostrophic, x)
    x == reshape(w.x, size(x)) && return w
    (k, M) = (QGConstants(m), m.n - 1)
    h = time_step(m) / QG_STEPS
    load!(w.stages[1, 1][1], x)
    for s in 1:QG_STEPS
        ((ψ₁, q₁), (ψ₂, q₂), (ψ₃, q₃), (ψ₄, q₄)) = (w.stages[1, s], w.stages[2, s], w.stages[3, s], w.stages[4, s])
        rate!(ψ₂, ψ₁, h / 2, w, k, M, ψ₁, q₁)
        rate!(ψ₃, ψ₁, h / 2, w, k, M, ψ₂, q₂)
        rate!(ψ₄, ψ₁, h, w, k, M, ψ₃, q₃)
        ψ = s == QG_STEPS ? w.end_of_step : w.stages[1, s+1][1]
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
    h = time_step(m) / QG_STEPS
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
    GC.@preserve w linear_step!(tangent_rate!, dy, m, x, dx, w, (ntuple(i -> w.stages[i, s], 4) for s in 1:QG_STEPS))
adjoint!(xbar, m::QuasiGeostrophic, x, ybar, w::QGWorkspace) =
    GC.@preserve w linear_step!(adjoint_rate!, xbar, m, x, ybar, w, (ntuple(i -> w.stages[5-i, s], 4) for s in QG_STEPS:-1:1))
