# Elementary functions where Base would throw, and whole powers.

include("../shared/exceptions.jl")
using Test, VDA
using VDA: quiet_power, quietly, whole_power

@testset "outside its domain a function is NaN, inside it is Base's" begin
    for (f, outside) in ((log, -1.0), (log1p, -1.5), (sqrt, -1e-300), (asin, 1.5), (acos, -1.5), (sin, Inf), (cos, -Inf), (tan, Inf))
        @test isnan(quietly(f, outside))
        @test quietly(f, 0.5) === f(0.5)
    end
    @test quietly(exp, 800.0) == Inf
    @test quietly(log, 0.0) == -Inf
    @test quietly(sqrt, -1.0f0) isa Float32
end

@testset "powers" begin
    @test isnan(quiet_power(-2.0, 0.5))
    @test quiet_power(-2.0, 3.0) == -8
    @test quiet_power(2.0, 0.5) == sqrt(2.0)
    for n in (-3, -1, 0, 1, 2, 5, 12)
        @test whole_power(1.5, n) ≈ 1.5^n rtol = 1e-15
        @test whole_power(1.5, Val(n)) ≈ 1.5^n rtol = 1e-15
    end
    @test whole_power(3, 4) === 81
end
