"""
    Lorenz96TwoScale(F, h, c, b, K, J)

K slow variables X on a circle, each with J fast ones Y. Lorenz, E. N. (1996): Predictability: a problem
partly solved. Proc. Seminar on Predictability, ECMWF, vol. 1, 1-18, eqs. (2) and (3):

    dXₖ/dt = Xₖ₋₁ (Xₖ₊₁ - Xₖ₋₂) - Xₖ + F - (hc/b) Σⱼ Yₖⱼ
    dYₖⱼ/dt = cb Yₖⱼ₊₁ (Yₖⱼ₋₁ - Yₖⱼ₊₂) - c Yₖⱼ + (hc/b) Xₖ

The Y form one circle of K J places: Y of (k, J) is followed by that of (k + 1, 1).
"""
struct Lorenz96TwoScale{T} <: LargeModel
    F::T
    h::T
    c::T
    b::T
    K::Int
    J::Int
end
Lorenz96TwoScale(; F = 10.0, h = 1.0, c = 10.0, b = 10.0, K = 36, J = 10) = Lorenz96TwoScale(F, h, c, b, K, J)
variables(::Type{<:Lorenz96TwoScale}) = ("X", "Y")
dimensions(m::Lorenz96TwoScale) = (X = (k = m.K,), Y = (k = m.K, j = m.J))
time_step(::Type{<:Lorenz96TwoScale}) = 0.005

"A slow variable: its neighbours, and the place before its J fast variables."
struct SlowPlace
    ll::Int
    l::Int
    i::Int
    r::Int
    rr::Int
    before::Int
end
"A fast variable: its neighbours, and its slow variable."
struct FastPlace
    ll::Int
    l::Int
    i::Int
    r::Int
    rr::Int
    slow::Int
end

@inline function each_place(f::F, m::Lorenz96TwoScale) where {F}
    (K, n) = (m.K, m.K * m.J)
    for k in 1:K
        f(SlowPlace(mod1(k - 2, K), mod1(k - 1, K), k, mod1(k + 1, K), mod1(k + 2, K), K + (k - 1) * m.J))
    end
    for j in 1:n
        f(FastPlace(K + mod1(j - 2, n), K + mod1(j - 1, n), K + j, K + mod1(j + 1, n), K + mod1(j + 2, n), (j - 1) ÷ m.J + 1))
    end
    return nothing
end

@inline coupling(m::Lorenz96TwoScale) = m.h * m.c / m.b
@inline function sum_of_fast(m, x, s)
    total = @inbounds x[s.before+1]
    for j in 2:m.J
        total += @inbounds x[s.before+j]
    end
    return total
end

@inline tendency(m::Lorenz96TwoScale, x, s::SlowPlace) =
    @inbounds x[s.l] * (x[s.r] - x[s.ll]) - x[s.i] + m.F - coupling(m) * sum_of_fast(m, x, s)
@inline tendency(m::Lorenz96TwoScale, x, s::FastPlace) =
    @inbounds m.c * m.b * (x[s.r] * (x[s.l] - x[s.rr])) - m.c * x[s.i] + coupling(m) * x[s.slow]

@inline tangent_linear(m::Lorenz96TwoScale, x, δ, s::SlowPlace) =
    @inbounds δ[s.l] * (x[s.r] - x[s.ll]) + x[s.l] * (δ[s.r] - δ[s.ll]) - δ[s.i] - coupling(m) * sum_of_fast(m, δ, s)
@inline tangent_linear(m::Lorenz96TwoScale, x, δ, s::FastPlace) =
    @inbounds m.c * m.b * (δ[s.r] * (x[s.l] - x[s.rr]) + x[s.r] * (δ[s.l] - δ[s.rr])) - m.c * δ[s.i] + coupling(m) * δ[s.slow]

# Row i collects the three equations in which the component appears, as the factor or in the difference.
@inline adjoint(m::Lorenz96TwoScale, x, v, s::SlowPlace) =
    @inbounds (x[s.rr] - x[s.l]) * v[s.r] + x[s.ll] * v[s.l] - x[s.r] * v[s.rr] - v[s.i] + coupling(m) * sum_of_fast(m, v, s)
@inline adjoint(m::Lorenz96TwoScale, x, v, s::FastPlace) =
    @inbounds m.c * m.b * ((x[s.ll] - x[s.r]) * v[s.l] + x[s.rr] * v[s.r] - x[s.l] * v[s.ll]) - m.c * v[s.i] - coupling(m) * v[s.slow]
