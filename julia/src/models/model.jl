# What a model is.
#
# A `SmallModel` works on tuples: `tendency(m, x)`, `tangent_linear(m, x, δ)`, `adjoint(m, x, v)`
# take and return tuples of `length(m)` numbers.
#
# A `LargeModel` works on vectors, component by component: `tendency(m, x, s)` is the component at
# the place `s` of its stencil; `each_place(f, m)` calls `f(s)` for every place, `s.i` its index. What
# it gets as `x` may be a vector or no more of it than the stencil reaches: it reads `x[s.i]` and so on.
#
# Both also come as `tendency!(dx, m, x)` and so on, on vectors.

# Makes the closure it stands in part of the loop that calls it; left to itself the compiler calls
# such a closure for every component, which costs more than what it computes.
macro inlined()
    return Expr(:meta, :inline)
end

abstract type Model end
abstract type SmallModel <: Model end
abstract type LargeModel <: Model end

@inline tuple_of(x, ::Val{D}) where {D} = ntuple(i -> (@inbounds x[i]), Val(D))

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
