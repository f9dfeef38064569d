# What a model is: the contract that a user's file follows.
#
# A file defines one struct <: SmallModel, LargeModel or VectorModel. Its fields are the model's
# parameters (of the struct's type parameter) and sizes (Int); a keyword constructor gives their
# defaults. All kinds say
#
#     variables(::Type{<:M})              names; ("x",) where a large model does not say
#     time_step(::Type{<:M})              the usual assimilation step, in the model's units of time
#
# A `SmallModel` works on tuples, one number a variable, up to some twenty:
#
#     tendency(m, x)                      dx/dt
#     tangent_linear(m, x, δ)             𝐌(x) δ, with 𝐌 the Jacobian of `tendency`
#     adjoint(m, x, v)                    𝐌(x)ᵀ v
#     parameter_tangent(m, x, θ′)         ∂f/∂θ θ′
#     parameter_adjoint(m, x, v)          (∂f/∂θ)ᵀ v, a tuple
#
# All but the first have a default: models/missing_derivatives.jl.
#
# A `LargeModel` works on vectors, component by component: `tendency(m, x, s)` is the component at the
# place `s` of its stencil; `each_place(f, m)` calls `f(s)` for every place, `s.i` its index. The default
# is a circle with two neighbours to either side (models/circle.jl). `x` may be a vector or no more of it
# than the stencil reaches: functions read `x[s.i]` and its neighbours.
#
#     dimensions(m)                       a named tuple of sizes, slowest first; of each variable, or
#                                         a named tuple with those of each variable
#     tendency(m, x, s), tangent_linear(m, x, δ, s), adjoint(m, x, v, s)
#     parameter_tangent(m, x, θ′, s), parameter_adjoint(m, x, v)
#
# A `VectorModel` works on whole arrays of the shape `array_shape(m)`, one window at a time:
#
#     workspace(T, m)                     optional: what the functions may overwrite
#     tendency!(dx, m, x, work)           or step!(x1, m, x, work), one time step by a scheme of its own
#     tangent_linear!(dy, m, x, dx, work) of the tendency, or of the step
#     adjoint!(xbar, m, x, ybar, work)
#     parameter_tangent!(dy, m, x, dθ, work), parameter_adjoint!(m, x, ybar, work) -> a tuple; optional
#
# What any model may add: `land(m)`, a mask of the state's array that is true on land; `start(m, rng)`, a
# state from which the attractor is reached in `spinup(m)` units of time.

# Makes the closure it stands in part of the loop that calls it; left to itself the compiler calls
# such a closure for every component, which costs more than what it computes.
macro inlined()
    return Expr(:meta, :inline)
end

abstract type Model end
abstract type SmallModel <: Model end
abstract type LargeModel <: Model end
abstract type VectorModel <: Model end
const ArrayModel = Union{LargeModel,VectorModel}

"Models of the zoo with a time step, whose methods are compiled with the package: see precompile.jl."
const PRECOMPILED = Tuple{Model,Float64}[]

"    variables(M) -> the names of the model's variables"
function variables end
variables(::Type{<:LargeModel}) = ("x",)
variables(::Type{<:VectorModel}) = ("x",)

"    time_step(M) -> the usual assimilation step, in the model's units of time"
function time_step end
time_step(m::Model) = time_step(typeof(m))

"    dimensions(m) -> a named tuple of sizes, slowest first, or one of these for each variable"
dimensions(::Model) = NamedTuple()

"    workspace(T, m) -> what the functions of a VectorModel may overwrite, of numbers of type T"
workspace(::Type, ::VectorModel) = nothing

"    land(m) -> a mask of the state's array, true on land; nothing where there is none"
land(::Model) = nothing

"    start(m, rng) -> a state from which the model finds its attractor"
function start end
"    spinup(m) -> how long that takes, in the model's units of time"
function spinup end

function tendency end
function tangent_linear end
function adjoint end
function parameter_tangent end
function parameter_adjoint end
function tendency! end
function tangent_linear! end
function adjoint! end
function parameter_tangent! end
function parameter_adjoint! end
function step! end
function each_place end

"What the file of a model finds imported."
const CONTRACT = (
    :SmallModel, :LargeModel, :VectorModel, :variables, :time_step, :dimensions, :workspace, :land, :start, :spinup,
    :tendency, :tangent_linear, :adjoint, :parameter_tangent, :parameter_adjoint, :tendency!, :tangent_linear!,
    :adjoint!, :parameter_tangent!, :parameter_adjoint!, :step!, :each_place, :map_places!, :each_circle_place,
    :map_circle!, :array_shape,
)

@inline tuple_of(x, ::Val{D}) where {D} = ntuple(i -> (@inbounds x[i]), Val(D))

# On vectors, whatever the kind (schemes/dormand_prince.jl and tests).

@inline function tendency!(dx, m::SmallModel, x)
    dx .= tendency(m, tuple_of(x, size_of(m)))
    return dx
end
@inline function tangent_linear!(dδ, m::SmallModel, x, δ)
    dδ .= tangent_linear(m, tuple_of(x, size_of(m)), tuple_of(δ, size_of(m)))
    return dδ
end
@inline function adjoint!(v̄, m::SmallModel, x, v)
    v̄ .= adjoint(m, tuple_of(x, size_of(m)), tuple_of(v, size_of(m)))
    return v̄
end

"""
    map_places!(f, out, m, around, here)

Set `out[s.i] = f(s, around, values)` at every place `s`, where `values` are those of the vectors
`here` at `s.i`. The vectors `around` are read at the neighbours too; `out` is none of them.
"""
@inline function map_places!(f::F, out, m::LargeModel, around::Tuple, here::Tuple) where {F}
    each_place(m) do s
        @inlined
        @inbounds out[s.i] = f(s, around, values_at(here, s.i))
    end
    return out
end
# By recursion, as all that goes through vectors of several types: it is inlined, `map` is not.
@inline values_at(here::Tuple, i) = (@inbounds(here[1][i]), values_at(Base.tail(here), i)...)
@inline values_at(::Tuple{}, i) = ()

@inline function tendency!(dx, m::LargeModel, x)
    each_place(m) do s
        @inlined
        @inbounds dx[s.i] = tendency(m, x, s)
    end
    return dx
end
@inline function tangent_linear!(dδ, m::LargeModel, x, δ)
    each_place(m) do s
        @inlined
        @inbounds dδ[s.i] = tangent_linear(m, x, δ, s)
    end
    return dδ
end
@inline function adjoint!(v̄, m::LargeModel, x, v)
    each_place(m) do s
        @inlined
        @inbounds v̄[s.i] = adjoint(m, x, v, s)
    end
    return v̄
end
