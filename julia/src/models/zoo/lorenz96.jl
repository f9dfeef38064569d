"""
    Lorenz96(F, D)

Lorenz (1996), eq. (16): D points on a circle (40 in the paper), forcing F (8 in the paper).
"""
struct Lorenz96{T} <: LargeModel
    F::T
    D::Int
end

Lorenz96(; F = 8.0, D = 40) = Lorenz96(F, D)
time_step(::Type{<:Lorenz96}) = 0.05
dimensions(m::Lorenz96) = (site = m.D,)

"    tendency(m, x, s) -> component s.i of dx/dt"
@inline tendency(m::Lorenz96, x, s) =
    @inbounds muladd(x[s.r] - x[s.ll], x[s.l], m.F - x[s.i])

"    tangent_linear(m, x, δ, s) -> component s.i of 𝐌(x) δ"
@inline tangent_linear(m::Lorenz96, x, δ, s) =
    @inbounds muladd(x[s.r] - x[s.ll], δ[s.l], muladd(x[s.l], δ[s.r] - δ[s.ll], -δ[s.i]))

# Row i of 𝐌ᵀ collects the three equations in which xᵢ appears as x_{i+1}, x_{i-2}, x_{i-1}.
"    adjoint(m, x, v, s) -> component s.i of 𝐌(x)ᵀ v"
@inline adjoint(m::Lorenz96, x, v, s) =
    @inbounds muladd(x[s.rr] - x[s.l], v[s.r], muladd(x[s.ll], v[s.l], -muladd(x[s.r], v[s.rr], v[s.i])))

"    parameter_tangent(m, x, θ′, s) -> component s.i of ∂f/∂θ θ′, with θ = (F,)"
@inline parameter_tangent(::Lorenz96, x, (F′,), s) = F′

"    parameter_adjoint(m, x, v) -> (∂f/∂θ)ᵀ v"
@inline function parameter_adjoint(m::Lorenz96, x, v)
    F̄ = v[1]
    for i in 2:m.D
        F̄ += @inbounds v[i]
    end
    return (F̄,)
end

push!(PRECOMPILED, (Lorenz96(8.0, 40), 0.05))
