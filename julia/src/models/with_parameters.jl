"""
    WithParameters(m)

The model `m` with its parameters θ as part of the state: (x, θ), dx/dt = f(x; θ), dθ/dt = 0. Everything
that works on a model then works on state and parameters together; the parameter values of `m` itself are
not used. It requires of the model

    parameters(m)                       θ, a tuple (models/fields.jl)
    with_parameters(m, θ)               the model with the parameters θ
    parameter_tangent(m, x, θ′[, s])    ∂f/∂θ θ′
    parameter_adjoint(m, x, v)          (∂f/∂θ)ᵀ v

and of a VectorModel `parameter_tangent!(dy, m, x, θ′, work)` and `parameter_adjoint!(m, x, v, work)`, for
its tendency or its step.
"""
struct SmallWithParameters{M<:SmallModel} <: SmallModel
    m::M
end
struct LargeWithParameters{M<:LargeModel} <: LargeModel
    m::M
end
struct VectorWithParameters{M<:VectorModel} <: VectorModel
    m::M
end
WithParameters(m::SmallModel) = SmallWithParameters(m)
WithParameters(m::LargeModel) = LargeWithParameters(m)
WithParameters(m::VectorModel) = VectorWithParameters(m)

const AnyWithParameters = Union{SmallWithParameters,LargeWithParameters,VectorWithParameters}
Base.length(m::AnyWithParameters) = length(m.m) + length(parameters(m.m))
retype(::Type{T}, m::AnyWithParameters) where {T} = WithParameters(retype(T, m.m))

# --- tuples ---------------------------------------------------------------------------------------

@inline size_of(m::SmallWithParameters) = plus_count(size_of(m.m), parameters(m.m))
@inline plus_count(::Val{D}, ::NTuple{P,Any}) where {D,P} = Val(D + P)

"    parted(m, z) -> z split into state and parameters"
@inline parted(m::SmallWithParameters, z::Tuple) = parted(size_of(m.m), parameters(m.m), z)
@inline parted(::Val{D}, ::NTuple{P,Any}, z::Tuple) where {D,P} =
    ntuple(i -> z[i], Val(D)), ntuple(k -> z[D+k], Val(P))

@inline function tendency(m::SmallWithParameters, z::Tuple)
    x, θ = parted(m, z)
    return (tendency(with_parameters(m.m, θ), x)..., map(zero, θ)...)
end

@inline function tangent_linear(m::SmallWithParameters, z::Tuple, δ::Tuple)
    x, θ = parted(m, z)
    x′, θ′ = parted(m, δ)
    here = with_parameters(m.m, θ)
    return (plus(tangent_linear(here, x, x′), parameter_tangent(here, x, θ′))..., map(zero, θ′)...)
end

@inline function adjoint(m::SmallWithParameters, z::Tuple, v::Tuple)
    x, θ = parted(m, z)
    x̄, _ = parted(m, v)
    here = with_parameters(m.m, θ)
    return (adjoint(here, x, x̄)..., parameter_adjoint(here, x, x̄)...)
end

# --- vectors --------------------------------------------------------------------------------------

"The place of a parameter, after those of the state: index `i` in the whole, `k` among the parameters."
struct ParameterPlace
    i::Int
    k::Int
end

@inline function each_place(f::F, m::LargeWithParameters) where {F}
    each_place(f, m.m)
    for k in eachindex(parameters(m.m))
        f(ParameterPlace(length(m.m) + k, k))
    end
    return nothing
end

@inline at_end(m::LargeWithParameters, z) = at_end(length(m.m), parameters(m.m), z)
@inline at_end(D::Int, ::NTuple{P,Any}, z) where {P} = ntuple(k -> (@inbounds z[D+k]), Val(P))

