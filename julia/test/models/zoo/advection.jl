# Linear advection: waves rotate by the frequency of the central difference, energy is constant; derivatives.

include("../../shared/derivatives.jl")

@testset "advection on $N points" for N in (5, 12)
    m = VDA.Advection(speed = 1.5, state_size = N)
    for k in 1:2
        (wave, turned) = ([sin(2π * k * i / N) for i in 1:N], [cos(2π * k * i / N) for i in 1:N])
        @test tendency_of(m, wave) ≈ -1.5 * sin(2π * k / N) .* turned atol = 1e-14
    end
    x = randn(MersenneTwister(N), N)
    @test abs(dot(x, tendency_of(m, x))) <= 1e-14 * N
    test_derivatives(m, x)
end
