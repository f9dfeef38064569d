# Lanes: several windows in one number.
#
# `Lanes{W,T}` holds the same quantity of W windows and performs arithmetic on all of them in one
# machine instruction. It calls LLVM directly because the automatic vectoriser gives up on loop
# bodies as long as a Runge-Kutta step with its adjoint.

struct Lanes{W,T<:AbstractFloat} <: Real
    v::NTuple{W,VecElement{T}}
    @inline Lanes{W,T}(v::NTuple{W,VecElement{T}}) where {W,T<:AbstractFloat} = new{W,T}(v)
end

# 64 bytes: one register with AVX-512, two with AVX2. With AVX2 two registers are about as fast as one
# for Lorenz-63, and faster for Lorenz-96, as more windows share the work between vector instructions.
const WIDTHS = ((8, Float64), (16, Float32), (4, Float64), (8, Float32),     # and halves
                (16, Float64), (32, Float32))                                # and twice as many

for (W, T) in WIDTHS
    llvm_type = "<$W x $(T === Float64 ? "double" : "float")>"
    suffix = "v$(W)f$(8 * sizeof(T))"
    V = NTuple{W,VecElement{T}}
    for (op, instruction) in ((:+, "fadd"), (:-, "fsub"), (:*, "fmul"), (:/, "fdiv"))
        ir = "%r = $instruction $llvm_type %0, %1\nret $llvm_type %r"
        @eval @inline Base.$op(a::Lanes{$W,$T}, b::Lanes{$W,$T}) =
            Lanes{$W,$T}(Base.llvmcall($ir, $V, Tuple{$V,$V}, a.v, b.v))
    end
    fused = "llvm.fmuladd.$suffix"
    @eval @inline Base.muladd(a::Lanes{$W,$T}, b::Lanes{$W,$T}, c::Lanes{$W,$T}) =
        Lanes{$W,$T}(ccall($fused, llvmcall, $V, ($V, $V, $V), a.v, b.v, c.v))
    # Keeps `b` where `a` is NaN, as torch's ReLU does, so that divergence is not hidden.
    kept = """%p = fcmp ugt $llvm_type %0, zeroinitializer
              %r = select <$W x i1> %p, $llvm_type %1, $llvm_type zeroinitializer
              ret $llvm_type %r"""
    @eval @inline where_positive(a::Lanes{$W,$T}, b::Lanes{$W,$T}) =
        Lanes{$W,$T}(Base.llvmcall($kept, $V, Tuple{$V,$V}, a.v, b.v))
    # Whether `a` exceeds `b` in every lane; NaN does not.
    above = """%p = fcmp ogt $llvm_type %0, %1
               %m = bitcast <$W x i1> %p to i$W
               %a = icmp eq i$W %m, -1
               %r = zext i1 %a to i8
               ret i8 %r"""
    @eval @inline all_above(a::Lanes{$W,$T}, b::Lanes{$W,$T}) = Base.llvmcall($above, UInt8, Tuple{$V,$V}, a.v, b.v) == 1
    root = "llvm.sqrt.$suffix"      # below zero NaN in that lane only, without an exception
    @eval @inline Base.sqrt(a::Lanes{$W,$T}) = Lanes{$W,$T}(ccall($root, llvmcall, $V, ($V,), a.v))
end

@inline Lanes{W,T}(x::Real) where {W,T<:AbstractFloat} =
    Lanes{W,T}(ntuple(_ -> VecElement{T}(T(x)), Val(W)))
@inline Lanes{W,T}(x::Lanes{W,T}) where {W,T<:AbstractFloat} = x
@inline Base.:-(a::Lanes{W,T}) where {W,T} = Lanes{W,T}(-zero(T)) - a
@inline Base.zero(::Type{Lanes{W,T}}) where {W,T} = Lanes{W,T}(zero(T))
Base.promote_rule(::Type{Lanes{W,T}}, ::Type{<:Constant}) where {W,T<:AbstractFloat} = Lanes{W,T}

"A window's value: `x[w]` for lanes, `x` itself for a plain number (then w = 1)."
@inline lane(x::Lanes, w) = x.v[w].value
@inline lane(x::AbstractFloat, w) = x

"Number of windows that a number type holds, and the type of each of them."
lanes(::Type{Lanes{W,T}}) where {W,T} = W
lanes(::Type{<:AbstractFloat}) = 1
scalar_type(::Type{Lanes{W,T}}) where {W,T} = T
scalar_type(::Type{T}) where {T<:AbstractFloat} = T
lanes_for(::Type{Float64}) = Lanes{8,Float64}
lanes_for(::Type{Float32}) = Lanes{16,Float32}
half_lanes(::Type{Lanes{W,T}}) where {W,T} = Lanes{W ÷ 2,T}
double_lanes(::Type{Lanes{W,T}}) where {W,T} = Lanes{2W,T}

# Functions for models beyond sums, products and quotients: one lane at a time, without vector instructions.
for f in ELEMENTARY
    @eval @inline Base.$f(a::Lanes{W,T}) where {W,T} = Lanes{W,T}(ntuple(w -> VecElement{T}(quietly($f, a.v[w].value)), Val(W)))
end
for f in (:abs, :floor, :ceil, :round, :sign)
    @eval @inline Base.$f(a::Lanes{W,T}) where {W,T} = Lanes{W,T}(ntuple(w -> VecElement{T}($f(a.v[w].value)), Val(W)))
end
for f in (:max, :min, :atan)
    @eval @inline Base.$f(a::Lanes{W,T}, b::Lanes{W,T}) where {W,T} =
        Lanes{W,T}(ntuple(w -> VecElement{T}($f(a.v[w].value, b.v[w].value)), Val(W)))
end
@inline Base.:^(a::Lanes{W,T}, b::Lanes{W,T}) where {W,T} =
    Lanes{W,T}(ntuple(w -> VecElement{T}(quiet_power(a.v[w].value, b.v[w].value)), Val(W)))
@inline Base.:^(a::Lanes, n::Integer) = whole_power(a, n)
@inline Base.literal_pow(::typeof(^), a::Lanes, n::Val) = whole_power(a, n)
