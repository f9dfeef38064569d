# Arithmetic that rounds after every operation.

include("../shared/problems.jl")
using VDA: Unfused
const U = Unfused{Float64}

@testset "muladd rounds the product" begin
    # a² = 1 + 2⁻²⁹ + 2⁻⁶⁰, whose last term a product in Float64 loses and a fused one keeps.
    a, c = 1 + 2.0^-30, -(1 + 2.0^-29)
    @test fma(a, a, c) == 2.0^-60
    @test muladd(U(a), U(a), U(c)).value == 0.0
end

@testset "the operations are those of Float64" begin
    rng = MersenneTwister(2)
    for _ in 1:100
        a, b = randn(rng), randn(rng)
        for op in (+, -, *, /, max)
            @test op(U(a), U(b)).value === op(a, b)
            @test op(U(a), b).value === op(a, b)
        end
        @test (-U(a)).value === -a
        @test abs(U(a)).value === abs(a)
        @test isless(U(a), U(b)) == isless(a, b)
    end
end

@testset "tendency of $(name(m)): the rounding of plain arithmetic" for m in PAPER
    x = vec(states(MersenneTwister(3), m, 1))
    dx = VDA.tendency!(similar(x, U), VDA.retype(U, m), U.(x))
    plain(m::Lorenz96, x) = [(x[mod1(i + 1, end)] - x[mod1(i - 2, end)]) * x[mod1(i - 1, end)] + (m.F - x[i]) for i in eachindex(x)]
    plain(m::Lorenz63, x) = paper_tendency(m, x)
    @test [d.value for d in dx] == plain(m, x)
end
