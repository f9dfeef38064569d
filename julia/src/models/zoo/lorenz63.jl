"""
    Lorenz63(σ, ρ, β)

Lorenz (1963), eq. (15): three components, σ = 10, ρ = 28, β = 8/3 in the paper.
"""
struct Lorenz63{T} <: SmallModel
    σ::T
    ρ::T
    β::T
end

Lorenz63(; σ = 10.0, ρ = 28.0, β = 8 / 3) = Lorenz63(σ, ρ, β)
variables(::Type{<:Lorenz63}) = ("x", "y", "z")
time_step(::Type{<:Lorenz63}) = 0.01

"    tendency(m, x) -> dx/dt"
@inline function tendency(m::Lorenz63, (x₁, x₂, x₃))
    return (m.σ * (x₂ - x₁), muladd(x₁, m.ρ - x₃, -x₂), muladd(x₁, x₂, -(m.β * x₃)))
end

"    tangent_linear(m, x, δ) -> 𝐌(x) δ, with 𝐌 the Jacobian of `tendency`"
@inline function tangent_linear(m::Lorenz63, (x₁, x₂, x₃), (δ₁, δ₂, δ₃))
    return (
        m.σ * (δ₂ - δ₁),
        muladd(m.ρ - x₃, δ₁, -δ₂) - x₁ * δ₃,
        muladd(x₂, δ₁, x₁ * δ₂) - m.β * δ₃,
    )
end

"    adjoint(m, x, v) -> 𝐌(x)ᵀ v"
@inline function adjoint(m::Lorenz63, (x₁, x₂, x₃), (v₁, v₂, v₃))
    σv₁ = m.σ * v₁
    return (
        muladd(x₂, v₃, muladd(m.ρ - x₃, v₂, -σv₁)),
        muladd(x₁, v₃, σv₁ - v₂),
        -muladd(x₁, v₂, m.β * v₃),
    )
end

"    parameter_tangent(m, x, θ′) -> ∂f/∂θ θ′, with θ = (σ, ρ, β)"
@inline parameter_tangent(::Lorenz63, (x₁, x₂, x₃), (σ′, ρ′, β′)) = (σ′ * (x₂ - x₁), ρ′ * x₁, -(β′ * x₃))

"    parameter_adjoint(m, x, v) -> (∂f/∂θ)ᵀ v"
@inline parameter_adjoint(::Lorenz63, (x₁, x₂, x₃), (v₁, v₂, v₃)) = (v₁ * (x₂ - x₁), v₂ * x₁, -(v₃ * x₃))

push!(PRECOMPILED, (Lorenz63(10.0, 28.0, 8 / 3), 0.01))
