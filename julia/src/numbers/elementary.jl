# Functions of the standard library that models can use with every number type of this folder.

const ELEMENTARY = (:exp, :expm1, :log, :log1p, :sqrt, :cbrt, :sin, :cos, :tan, :asin, :acos, :atan, :sinh, :cosh, :tanh)
const Constant = Union{AbstractFloat,Integer,Rational,AbstractIrrational}

# Base throws outside a function's domain; here only the window that has left it becomes NaN.
@inline quietly(f::F, x) where {F} = f(x)
@inline quietly(::typeof(log), x) = x < 0 ? oftype(x, NaN) : log(x)
@inline quietly(::typeof(log1p), x) = x < -1 ? oftype(x, NaN) : log1p(x)
@inline quietly(::typeof(sqrt), x) = x < 0 ? oftype(x, NaN) : sqrt(x)
for f in (:asin, :acos)
    @eval @inline quietly(::typeof($f), x) = abs(x) > 1 ? oftype(x, NaN) : $f(x)
end
for f in (:sin, :cos, :tan)
    @eval @inline quietly(::typeof($f), x) = isinf(x) ? oftype(x, NaN) : $f(x)
end
@inline quiet_power(a, b) = a < 0 && b != round(b) ? oftype(a, NaN) : a^b

"    whole_power(a, n) -> aⁿ, by squaring"
@inline function whole_power(a, n::Integer)
    n < 0 && return one(a) / whole_power(a, -n)
    power = one(a)
    while n > 0
        isodd(n) && (power *= a)
        n >>= 1
        n > 0 && (a *= a)
    end
    return power
end

"    whole_power(a, Val(n)) -> aⁿ, for an exponent known at compile time"
@inline whole_power(a, ::Val{n}) where {n} =
    n < 0 ? one(a) / whole_power(a, Val(-n)) : n == 0 ? one(a) : n == 1 ? a :
    iseven(n) ? squared(whole_power(a, Val(n ÷ 2))) : a * whole_power(a, Val(n - 1))
@inline squared(a) = a * a