@inline tendency(m::LargeWithParameters, z, s) = tendency(with_parameters(m.m, at_end(m, z)), z, s)
@inline function tangent_linear(m::LargeWithParameters, z, δ, s)
    here = with_parameters(m.m, at_end(m, z))
    return tangent_linear(here, z, δ, s) + parameter_tangent(here, z, at_end(m, δ), s)
end
@inline adjoint(m::LargeWithParameters, z, v, s) = adjoint(with_parameters(m.m, at_end(m, z)), z, v, s)

@inline tendency(m::LargeWithParameters, z, s::ParameterPlace) = zero(eltype(z))
@inline tangent_linear(m::LargeWithParameters, z, δ, s::ParameterPlace) = zero(at_end(m, δ)[1])
@inline adjoint(m::LargeWithParameters, z, v, s::ParameterPlace) =
    parameter_adjoint(with_parameters(m.m, at_end(m, z)), z, v)[s.k]

# --- whole arrays -----------------------------------------------------------------------------------

# The workspace of a model may depend on its parameters (such as the coefficients of a scheme), so it is
# made again when they have changed.
mutable struct WorkWithParameters{A}
    θ::Vector{Float64}
    work::Any
    x::Shaped{A}
    δ::Shaped{A}
    out::Shaped{A}
end
workspace(::Type{Float64}, m::VectorWithParameters) =
    WorkWithParameters(Float64[], nothing, ntuple(_ -> Shaped(array_shape(m.m)), Val(3))...)
array_shape(m::VectorWithParameters) = (length(m),)
has_own_step(m::VectorWithParameters) = has_own_step(m.m)
step_length(m::VectorWithParameters) = step_length(m.m)

"    unpacked!(ws, m, z) -> the model with the parameters of z; ws then has its state and workspace"
function unpacked!(ws, m::VectorWithParameters, z)
    D = length(m.m)
    copyto!(ws.x.flat, view(z, 1:D))
    here = with_parameters(m.m, ntuple(k -> z[D+k], length(parameters(m.m))))
    if ws.θ != view(z, D+1:length(z))
        ws.θ = z[D+1:end]
        ws.work = workspace(Float64, here)
    end
    return here
end

for f in (:tendency!, :step!)
    rest = f === :tendency! ? :(zero(eltype(z))) : :(z[i])
    @eval function $f(dz, m::VectorWithParameters, z, ws::WorkWithParameters)
        here = unpacked!(ws, m, z)
        $f(ws.out.array, here, ws.x.array, ws.work)
        copyto!(dz, ws.out.flat)
        for i in length(m.m)+1:length(z)
            dz[i] = $rest
        end
        return dz
    end
end

function tangent_linear!(dy, m::VectorWithParameters, z, δ, ws::WorkWithParameters)
    here = unpacked!(ws, m, z)
    D = length(m.m)
    copyto!(ws.δ.flat, view(δ, 1:D))
    tangent_linear!(ws.out.array, here, ws.x.array, ws.δ.array, ws.work)
    copyto!(dy, ws.out.flat)
    parameter_tangent!(ws.out.array, here, ws.x.array, ntuple(k -> δ[D+k], length(δ) - D), ws.work)
    for i in 1:D
        dy[i] += ws.out.flat[i]
    end
    for i in D+1:length(δ)
        dy[i] = has_own_step(m) ? δ[i] : 0.0
    end
    return dy
end

function adjoint!(z̄, m::VectorWithParameters, z, v, ws::WorkWithParameters)
    here = unpacked!(ws, m, z)
    D = length(m.m)
    copyto!(ws.δ.flat, view(v, 1:D))
    adjoint!(ws.out.array, here, ws.x.array, ws.δ.array, ws.work)
    copyto!(z̄, ws.out.flat)
    θ̄ = parameter_adjoint!(here, ws.x.array, ws.δ.array, ws.work)
    for k in eachindex(θ̄)
        z̄[D+k] = θ̄[k] + (has_own_step(m) ? v[D+k] : 0.0)
    end
    return z̄
end
