# One step Φ of an ODE model over h, with its tangent linear and its adjoint: Euler (7), RK4 (8).
#
# Small models: functions of tuples, which compile to straight-line code in registers.
# Large models: `step!(ws, scheme, m, x, h)` stores Φ(x) in `ws.x̂`, and in `ws` the states at which the
# stages were evaluated except the first, x, for `step_tangent!` and `step_adjoint!`.
#
# RK4 is x + h/6 (k₁ + 2k₂ + 2k₃ + k₄), kᵢ = f(xᵢ), x₁ = x, x₂ = x + h/2 k₁, x₃ = x + h/2 k₂,
# x₄ = x + h k₃. Its adjoint goes backwards: k̄₄ = h/6 v, x̄₄ = 𝐌(x₄)ᵀ k̄₄, k̄₃ = h/3 v + h x̄₄, and so on;
# the result is v + x̄₁ + x̄₂ + x̄₃ + x̄₄. That is RK4 again, from v, with 𝐌(x₄)ᵀ, 𝐌(x₃)ᵀ, 𝐌(x₂)ᵀ, 𝐌(x₁)ᵀ
# in place of f, because its weights 1, 2, 2, 1 are symmetric.

struct Euler end
struct RungeKutta4 end

# --- tuples -------------------------------------------------------------------------------------

@inline axpy(a, x::Tuple, y::Tuple) = map((xᵢ, yᵢ) -> muladd(a, xᵢ, yᵢ), x, y)
@inline plus(x::Tuple, y::Tuple) = map(+, x, y)
@inline times(a, x::Tuple) = map(xᵢ -> a * xᵢ, x)

"    step(scheme, m, x, h) -> Φ(x), stages"
@inline step(::Euler, m::SmallModel, x::Tuple, h) = axpy(h, tendency(m, x), x), (x,)

@inline function step(::RungeKutta4, m::SmallModel, x₁::Tuple, h)
    k₁ = tendency(m, x₁)
    x₂ = axpy(h / 2, k₁, x₁)
    k₂ = tendency(m, x₂)
    x₃ = axpy(h / 2, k₂, x₁)
    k₃ = tendency(m, x₃)
    x₄ = axpy(h, k₃, x₁)
    k₄ = tendency(m, x₄)
    x̂ = axpy(h / 3, plus(k₂, k₃), axpy(h / 6, plus(k₁, k₄), x₁))
    return x̂, (x₁, x₂, x₃, x₄)
end

"    step_tangent(scheme, m, stages, δ, h) -> 𝚽(x) δ"
@inline step_tangent(::Euler, m::SmallModel, (x,), δ, h) = axpy(h, tangent_linear(m, x, δ), δ)

@inline function step_tangent(::RungeKutta4, m::SmallModel, (x₁, x₂, x₃, x₄), δ, h)
    k₁ = tangent_linear(m, x₁, δ)
    k₂ = tangent_linear(m, x₂, axpy(h / 2, k₁, δ))
    k₃ = tangent_linear(m, x₃, axpy(h / 2, k₂, δ))
    k₄ = tangent_linear(m, x₄, axpy(h, k₃, δ))
    return axpy(h / 3, plus(k₂, k₃), axpy(h / 6, plus(k₁, k₄), δ))
end

"    step_adjoint(scheme, m, stages, v, h) -> 𝚽(x)ᵀ v"
@inline step_adjoint(::Euler, m::SmallModel, (x,), v, h) = axpy(h, adjoint(m, x, v), v)

@inline function step_adjoint(::RungeKutta4, m::SmallModel, (x₁, x₂, x₃, x₄), v, h)
    v₆ = times(h / 6, v)
    v₃ = times(h / 3, v)
    x̄₄ = adjoint(m, x₄, v₆)
    x̄₃ = adjoint(m, x₃, axpy(h, x̄₄, v₃))
    x̄₂ = adjoint(m, x₂, axpy(h / 2, x̄₃, v₃))
    x̄₁ = adjoint(m, x₁, axpy(h / 2, x̄₂, v₆))
    return plus(plus(v, x̄₁), plus(x̄₂, plus(x̄₃, x̄₄)))
end

# --- vectors ------------------------------------------------------------------------------------

"Workspace for one step of a large model: the stages, Φ(x), and the stages of its linearisation."
struct StepWorkspace{V}
    x₂::V
    x₃::V
    x₄::V
    x̂::V
    v₂::V
    v₃::V
    v₄::V
