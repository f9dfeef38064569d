# The contract of a model, which a user's file follows.
#
# A file defines one struct <: SmallModel, LargeModel or VectorModel. Its fields are the model's
# parameters (of the struct's type parameter) and sizes (Int); a keyword constructor gives their
# defaults. All kinds define
#
#     variables(::Type{<:M})              names; default of large and vector models: ("x",)
#     time_step(::Type{<:M})              the usual assimilation step, in the model's units of time
#
# A `SmallModel` works on tuples, one number per variable, with up to about twenty variables:
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
# place `s` of its stencil; `each_place(f, m)` calls `f(s)` for every place, whose index is `s.i`. The
# default is a circle with two neighbours on either side (models/circle.jl). `x` may be the vector or only
# the part within reach of the stencil: functions read `x[s.i]` and its neighbours.
#
#     dimensions(m)                       a named tuple of sizes, slowest first, common to all variables,
#                                         or a named tuple with such a tuple for each variable
#     tendency(m, x, s), tangent_linear(m, x, δ, s), adjoint(m, x, v, s)
#     parameter_tangent(m, x, θ′, s), parameter_adjoint(m, x, v)
#
# A `VectorModel` works on whole arrays of the shape `array_shape(m)`, one window at a time:
#
#     workspace(T, m)                     optional: memory that the functions may overwrite
#     tendency!(dx, m, x, work)           or step!(x1, m, x, work), one time step by the model's own scheme
#     tangent_linear!(dy, m, x, dx, work) of the tendency, or of the step
#     adjoint!(xbar, m, x, ybar, work)
#     parameter_tangent!(dy, m, x, dθ, work), parameter_adjoint!(m, x, ybar, work) -> a tuple; optional
#
# In these functions products and sums may be contracted to fused multiply-adds, as C compilers do; not
# inside other calls.
#
# Optional for any model: `land(m)`, a mask of the state's array that is true on land; `coordinates(m)`, the
# increasing coordinates of the points along dimensions, (lat = ..., lon = ...), in degrees where the dimensions
# are called so, without which they are 0, 1, 2, ...; `start(m, rng)`, a state from which the attractor is
# reached in `spinup(m)` units of time.

# Inlines the closure that contains it into the loop that calls it; by default the compiler calls such a
# closure for every component, which costs more than the computation itself.
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

"    dimensions(m) -> a named tuple of sizes, slowest first, or such a tuple for each variable"
dimensions(::Model) = NamedTuple()

"    workspace(T, m) -> memory that the functions of a VectorModel may overwrite, of numbers of type T"
workspace(::Type, ::VectorModel) = nothing

"    land(m) -> a mask of the state's array, true on land; nothing without land"
land(::Model) = nothing

"    coordinates(m) -> a named tuple of the increasing coordinates of the points along dimensions"
coordinates(::Model) = NamedTuple()

"    start(m, rng) -> a state from which the model reaches its attractor"
function start end
"    spinup(m) -> the time it takes to reach the attractor from `start`, in the model's units of time"
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

"Names that are imported where the file of a model is evaluated."
const CONTRACT = (
    :SmallModel, :LargeModel, :VectorModel, :variables, :time_step, :dimensions, :workspace, :land,
    :coordinates, :start, :spinup, :tendency, :tangent_linear, :adjoint, :parameter_tangent, :parameter_adjoint, :tendency!, :tangent_linear!,
    :adjoint!, :parameter_tangent!, :parameter_adjoint!, :step!, :each_place, :map_places!, :each_circle_place,
    :map_circle!, :array_shape,
)

@inline tuple_of(x, ::Val{D}) where {D} = ntuple(i -> (@inbounds x[i]), Val(D))

# The functions on vectors, for every kind of model (schemes/dormand_prince.jl and tests).

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
`here` at `s.i`. The vectors `around` are also read at the neighbours; `out` must not be one of them.
"""
@inline function map_places!(f::F, out, m::LargeModel, around::Tuple, here::Tuple) where {F}
    each_place(m) do s
        @inlined
        @inbounds out[s.i] = f(s, around, values_at(here, s.i))
    end
    return out
end
# Recursive, as are all functions of tuples of mixed types here, because recursion is inlined and `map` is not.
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
