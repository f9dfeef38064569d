"""
    WithParameters(m)

The model `m` with its parameters θ as part of the state: (x, θ), dx/dt = f(x; θ), dθ/dt = 0. All that
works on a model then works on state and parameters together; the values that `m` itself has for its
parameters are not used. A model that can stand here has

    parameters(m)                       θ, a tuple
    with_parameters(m, θ)               the model with these
    parameter_tangent(m, x, θ′[, s])    ∂f/∂θ θ′
    parameter_adjoint(m, x, v)          (∂f/∂θ)ᵀ v
"""
struct SmallWithParameters{M<:SmallModel} <: SmallModel
    m::M
end
struct LargeWithParameters{M<:LargeModel} <: LargeModel
    m::M
end
WithParameters(m::SmallModel) = SmallWithParameters(m)
WithParameters(m::LargeModel) = LargeWithParameters(m)

const AnyWithParameters = Union{SmallWithParameters,LargeWithParameters}
Base.length(m::AnyWithParameters) = length(m.m) + length(parameters(m.m))
retype(::Type{T}, m::AnyWithParameters) where {T} = WithParameters(retype(T, m.m))

# --- tuples ---------------------------------------------------------------------------------------

@inline size_of(m::SmallWithParameters) = plus_count(size_of(m.m), parameters(m.m))
@inline plus_count(::Val{D}, ::NTuple{P,Any}) where {D,P} = Val(D + P)

"    parted(m, z) -> the first components of z, which are the state's, and the parameters' at its end"
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

"The place of a parameter, behind those of the state: `i` in the whole, `k` among the parameters."
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
@inline tangent_linear(m::LargeWithParameters, z, δ, s) =
    tangent_linear(with_parameters(m.m, at_end(m, z)), z, δ, s) + parameter_tangent(m.m, z, at_end(m, δ), s)
@inline adjoint(m::LargeWithParameters, z, v, s) = adjoint(with_parameters(m.m, at_end(m, z)), z, v, s)

@inline tendency(m::LargeWithParameters, z, s::ParameterPlace) = zero(eltype(z))
@inline tangent_linear(m::LargeWithParameters, z, δ, s::ParameterPlace) = zero(at_end(m, δ)[1])
@inline adjoint(m::LargeWithParameters, z, v, s::ParameterPlace) = parameter_adjoint(m.m, z, v)[s.k]
