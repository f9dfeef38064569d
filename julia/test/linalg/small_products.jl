# Products of panels against those of Julia's own matrices, with tiles of both widths.

include("../shared/exceptions.jl")
using Test, VDA, Random

"C after `product!` of random integers, whose sums are exact, and what it should be."
function products(::Type{T}, n, m, K, finish) where {T}
    Random.seed!(n + m + K)
    (A, B, C, like) = (T.(rand(-4:4, size...)) for size in ((n, K), (K, m), (n, m), (n, m)))
    memory = VDA.Memory{T}()
    GC.@preserve memory begin
        (a, b, c, l) = (VDA.packed!(memory, X) for X in (A, B, C, like))
        entries = VDA.Entries{T}(a.at, VDA.addresses!(memory, [a.stride * i for i in 0:n-1]),
                                 VDA.addresses!(memory, [sizeof(T) * k for k in 0:K-1]))
        VDA.product!(c, entries, b, n, m, K, finish, l)
        found = [unsafe_load(VDA.row(c, i - 1), j) for i in 1:n, j in 1:m]
    end
    AB = A * B
    expected = finish == VDA.STORE ? AB : finish == VDA.ADD ? C + AB :
               finish == VDA.RELU ? max.(AB, 0) : ifelse.(like .> 0, AB, 0)
    return found, expected
end

wide_here = VDA.HAS_AVX512[]
@testset "$T, tiles $(wide ? "of two" : "as wide as") lanes" for T in (Float32, Float64), wide in (false, true)
    VDA.HAS_AVX512[] = wide
    for (n, m, K) in ((1, 1, 1), (6, 16, 3), (7, 17, 5), (13, 24, 40), (96, 33, 9), (5, 60, 96), (12, 104, 2)),
        finish in instances(VDA.Finish)
        (found, expected) = products(T, n, m, K, finish)
        @test found == expected
    end
end
VDA.HAS_AVX512[] = wide_here
