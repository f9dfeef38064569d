"""
    KuramotoSivashinsky(length, state_size)

uₜ = -u uₓ - uₓₓ - uₓₓₓₓ on a circle, at equidistant points. Kuramoto, Y. & Tsuzuki, T. (1976), Prog. Theor.
Phys. 55, 356; Sivashinsky, G. I. (1977), Acta Astronautica 4, 1177.

Pseudo-spectral in space and ETDRK4 in time, with the step 0.25 and the contour of 32 points of Kassam,
A.-K. & Trefethen, L. N. (2005): Fourth-order time-stepping for stiff PDEs. SIAM J. Sci. Comput. 26,
1214-1233. All multipliers are functions of the wave number alone, hence circulant matrices: with about a
hundred points a product with one takes a few microseconds, and Julia's standard library has no FFT.
"""
struct KuramotoSivashinsky{T} <: VectorModel
    length::T
    state_size::Int
end
KuramotoSivashinsky(; length = 22.0, state_size = 64) = KuramotoSivashinsky(length, state_size)
variables(::Type{<:KuramotoSivashinsky}) = ("u",)
dimensions(m::KuramotoSivashinsky) = (x = m.state_size,)
time_step(::Type{<:KuramotoSivashinsky}) = 0.25

"The matrices of a step, and the states at which its nonlinear term is evaluated."
struct ETDRK4
    E::Matrix{Float64}          # exp(hL), exp(hL/2)
    E₂::Matrix{Float64}
    Q::Matrix{Float64}
    F₁::Matrix{Float64}
    F₂::Matrix{Float64}
    F₃::Matrix{Float64}
    G::Matrix{Float64}          # -∂ₓ/2, antisymmetric: the others are symmetric
    a::Vector{Float64}
    b::Vector{Float64}
    s::Vector{Float64}
    gᵤ::Vector{Float64}         # the nonlinear terms G u², or their derivatives
    gₐ::Vector{Float64}
    g_b::Vector{Float64}
    g_s::Vector{Float64}
    square::Vector{Float64}
    t::Vector{Float64}
    by_length::Vector{Matrix{Float64}}      # derivatives of the matrices by the length; empty until they are needed
end

const KS_CONTOUR = 32
# The functions of hL of the stages (times h), in the order of the matrices.
const KS_STAGES = (
    z -> (exp(z / 2) - 1) / z, z -> (-4 - z + exp(z) * (4 - 3z + z^2)) / z^3, z -> (2 + z + exp(z) * (z - 2)) / z^3,
    z -> (-4 - 3z - z^2 + exp(z) * (4 - z)) / z^3,
)
ks_circle() = [cis(π * (n - 0.5) / KS_CONTOUR) for n in 1:KS_CONTOUR]
ks_wavenumbers(m) = [2π / m.length * n for n in 0:m.state_size÷2]

function workspace(::Type{T}, m::KuramotoSivashinsky) where {T}
    (N, h) = (m.state_size, time_step(typeof(m)))
    k = ks_wavenumbers(m)
    L = h .* (k .^ 2 .- k .^ 4)
    mean(f) = [h * sum(real(f(l + r)) for r in ks_circle()) / KS_CONTOUR for l in L]
    multipliers = (exp.(L), exp.(L ./ 2), map(mean, KS_STAGES)...)
    slopes = [2n == N ? 0.0 : -k[n+1] / 2 for n in 0:N÷2]
    return ETDRK4((circulant(N, c, cospi) for c in multipliers)..., circulant(N, -slopes, sinpi), (zeros(N) for _ in 1:9)...,
                  Matrix{Float64}[])
end

"""
    by_length!(w, m) -> the derivatives by the length of E, E₂, Q, F₁, F₂, F₃ and G

Those of the functions of hL come from Cauchy's formula on the contour: f′ is the mean of f(L + r) / r.
"""
function by_length!(w::ETDRK4, m)
    isempty(w.by_length) || return w.by_length
    (N, h) = (m.state_size, time_step(typeof(m)))
    k = ks_wavenumbers(m)
    L = h .* (k .^ 2 .- k .^ 4)
    L′ = -h .* (2 .* k .^ 2 .- 4 .* k .^ 4) ./ m.length
    mean(f) = [h * sum(real(f(l + r) / r) for r in ks_circle()) / KS_CONTOUR for l in L]
    for c in (exp.(L), exp.(L ./ 2) ./ 2, map(mean, KS_STAGES)...)
        push!(w.by_length, circulant(N, c .* L′, cospi))
    end
    slopes = [2n == N ? 0.0 : k[n+1] / (2 * m.length) for n in 0:N÷2]
    push!(w.by_length, circulant(N, -slopes, sinpi))
    return w.by_length
end

"    circulant(N, c, wave) -> the matrix that multiplies wave number k by c[k+1] (with cospi) or i c[k+1] (with -sinpi)"
function circulant(N, c, wave)
    column = [sum((k == 0 || 2k == N ? 1 : 2) * c[k+1] * wave(2 * mod(k * j, N) / N) for k in 0:N÷2) / N for j in 0:N-1]
    return [column[mod(i - j, N)+1] for i in 1:N, j in 1:N]
end

"    add_product!(y, α, A, x) -> y + α A x, stored in y"
function add_product!(y, α, A, x)
    @inbounds for j in eachindex(x)
        αx = α * x[j]
        @simd for i in eachindex(y)
            y[i] = muladd(αx, A[i, j], y[i])
        end
    end
    return y
