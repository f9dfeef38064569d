"""
    Advection(speed, state_size)

Linear advection around a circle by central differences on a grid of spacing 1,

    dxᵢ/dt = -speed (xᵢ₊₁ - xᵢ₋₁) / 2.

The tendency is antisymmetric, so that Σ x² is constant, and the analysis of a Gaussian problem is known
exactly (Kalman). Wave number k rotates by speed sin(2πk/N) radians per unit of time.
"""
struct Advection{T} <: LargeModel
    speed::T
    state_size::Int
end
Advection(; speed = 1.0, state_size = 40) = Advection(speed, state_size)
dimensions(m::Advection) = (site = m.state_size,)
time_step(::Type{<:Advection}) = 0.1

@inline tendency(m::Advection, x, s) = @inbounds -0.5 * m.speed * (x[s.r] - x[s.l])
@inline tangent_linear(m::Advection, x, dx, s) = tendency(m, dx, s)
@inline adjoint(m::Advection, x, v, s) = -tendency(m, v, s)
@inline parameter_tangent(m::Advection, x, (d,), s) = @inbounds -0.5 * d * (x[s.r] - x[s.l])
