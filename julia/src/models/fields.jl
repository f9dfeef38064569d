# Functions of every model that follow from the fields of its struct and from the layout of its state.
#
# A field whose type is the struct's type parameter, or Float64, is a parameter; an Int field is a
# size. The functions are generated from the fields, so that they cost nothing in the kernels. They
# build the struct without calling its constructors, which might reject a value and throw in the middle
# of a minimisation.

wrapper(::Type{M}) where {M<:Model} = Base.typename(M).wrapper
is_parameter(W, k) = (F = declared(W, k); F isa TypeVar || F <: AbstractFloat)
declared(W, k) = Base.unwrap_unionall(W).types[k]
has_type_parameter(W) = W isa UnionAll

"    retype(T, m) -> the model with its parameters converted to T"
@generated function retype(::Type{T}, m::M) where {T,M<:Model}
    W = wrapper(M)
    has_type_parameter(W) || return :m
    values = [declared(W, k) isa TypeVar ? :($T(getfield(m, $k))) : :(getfield(m, $k)) for k in 1:fieldcount(M)]
    return Expr(:block, Expr(:meta, :inline), Expr(:new, W{T}, values...))
end

"    parameters(m) -> θ, a tuple"
@generated function parameters(m::M) where {M<:Model}
    W = wrapper(M)
    return Expr(:block, Expr(:meta, :inline),
                Expr(:tuple, (:(getfield(m, $k)) for k in 1:fieldcount(M) if is_parameter(W, k))...))
end

"    with_parameters(m, θ) -> the model with the parameters θ"
@generated function with_parameters(m::M, θ::NTuple{P,T}) where {M<:Model,P,T}
    W = wrapper(M)
    taken = 0
    values = [is_parameter(W, k) ? :(θ[$(taken += 1)]) : :(getfield(m, $k)) for k in 1:fieldcount(M)]
    return Expr(:block, Expr(:meta, :inline), Expr(:new, has_type_parameter(W) ? W{T} : W, values...))
end
@inline with_parameters(m::Model, ::Tuple{}) = m

# --- the layout of the state ------------------------------------------------------------------------

@inline size_of(m::M) where {M<:SmallModel} = count_of(variables(M))
@inline count_of(::NTuple{D,Any}) where {D} = Val(D)
Base.length(m::M) where {M<:SmallModel} = length(variables(M))
@inline Base.length(m::M) where {M<:ArrayModel} = components(variables(M), dimensions(m))

const SharedDimensions = NamedTuple{names,<:Tuple{Vararg{Integer}}} where {names}
@inline components(names::Tuple, dims::SharedDimensions) = length(names) * points(dims)
@inline components(names::Tuple, dims::NamedTuple) = sum(map(points, values(dims)))
@inline points(dims::SharedDimensions) = reduce(*, values(dims); init = 1)

"    dimensions_of(m) -> the dimensions of each variable, named tuples of sizes, slowest first"
dimensions_of(m::Model) = dimensions_of(variables(typeof(m)), dimensions(m))
dimensions_of(names::Tuple, dims::SharedDimensions) = [dims for _ in names]
dimensions_of(names::Tuple, dims::NamedTuple) = [dims[Symbol(name)] for name in names]

"""
    array_shape(m) -> the size of the array that the functions of a VectorModel work on

The order is Julia's, fastest first: for `dimensions(m) = (y = 3, x = 5)` it is (5, 3), with several
variables (5, 3, variables). Variables with different dimensions are concatenated in a vector.
"""
array_shape(m::Model) = array_shape(variables(typeof(m)), dimensions(m))
array_shape(names::Tuple, dims::SharedDimensions) =
    length(names) == 1 ? max_one(reverse(values(dims))) : isempty(dims) ? (length(names),) : (reverse(values(dims))..., length(names))
array_shape(names::Tuple, dims::NamedTuple) = (components(names, dims),)
max_one(shape) = isempty(shape) ? (1,) : shape
