# What becomes of the functions of a user's file: the same values, with fused products.

include("../shared/problems.jl")
using VDA: for_kernels, fused

calls(ex, f) = ex isa Expr ? (ex.head === :call && ex.args[1] == f) + reduce(+, map(a -> calls(a, f), ex.args); init = 0) : 0
const MULADD = GlobalRef(Base, :muladd)

@testset "products in sums are fused" begin
    (a, b, c, d) = (1.5, -2.25, 3.125, 0.5)         # of few digits: nothing is rounded
    for (ex, count) in ((:(a * b + c), 1), (:(c + a * b), 1), (:(a * b + c * d), 1), (:(c - a * b), 1), (:(a * b - c), 1),
                        (:(a * b * c + d), 1), (:(a + b - c * d + b * b), 2), (:(-(a * b) + c), 0), (:(a * (b * c + d) - b), 2),
                        (:(a + b), 0), (:((x -> x * a + b)(c)), 1))
        @test calls(fused(ex), MULADD) == count
        value(ex) = Base.invokelatest(eval(:((a, b, c, d) -> $ex)), a, b, c, d)
        @test value(fused(ex)) === value(ex)
    end
end

@testset "not inside other calls" begin
    for ex in (:(sqrt(a * a - b * b)), :(log(a * b + c)), :((a * b + c)^2), :(a / (b * c + d)), :(a * b - c > 0),
               :(a < a * b + c < d), :(ifelse(a * b - c > 0, a, b)), :(a * b - c > 0 ? a : b), :(x[2 * i + 1]),
               :(max(a * b + c, d)), :(sum(a * b + c for a in 1:3)), :(map(x -> x * a + b, c)), :(a && b * c + d > 0))
        @test fused(ex) == ex
    end
    mixed = :(@inbounds return (a * sqrt(b * b - c * c) + d, a * b + c))
    @test calls(fused(mixed), MULADD) == 2
    root(x, y) = Base.invokelatest(eval(:((x, y) -> $(fused(:(2 * sqrt(x * x - y * y) + x))))), x, y)
    @test all(x -> root(x, x) === x, 0.1:0.1:10)    # fused inside the root, half of these are NaN
end

@testset "only functions of the kernels are changed" begin
    for (ex, changed) in (
        (:(tendency(m::A, (x,)) = x * x + m.a), true), (:(function adjoint(m, x, v) x * v + v end), true),
        (:(VDA.tendency(m, x) = x * x + x), true), (:(tendency(m::A{T}, x) where {T} = x * x + x), true),
        (:(helper(x) = x * x + 1), false), (:(x = 2 * 3 + 1), false), (:(struct A end), false),
    )
        @test (for_kernels(ex) == ex) != changed
    end
end
