"""
    Lorenz96(F, D)

Lorenz (1996), eq. (16): D points on a circle (40 in the paper), forcing F (8 in the paper).
"""
struct Lorenz96{T} <: LargeModel
    F::T
    D::Int
end

Base.length(m::Lorenz96) = m.D
retype(::Type{T}, m::Lorenz96) where {T} = Lorenz96{T}(m.F, m.D)

"The neighbours of the point i: i-2, i-1, i, i+1, i+2 on the circle."
struct Neighbours
    ll::Int
    l::Int
    i::Int
    r::Int
    rr::Int
end

# The circle is closed at its two ends only, so that the long loop in the middle has no wrap-around.
@inline function each_place(f::F, m::Lorenz96) where {F}
    D = m.D
    f(Neighbours(D - 1, D, 1, 2, 3))
    f(Neighbours(D, 1, 2, 3, 4))
    for i in 3:D-2
        f(Neighbours(i - 2, i - 1, i, i + 1, i + 2))
    end
    f(Neighbours(D - 3, D - 2, D - 1, D, 1))
    f(Neighbours(D - 2, D - 1, D, 1, 2))
    return nothing
end

"    tendency(m, x, s) -> component s.i of dx/dt"
@inline tendency(m::Lorenz96, x, s::Neighbours) =
    @inbounds muladd(x[s.r] - x[s.ll], x[s.l], m.F - x[s.i])

"    tangent_linear(m, x, δ, s) -> component s.i of 𝐌(x) δ"
@inline tangent_linear(m::Lorenz96, x, δ, s::Neighbours) =
    @inbounds muladd(x[s.r] - x[s.ll], δ[s.l], muladd(x[s.l], δ[s.r] - δ[s.ll], -δ[s.i]))

# Row i of 𝐌ᵀ collects the three equations in which xᵢ stands as x_{i+1}, x_{i-2}, x_{i-1}.
"    adjoint(m, x, v, s) -> component s.i of 𝐌(x)ᵀ v"
@inline adjoint(m::Lorenz96, x, v, s::Neighbours) =
    @inbounds muladd(x[s.rr] - x[s.l], v[s.r], muladd(x[s.ll], v[s.l], -muladd(x[s.r], v[s.rr], v[s.i])))

parameters(m::Lorenz96) = (m.F,)
@inline with_parameters(m::Lorenz96, (F,)) = Lorenz96(F, m.D)

"    parameter_tangent(m, x, θ′, s) -> component s.i of ∂f/∂θ θ′, with θ = (F,)"
@inline parameter_tangent(::Lorenz96, x, (F′,), ::Neighbours) = F′

"    parameter_adjoint(m, x, v) -> (∂f/∂θ)ᵀ v"
@inline function parameter_adjoint(m::Lorenz96, x, v)
    F̄ = v[1]
    for i in 2:m.D
        F̄ += @inbounds v[i]
    end
    return (F̄,)
end
