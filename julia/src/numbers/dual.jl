# Dual numbers: a value with its derivatives in P directions (forward differentiation, exact up to
# rounding). They supply the derivatives that a model's file does not define, and check those that it
# does.

struct Dual{P,V<:Real} <: Real
    value::V
    partials::NTuple{P,V}
    @inline Dual{P,V}(value::V, partials::NTuple{P,V}) where {P,V<:Real} = new{P,V}(value, partials)
end
@inline Dual(value::V, partials::NTuple{P,V}) where {P,V<:Real} = Dual{P,V}(value, partials)
@inline Dual{P,V}(x::Real) where {P,V<:Real} = Dual(V(x), ntuple(_ -> zero(V), Val(P)))
@inline Dual{P,V}(x::Dual{P,V}) where {P,V<:Real} = x
@inline Dual{P,V}(x::Dual{P}) where {P,V<:Real} = Dual(V(x.value), ntuple(k -> V(x.partials[k]), Val(P)))
Base.promote_rule(::Type{Dual{P,V}}, ::Type{S}) where {P,V<:Real,S<:Union{Constant,Lanes,Unfused}} = Dual{P,promote_type(V, S)}
Base.promote_rule(::Type{Dual{P,V}}, ::Type{Dual{P,S}}) where {P,V<:Real,S<:Real} = Dual{P,promote_type(V, S)}
Base.zero(::Type{Dual{P,V}}) where {P,V<:Real} = Dual{P,V}(zero(V))
Base.one(::Type{Dual{P,V}}) where {P,V<:Real} = Dual{P,V}(one(V))

"    chain_rule(value, slope, a) -> the dual number of a function with this value and slope at `a`"
@inline chain_rule(value, slope, a::Dual{P}) where {P} = Dual(value, ntuple(k -> slope * a.partials[k], Val(P)))
@inline chain_rule(value, slope_a, a::Dual{P}, slope_b, b::Dual{P}) where {P} =
    Dual(value, ntuple(k -> muladd(slope_a, a.partials[k], slope_b * b.partials[k]), Val(P)))

@inline Base.:+(a::Dual{P,V}, b::Dual{P,V}) where {P,V} = Dual(a.value + b.value, ntuple(k -> a.partials[k] + b.partials[k], Val(P)))
@inline Base.:-(a::Dual{P,V}, b::Dual{P,V}) where {P,V} = Dual(a.value - b.value, ntuple(k -> a.partials[k] - b.partials[k], Val(P)))
@inline Base.:-(a::Dual{P,V}) where {P,V} = Dual(-a.value, ntuple(k -> -a.partials[k], Val(P)))
@inline Base.:*(a::Dual{P,V}, b::Dual{P,V}) where {P,V} = chain_rule(a.value * b.value, b.value, a, a.value, b)
@inline function Base.:/(a::Dual{P,V}, b::Dual{P,V}) where {P,V}
    ratio = a.value / b.value
    return chain_rule(ratio, one(V) / b.value, a, -ratio / b.value, b)
end
@inline Base.muladd(a::Dual{P,V}, b::Dual{P,V}, c::Dual{P,V}) where {P,V} = a * b + c
# A factor that is not a dual number, such as a model's parameter, has no derivatives.
for S in (:Constant, :Lanes, :Unfused)
    @eval @inline Base.:*(a::$S, b::Dual) = chain_rule(a * b.value, a, b)
    @eval @inline Base.:*(a::Dual, b::$S) = b * a
end

@inline Base.:^(a::Dual, n::Integer) = n == 0 ? one(a) : chain_rule(whole_power(a.value, n), n * whole_power(a.value, n - 1), a)
@inline Base.literal_pow(::typeof(^), a::Dual, ::Val{n}) where {n} =
    n == 0 ? one(a) : chain_rule(whole_power(a.value, Val(n)), n * whole_power(a.value, Val(n - 1)), a)
@inline function Base.:^(a::Dual{P,V}, b::Dual{P,V}) where {P,V}
    power = a.value^b.value
    return chain_rule(power, b.value * a.value^(b.value - one(V)), a, power * log(a.value), b)
end
@inline function Base.:^(a::Dual, b::AbstractFloat)
    return chain_rule(a.value^oftype(a.value, b), b * a.value^oftype(a.value, b - 1), a)
end

# The slope of each function, in terms of its argument x and its value y.
for (f, slope) in (
    (:exp, :y), (:expm1, :(y + 1)), (:log, :(1 / x)), (:log1p, :(1 / (1 + x))), (:sqrt, :(1 / (2 * y))),
    (:cbrt, :(1 / (3 * y * y))), (:sin, :(cos(x))), (:cos, :(-sin(x))), (:tan, :(1 + y * y)),
    (:asin, :(1 / sqrt(1 - x * x))), (:acos, :(-1 / sqrt(1 - x * x))), (:atan, :(1 / (1 + x * x))),
    (:sinh, :(cosh(x))), (:cosh, :(sinh(x))), (:tanh, :(1 - y * y)), (:abs, :(sign(x))),
)
    @eval @inline function Base.$f(a::Dual)
        x = a.value
        y = $f(x)
        return chain_rule(y, oftype(y, $slope), a)
    end
end
for f in (:floor, :ceil, :round, :sign)
    @eval @inline Base.$f(a::Dual{P,V}) where {P,V} = Dual{P,V}($f(a.value))
end
for f in (:<, :<=, :isless, :(==))
    @eval @inline Base.$f(a::Dual, b::Dual) = $f(a.value, b.value)
end
# (a + b ± |a - b|) / 2 has no branch, so that it also works for lanes; at a = b the slope is the mean of both.
@inline Base.max(a::Dual{P,V}, b::Dual{P,V}) where {P,V} = 0.5 * (a + b + abs(a - b))
@inline Base.min(a::Dual{P,V}, b::Dual{P,V}) where {P,V} = 0.5 * (a + b - abs(a - b))
