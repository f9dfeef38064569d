# Steps of a VectorModel, whose functions work on whole arrays of plain numbers, one window at a time.
#
# States are vectors outside the model; its functions receive arrays of the model's shape.
# A model with its own scheme (`step!`) has one step, of the length `time_step(m)`, and its tangent
# linear and adjoint are those of that step. All others use the schemes of schemes/steps.jl.

"A vector, and a view of its memory in the shape of a model's array."
struct Shaped{A}
    flat::Vector{Float64}
    array::A
end
function Shaped(shape::Tuple)
    flat = zeros(prod(shape))
    return Shaped(flat, reshape(flat, shape))
end

"Workspace for one step of a VectorModel and for its linearisation; x₂, x₃, x₄ are the stages of the step."
struct VectorStepWorkspace{A,W}
    work::W                             # the model's own workspace
    x₂::Vector{Float64}
    x₃::Vector{Float64}
    x₄::Vector{Float64}
    x̂::Vector{Float64}
    v₂::Vector{Float64}
    v₃::Vector{Float64}
    v₄::Vector{Float64}
    x::Shaped{A}                        # arguments (x, δ) and result (out) of the model's functions
    δ::Shaped{A}
    out::Shaped{A}
end
function VectorStepWorkspace(m::VectorModel)
    D = length(m)
    room = ntuple(_ -> zeros(D), Val(7))
    return VectorStepWorkspace(workspace(Float64, m), room..., ntuple(_ -> Shaped(array_shape(m)), Val(3))...)
end

"    step_workspace(N, m) -> a workspace for a step of numbers of type N"
step_workspace(::Type{N}, m::LargeModel) where {N} = StepWorkspace{Vector{N}}(length(m))
step_workspace(::Type{Float64}, m::VectorModel) = VectorStepWorkspace(m)

"    has_own_step(m) -> whether the model has a `step!`; defined when its file is registered"
has_own_step(::Model) = false

# --- the model's functions on vectors ---------------------------------------------------------------

const VectorRate = Union{typeof(tendency!),typeof(tangent_linear!),typeof(adjoint!)}

function rate!(::typeof(tendency!), ws, m, x, _)
    copyto!(ws.x.flat, x)
    tendency!(ws.out.array, m, ws.x.array, ws.work)
    return ws.out.flat
end
function rate!(f::F, ws, m, x, δ) where {F<:VectorRate}
    copyto!(ws.x.flat, x)
    copyto!(ws.δ.flat, δ)
    f(ws.out.array, m, ws.x.array, ws.δ.array, ws.work)
    return ws.out.flat
end

# out = z + h k, component by component; `out` may be z.
function add_scaled!(out, z, h, k)
    @inbounds @simd for i in eachindex(out)
        out[i] = muladd(h, k[i], z[i])
    end
    return out
end

# Stages z₂, z₃, z₄ of z; the rate is evaluated at the stages xₖ of the trajectory, a tendency at those of z.
function vector_euler!(f::F, out, ws, m, z, h, x) where {F}
    return add_scaled!(out, z, h, rate!(f, ws, m, f === tendency! ? z : x, z))
end
function vector_runge_kutta!(f::F, out, ws, m, (z₂, z₃, z₄), z, h, (x₁, x₂, x₃, x₄)) where {F}
    at(xₖ, zₖ) = f === tendency! ? zₖ : xₖ
    k = rate!(f, ws, m, at(x₁, z), z)
    add_scaled!(z₂, z, h / 2, k)
    k = rate!(f, ws, m, at(x₂, z₂), z₂)
    add_scaled!(z₃, z, h / 2, k)
    k = rate!(f, ws, m, at(x₃, z₃), z₃)
    add_scaled!(z₄, z, h, k)
    k = rate!(f, ws, m, at(x₄, z₄), z₄)
    @inbounds @simd for i in eachindex(out)
        out[i] = muladd(h / 6, k[i], muladd(1 / 3, (z₂[i] - z₃[i]) + (z₄[i] - z[i]), z₃[i]))
    end
    return out
end

# Between two steps the states of a model with its own scheme are interpolated linearly.
"    step_length(m) -> that of a model with its own scheme"
step_length(m::VectorModel) = time_step(m)

function own_step!(ws, m, x, h)
    h == 0 && return copyto!(ws.x̂, x)
    copyto!(ws.x.flat, x)
    step!(ws.out.array, m, ws.x.array, ws.work)
    return between!(ws.x̂, x, ws.out.flat, h / step_length(m))
end
function own_derivative!(f::F, out, ws, m, x, δ, h) where {F}
    h == 0 && return copyto!(out, δ)
    return between!(out, δ, rate!(f, ws, m, x, δ), h / step_length(m))
end
function between!(out, first, last, θ)
    abs(θ - 1) <= 1e-9 && return copyto!(out, last)
    @inbounds @simd for i in eachindex(out)
        out[i] = muladd(θ, last[i] - first[i], first[i])
    end
    return out
end

# --- as for large models: schemes/steps.jl ------------------------------------------------------------

step!(ws, scheme::Euler, m::VectorModel, x, h) =
    has_own_step(m) ? own_step!(ws, m, x, h) : vector_euler!(tendency!, ws.x̂, ws, m, x, h, x)
step!(ws, scheme::RungeKutta4, m::VectorModel, x, h) =
    has_own_step(m) ? own_step!(ws, m, x, h) :
    vector_runge_kutta!(tendency!, ws.x̂, ws, m, (ws.x₂, ws.x₃, ws.x₄), x, h, (x, ws.x₂, ws.x₃, ws.x₄))

function residual!(r, ws, scheme, m::VectorModel, x, x⁺, h)
    x̂ = step!(ws, scheme, m, x, h)
    @inbounds @simd for i in eachindex(r)
        r[i] = x⁺[i] - x̂[i]
    end
    return r
end

step_tangent!(δ̂, ws, ::Euler, m::VectorModel, x, δ, h) =
    has_own_step(m) ? own_derivative!(tangent_linear!, δ̂, ws, m, x, δ, h) : vector_euler!(tangent_linear!, δ̂, ws, m, δ, h, x)
step_tangent!(δ̂, ws, ::RungeKutta4, m::VectorModel, x, δ, h) =
    has_own_step(m) ? own_derivative!(tangent_linear!, δ̂, ws, m, x, δ, h) :
    vector_runge_kutta!(tangent_linear!, δ̂, ws, m, (ws.v₂, ws.v₃, ws.v₄), δ, h, (x, ws.x₂, ws.x₃, ws.x₄))

# Unlike that of a large model, this adjoint keeps the stages.
step_adjoint!(ws, ::Euler, m::VectorModel, x, v, h) =
    has_own_step(m) ? own_derivative!(adjoint!, ws.v₄, ws, m, x, v, h) : vector_euler!(adjoint!, ws.v₄, ws, m, v, h, x)
step_adjoint!(ws, ::RungeKutta4, m::VectorModel, x, v, h) =
    has_own_step(m) ? own_derivative!(adjoint!, ws.v₄, ws, m, x, v, h) :
    vector_runge_kutta!(adjoint!, ws.v₄, ws, m, (ws.v₂, ws.v₃, ws.v₄), v, h, (ws.x₄, ws.x₃, ws.x₂, x))
