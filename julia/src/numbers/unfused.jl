# Unfused: arithmetic that rounds identically on every machine.
#
# `muladd` rounds once if the processor has a fused instruction, and twice if not.
# In a chaotic system that last bit grows to a different trajectory. Simulations therefore run on
# `Unfused` numbers, whose `muladd` is always a product, rounded, then a sum, rounded: the same
# seed gives the same file on every processor, and on the torch engine.

struct Unfused{T<:AbstractFloat} <: Real
    value::T
    @inline Unfused{T}(value::T) where {T<:AbstractFloat} = new{T}(value)
end

for op in (:+, :-, :*, :/)
    @eval @inline Base.$op(a::Unfused{T}, b::Unfused{T}) where {T} = Unfused{T}($op(a.value, b.value))
end
@inline Base.muladd(a::Unfused{T}, b::Unfused{T}, c::Unfused{T}) where {T} = a * b + c
@inline Base.:-(a::Unfused{T}) where {T} = Unfused{T}(-a.value)
@inline Base.abs(a::Unfused{T}) where {T} = Unfused{T}(abs(a.value))
@inline Base.zero(::Type{Unfused{T}}) where {T} = Unfused{T}(zero(T))
@inline Base.isless(a::Unfused{T}, b::Unfused{T}) where {T} = isless(a.value, b.value)
@inline Base.max(a::Unfused{T}, b::Unfused{T}) where {T} = Unfused{T}(max(a.value, b.value))
@inline Unfused{T}(a::Real) where {T<:AbstractFloat} = Unfused{T}(T(a))
@inline Unfused{T}(a::Unfused{T}) where {T<:AbstractFloat} = a
Base.promote_rule(::Type{Unfused{T}}, ::Type{<:Constant}) where {T<:AbstractFloat} = Unfused{T}

# Functions for users' models; they may round differently on different machines.
for f in ELEMENTARY
    @eval @inline Base.$f(a::Unfused{T}) where {T} = Unfused{T}(quietly($f, a.value))
end
for f in (:floor, :ceil, :round, :sign)
    @eval @inline Base.$f(a::Unfused{T}) where {T} = Unfused{T}($f(a.value))
end
@inline Base.atan(a::Unfused{T}, b::Unfused{T}) where {T} = Unfused{T}(atan(a.value, b.value))
@inline Base.min(a::Unfused{T}, b::Unfused{T}) where {T} = Unfused{T}(min(a.value, b.value))
@inline Base.:^(a::Unfused{T}, b::Unfused{T}) where {T} = Unfused{T}(quiet_power(a.value, b.value))
@inline Base.:^(a::Unfused, n::Integer) = whole_power(a, n)
@inline Base.:<(a::Unfused{T}, b::Unfused{T}) where {T} = a.value < b.value
@inline Base.:<=(a::Unfused{T}, b::Unfused{T}) where {T} = a.value <= b.value
@inline Base.literal_pow(::typeof(^), a::Unfused, n::Val) = whole_power(a, n)
