# Exponential, absolute value and maximum of all lanes at once, where lanes.jl takes one lane at a time.
#
# exp(x) = 2ⁿ exp(r) with x = n log 2 + r and |r| ≤ log(2) / 2. The number 1.5 · 2⁵², added to n, leaves n in the
# last bits, from where a shift by 52 moves it to the exponent. A polynomial of degree 12 gives exp(r) to 3e-16.

const TO_LAST_BITS = 1.5 * 2.0^52
const LOG2_HIGH = 6.93147180369123816490e-01
const LOG2_LOW = 1.90821492927058770002e-10
const LEAST_EXPONENT = -708.0           # below, 2ⁿ is not a normal number; the result is exp(-708) = 3e-308
const TAYLOR = ntuple(n -> 1 / factorial(n), 12)

for W in (4, 8, 16)
    (D, I) = ("<$W x double>", "<$W x i64>")
    V = NTuple{W,VecElement{Float64}}
    shifts = join(fill("i64 52", W), ", ")
    scaled = """%b = bitcast $D %0 to $I
                %n = shl $I %b, <$shifts>
                %p = bitcast $D %1 to $I
                %s = add $I %p, %n
                %r = bitcast $I %s to $D
                ret $D %r"""
    @eval @inline times_power_of_two(n::Lanes{$W,Float64}, p::Lanes{$W,Float64}) =
        Lanes{$W,Float64}(Base.llvmcall($scaled, $V, Tuple{$V,$V}, n.v, p.v))
    (absolute, maximum) = ("llvm.fabs.v$(W)f64", "llvm.maxnum.v$(W)f64")
    @eval @inline lane_abs(a::Lanes{$W,Float64}) =
        Lanes{$W,Float64}(ccall($absolute, llvmcall, $V, ($V,), a.v))
    @eval @inline lane_max(a::Lanes{$W,Float64}, b::Lanes{$W,Float64}) =
        Lanes{$W,Float64}(ccall($maximum, llvmcall, $V, ($V, $V), a.v, b.v))
end

"    lane_exp(x) -> exp(x) for x ≤ 700, to a relative error of 1e-15; exp(-708) below -708"
@inline function lane_exp(x::N) where {N<:Lanes}
    x = lane_max(x, N(LEAST_EXPONENT))
    shifted = muladd(x, N(1 / log(2)), N(TO_LAST_BITS))
    n = shifted - N(TO_LAST_BITS)
    r = muladd(n, N(-LOG2_LOW), muladd(n, N(-LOG2_HIGH), x))
    p = muladd(N(TAYLOR[12]), r, N(TAYLOR[11]))
    p = muladd(p, r, N(TAYLOR[10]))
    p = muladd(p, r, N(TAYLOR[9]))
    p = muladd(p, r, N(TAYLOR[8]))
    p = muladd(p, r, N(TAYLOR[7]))
    p = muladd(p, r, N(TAYLOR[6]))
    p = muladd(p, r, N(TAYLOR[5]))
    p = muladd(p, r, N(TAYLOR[4]))
    p = muladd(p, r, N(TAYLOR[3]))
    p = muladd(p, r, N(TAYLOR[2]))
    p = muladd(p, r, N(1.0))
    p = muladd(p, r, N(1.0))
    return times_power_of_two(shifted, p)
end