end
product!(y, A, x) = add_product!(fill!(y, 0.0), 1.0, A, x)

nonlinear!(g, w, u) = (w.square .= u .* u; product!(g, w.G, w.square))
nonlinear_tangent!(g, w, u, du) = (w.square .= 2 .* u .* du; product!(g, w.G, w.square))

"The states a, b, s of a step from u, and their nonlinear terms."
function stages!(w::ETDRK4, u)
    nonlinear!(w.gᵤ, w, u)
    add_product!(product!(w.a, w.E₂, u), 1.0, w.Q, w.gᵤ)
    nonlinear!(w.gₐ, w, w.a)
    add_product!(product!(w.b, w.E₂, u), 1.0, w.Q, w.gₐ)
    nonlinear!(w.g_b, w, w.b)
    w.t .= 2 .* w.g_b .- w.gᵤ
    add_product!(product!(w.s, w.E₂, w.a), 1.0, w.Q, w.t)
    nonlinear!(w.g_s, w, w.s)
    return w
end

function finish!(out, w::ETDRK4, u)
    add_product!(product!(out, w.E, u), 1.0, w.F₁, w.gᵤ)
    w.t .= w.gₐ .+ w.g_b
    add_product!(out, 2.0, w.F₂, w.t)
    return add_product!(out, 1.0, w.F₃, w.g_s)
end

step!(u1, m::KuramotoSivashinsky, u, w::ETDRK4) = finish!(u1, stages!(w, u), u)

function tangent_linear!(dy, m::KuramotoSivashinsky, u, du, w::ETDRK4)
    stages!(w, u)
    d = dy                      # holds the derivatives of a, b and s in turn
    nonlinear_tangent!(w.gᵤ, w, u, du)
    add_product!(product!(d, w.E₂, du), 1.0, w.Q, w.gᵤ)
    nonlinear_tangent!(w.gₐ, w, w.a, d)
    da = w.a                    # no longer needed
    copyto!(da, d)
    add_product!(product!(d, w.E₂, du), 1.0, w.Q, w.gₐ)
    nonlinear_tangent!(w.g_b, w, w.b, d)
    w.t .= 2 .* w.g_b .- w.gᵤ
    add_product!(product!(d, w.E₂, da), 1.0, w.Q, w.t)
    nonlinear_tangent!(w.g_s, w, w.s, d)
    return finish!(dy, w, du)
end

"    nonlinear_adjoint!(ū, w, u, ḡ) -> 2 u Gᵀḡ"
function nonlinear_adjoint!(ū, w, u, ḡ)
    product!(ū, w.G, ḡ)
    ū .= -2 .* u .* ū
    return ū
end

function adjoint!(xbar, m::KuramotoSivashinsky, u, v, w::ETDRK4)
    stages!(w, u)
    (s̄, b̄, ā, ḡ) = (w.g_s, w.g_b, w.gₐ, w.gᵤ)
    nonlinear_adjoint!(s̄, w, w.s, product!(ḡ, w.F₃, v))
    add_product!(product!(ḡ, w.F₂, v), 1.0, w.Q, s̄)
    nonlinear_adjoint!(b̄, w, w.b, ḡ .*= 2)
    product!(ḡ, w.F₂, v)
    ḡ .*= 2
    nonlinear_adjoint!(ā, w, w.a, add_product!(ḡ, 1.0, w.Q, b̄))
    add_product!(ā, 1.0, w.E₂, s̄)
    product!(ḡ, w.F₁, v)
    w.t .= ā .- s̄
    nonlinear_adjoint!(xbar, w, u, add_product!(ḡ, 1.0, w.Q, w.t))
    add_product!(xbar, 1.0, w.E, v)
    w.t .= ā .+ b̄
    return add_product!(xbar, 1.0, w.E₂, w.t)
end

"    parameter_tangent!(dy, m, u, (dℓ,), w) -> ∂Φ/∂ℓ dℓ: the matrices of the step depend on the length"
function parameter_tangent!(dy, m::KuramotoSivashinsky, u, (dℓ,), w::ETDRK4)
    stages!(w, u)
    (E′, E₂′, Q′, F₁′, F₂′, F₃′, G′) = by_length!(w, m)
    nonlinear′(x, dx) = G′ * (x .* x) .+ w.G * (2 .* x .* dx)
    gᵤ′ = G′ * (u .* u)
    a′ = E₂′ * u .+ Q′ * w.gᵤ .+ w.Q * gᵤ′
    gₐ′ = nonlinear′(w.a, a′)
    b′ = E₂′ * u .+ Q′ * w.gₐ .+ w.Q * gₐ′
    g_b′ = nonlinear′(w.b, b′)
    s′ = E₂′ * w.a .+ w.E₂ * a′ .+ Q′ * (2 .* w.g_b .- w.gᵤ) .+ w.Q * (2 .* g_b′ .- gᵤ′)
    g_s′ = nonlinear′(w.s, s′)
    dy .= E′ * u .+ F₁′ * w.gᵤ .+ w.F₁ * gᵤ′ .+ 2 .* (F₂′ * (w.gₐ .+ w.g_b) .+ w.F₂ * (gₐ′ .+ g_b′)) .+
          F₃′ * w.g_s .+ w.F₃ * g_s′
    dy .*= dℓ
    return dy
end

parameter_adjoint!(m::KuramotoSivashinsky, u, v, w::ETDRK4) =
    (sum(v .* parameter_tangent!(similar(u), m, u, (1.0,), w)),)
