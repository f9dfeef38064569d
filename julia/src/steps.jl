# One step Φ of an ODE model over h, with its tangent linear and its adjoint: Euler (7), RK4 (8).
#
# Small models: tuples in, tuples out; what the compiler sees is straight-line code in registers.
# Large models: `step!(ws, scheme, m, x, h)` leaves Φ(x) in `ws.x̂` and the states at which the
# stages were evaluated in `ws`, where `step_tangent!` and `step_adjoint!` find them.
#
# RK4 is x + h/6 (k₁ + 2k₂ + 2k₃ + k₄), kᵢ = f(xᵢ), x₁ = x, x₂ = x + h/2 k₁, x₃ = x + h/2 k₂,
# x₄ = x + h k₃. Its adjoint walks back: k̄₄ = h/6 v, x̄₄ = 𝐌(x₄)ᵀ k̄₄, k̄₃ = h/3 v + h x̄₄, and so on;
# the result is v + x̄₁ + x̄₂ + x̄₃ + x̄₄.

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

"Room for one step of a large model: the stages, Φ(x), and what the adjoint passes on."
struct StepWorkspace{V}
    x₁::V
    x₂::V
    x₃::V
    x₄::V
    x̂::V
    k̄::V
    k̄′::V
    x̄::V
end
StepWorkspace{V}(D::Integer) where {V<:AbstractVector} =
    StepWorkspace{V}(ntuple(_ -> fill!(V(undef, D), zero(eltype(V))), Val(8))...)

@inline function step!(ws, ::Euler, m::LargeModel, x, h)
    each_place(m) do s
        @inlined
        @inbounds ws.x₁[s.i] = x[s.i]
        @inbounds ws.x̂[s.i] = muladd(h, tendency(m, x, s), x[s.i])
    end
    return ws.x̂
end

@inline function step!(ws, ::RungeKutta4, m::LargeModel, x, h)
    (x₁, x₂, x₃, x₄, x̂) = (ws.x₁, ws.x₂, ws.x₃, ws.x₄, ws.x̂)
    each_place(m) do s
        @inlined
        k = tendency(m, x, s)
        @inbounds x₁[s.i] = x[s.i]
        @inbounds x₂[s.i] = muladd(h / 2, k, x[s.i])
        @inbounds x̂[s.i] = muladd(h / 6, k, x[s.i])
    end
    each_place(m) do s
        @inlined
        k = tendency(m, x₂, s)
        @inbounds x₃[s.i] = muladd(h / 2, k, x₁[s.i])
        @inbounds x̂[s.i] = muladd(h / 3, k, x̂[s.i])
    end
    each_place(m) do s
        @inlined
        k = tendency(m, x₃, s)
        @inbounds x₄[s.i] = muladd(h, k, x₁[s.i])
        @inbounds x̂[s.i] = muladd(h / 3, k, x̂[s.i])
    end
    each_place(m) do s
        @inlined
        @inbounds x̂[s.i] = muladd(h / 6, tendency(m, x₄, s), x̂[s.i])
    end
    return x̂
end

@inline function step_tangent!(δ̂, ws, ::Euler, m::LargeModel, δ, h)
    each_place(m) do s
        @inlined
        @inbounds δ̂[s.i] = muladd(h, tangent_linear(m, ws.x₁, δ, s), δ[s.i])
    end
    return δ̂
end

@inline function step_tangent!(δ̂, ws, ::RungeKutta4, m::LargeModel, δ, h)
    (δ₂, δ₃) = (ws.k̄, ws.k̄′)
    each_place(m) do s
        @inlined
        k = tangent_linear(m, ws.x₁, δ, s)
        @inbounds δ₂[s.i] = muladd(h / 2, k, δ[s.i])
        @inbounds δ̂[s.i] = muladd(h / 6, k, δ[s.i])
    end
    each_place(m) do s
        @inlined
        k = tangent_linear(m, ws.x₂, δ₂, s)
        @inbounds δ₃[s.i] = muladd(h / 2, k, δ[s.i])
        @inbounds δ̂[s.i] = muladd(h / 3, k, δ̂[s.i])
    end
    each_place(m) do s
        @inlined
        k = tangent_linear(m, ws.x₃, δ₃, s)
        @inbounds δ₂[s.i] = muladd(h, k, δ[s.i])
        @inbounds δ̂[s.i] = muladd(h / 3, k, δ̂[s.i])
    end
    each_place(m) do s
        @inlined
        @inbounds δ̂[s.i] = muladd(h / 6, tangent_linear(m, ws.x₄, δ₂, s), δ̂[s.i])
    end
    return δ̂
end

@inline function step_adjoint!(ws, ::Euler, m::LargeModel, v, h)
    each_place(m) do s
        @inlined
        @inbounds ws.x̄[s.i] = muladd(h, adjoint(m, ws.x₁, v, s), v[s.i])
    end
    return ws.x̄
end

@inline function step_adjoint!(ws, ::RungeKutta4, m::LargeModel, v, h)
    (k̄, k̄′, x̄) = (ws.k̄, ws.k̄′, ws.x̄)
    # 𝐌ᵀ is linear, so the factor h/6 of k̄₄ is applied after it instead of before.
    each_place(m) do s
        @inlined
        a = (h / 6) * adjoint(m, ws.x₄, v, s)
        @inbounds k̄[s.i] = muladd(h, a, (h / 3) * v[s.i])
        @inbounds x̄[s.i] = v[s.i] + a
    end
    each_place(m) do s
        @inlined
        a = adjoint(m, ws.x₃, k̄, s)
        @inbounds k̄′[s.i] = muladd(h / 2, a, (h / 3) * v[s.i])
        @inbounds x̄[s.i] += a
    end
    each_place(m) do s
        @inlined
        a = adjoint(m, ws.x₂, k̄′, s)
        @inbounds k̄[s.i] = muladd(h / 2, a, (h / 6) * v[s.i])
        @inbounds x̄[s.i] += a
    end
    each_place(m) do s
        @inlined
        @inbounds x̄[s.i] += adjoint(m, ws.x₁, k̄, s)
    end
    return x̄
end
