# Dual numbers against differences in extended precision, alone and of lanes.

include("../shared/problems.jl")
using VDA: Dual, Lanes, lane

slope(f, x) = (h = big"1e-20"; Float64((f(big(x) + h) - f(big(x) - h)) / 2h))
at(f, x) = f(Dual(x, (1.0,)))

const FUNCTIONS = (
    x -> x * x - 3x / (1 + x), x -> 2 / x + x^3 - x^-2, x -> muladd(x, x, 1) * (x - 0.5), x -> exp(-x) + log(x) + sqrt(x),
    x -> sin(x) * cos(2x) + tan(x) / 3, x -> sinh(x) - 2cosh(x) * tanh(x), x -> asin(x / 2) + acos(x / 3) - atan(x),
    x -> abs(x - 2) + max(x, 0.25) * min(x, 5), x -> expm1(x) + log1p(x) + cbrt(x), x -> x^2.5 + 1.5^x,
)

@testset "function $k" for (k, f) in enumerate(FUNCTIONS), x in (0.3, 0.9, 1.4)
    found = at(f, x)
    @test found.value ≈ f(x) rtol = 1e-14
    @test found.partials[1] ≈ slope(f, x) rtol = 1e-12
end

@testset "lanes of dual numbers are the numbers one by one" begin
    N = Lanes{8,Float64}
    values = Tuple(0.2 + 0.1l for l in 1:8)
    x = Dual(N(map(VecElement, values)), (N(1.0),))
    for f in FUNCTIONS[1:5]
        found = f(x)
        for l in 1:8
            @test lane(found.value, l) ≈ f(values[l]) rtol = 1e-14
            @test lane(found.partials[1], l) ≈ at(f, values[l]).partials[1] rtol = 1e-13
        end
    end
end