end
StepWorkspace{V}(D::Integer) where {V<:AbstractVector} =
    StepWorkspace{V}(ntuple(_ -> fill!(V(undef, D), zero(eltype(V))), Val(7))...)

# The rates are functions (m, xₖ, z, s), the signature of `tangent_linear` and `adjoint`.
@inline tendency_at(m, _, x, s) = tendency(m, x, s)

# What is stored of a step x̂: the state itself, or its residual from another state.
@inline itself(x̂, _) = x̂
@inline residual(x̂, x⁺) = x⁺ - x̂

@inline function euler!(rate::F, out, m, z, h, x, store::G = itself, x⁺ = z) where {F,G}
    return map_places!(out, m, (z, x), (x⁺,)) do s, (z, x), (x⁺,)
        @inlined
        @inbounds store(muladd(h, rate(m, x, z, s), z[s.i]), x⁺)
    end
end

# A stage stores one vector: k₁, k₂, k₃ are recovered from z₂, z₃, z₄ at the end,
# ẑ = z + [(z₂ - z) + 2(z₃ - z) + (z₄ - z)]/3 + h/6 k₄. A stage may overwrite an xₖ of an earlier
# stage.
@inline function runge_kutta!(
    rate::F, out, (z₂, z₃, z₄), m, z, h, (x₁, x₂, x₃, x₄), store::G = itself, x⁺ = z,
) where {F,G}
    third = oftype(h, 1 / 3)
    map_places!(z₂, m, (z, x₁), ()) do s, (z, x₁), _
        @inlined
        @inbounds muladd(h / 2, rate(m, x₁, z, s), z[s.i])
    end
    map_places!(z₃, m, (z₂, x₂), (z,)) do s, (z₂, x₂), (z,)
        @inlined
        muladd(h / 2, rate(m, x₂, z₂, s), z)
    end
    map_places!(z₄, m, (z₃, x₃), (z,)) do s, (z₃, x₃), (z,)
        @inlined
        muladd(h, rate(m, x₃, z₃, s), z)
    end
    return map_places!(out, m, (z₄, x₄), (z, z₂, z₃, x⁺)) do s, (z₄, x₄), (z, z₂, z₃, x⁺)
        @inlined
        ẑ = @inbounds muladd(third, (z₂ - z₃) + (z₄[s.i] - z), z₃)
        store(muladd(h / 6, rate(m, x₄, z₄, s), ẑ), x⁺)
    end
end

@inline step!(ws, ::Euler, m::LargeModel, x, h) = euler!(tendency_at, ws.x̂, m, x, h, x)
@inline step!(ws, ::RungeKutta4, m::LargeModel, x, h) =
    runge_kutta!(tendency_at, ws.x̂, (ws.x₂, ws.x₃, ws.x₄), m, x, h, (x, ws.x₂, ws.x₃, ws.x₄))

"    residual!(r, ws, scheme, m, x, x⁺, h) -> r = x⁺ - Φ(x), with the stages stored in ws"
@inline residual!(r, ws, ::Euler, m::LargeModel, x, x⁺, h) =
    euler!(tendency_at, r, m, x, h, x, residual, x⁺)
@inline residual!(r, ws, ::RungeKutta4, m::LargeModel, x, x⁺, h) =
    runge_kutta!(
        tendency_at, r, (ws.x₂, ws.x₃, ws.x₄), m, x, h, (x, ws.x₂, ws.x₃, ws.x₄), residual, x⁺,
    )

@inline step_tangent!(δ̂, ws, ::Euler, m::LargeModel, x, δ, h) = euler!(tangent_linear, δ̂, m, δ, h, x)
@inline step_tangent!(δ̂, ws, ::RungeKutta4, m::LargeModel, x, δ, h) =
    runge_kutta!(tangent_linear, δ̂, (ws.v₂, ws.v₃, ws.v₄), m, δ, h, (x, ws.x₂, ws.x₃, ws.x₄))

# The adjoint overwrites the stages that it no longer needs, to use less of the first-level cache.
@inline step_adjoint!(ws, ::Euler, m::LargeModel, x, v, h) = euler!(adjoint, ws.x₂, m, v, h, x)
@inline step_adjoint!(ws, ::RungeKutta4, m::LargeModel, x, v, h) =
    runge_kutta!(adjoint, ws.x₂, (ws.v₂, ws.x₄, ws.x₃), m, v, h, (ws.x₄, ws.x₃, ws.x₂, x))
