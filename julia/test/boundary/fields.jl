# Optimal interpolation through its address: one datum by hand, and what is refused.

include("../shared/exceptions.jl")
using Test, VDA
include("../shared/calls.jl")

"One datum of value 2 and error variance 0.5 at the origin, one point 30 km away, one factor of variance 1 and 30 km."
function interpolated(; factors = 1, first = [0, 1], point = [1], group = [1], kind = 0.0)
    (out, derivatives) = (zeros(4, 1), zeros(2, 1 + 3factors, 1))
    (zero_, here) = (zeros(1), zeros(3, 1))
    code, text = called("optimal_interpolation", 1, 1, 1, 1, factors, 0, here, zeros(2, 1), [0], first, zero_, [2.0], [0.5], zero_,
                        zeros(3, 1), zero_, [1.0, kind, 30.0, 0.0, 5.0], [0.0, 10.0], [1.0, 1.0, 0.0], 5, 5, 1e9, 1e9,
                        [30.0, 0.0, 0.0], [30.0, 0.0], point, zero_, group, out, derivatives)
    return code, text, out[:, 1], derivatives[:, :, 1]
end

@testset "one datum" begin
    code, text, out, derivatives = interpolated()
    c = exp(-1.0)                                       # the covariance of the datum and the point
    @test code === VDA.DONE && isempty(text)
    @test out ≈ [c * 2.0 / 1.5, 1 - c^2 / 1.5, 30.0, 0.0] rtol = 1e-12
    # By a variance added to that of the error, and by the logarithm of the factor's variance.
    @test derivatives[:, 1] ≈ [-2c, c^2] / 1.5^2 rtol = 1e-12
    @test derivatives[:, 2] ≈ [c / 1.5^2, 1 - 2c^2 / 1.5^2] rtol = 1e-12
end

@testset "refused: $said" for (changed, said) in (
    ((factors = 0,), "the covariance has no factor"),
    ((first = [0, 2],), "the groups of data are not from 0 to their number 1 in order"),
    ((point = [2],), "a query has another point than 1 to 1"),
    ((group = [2],), "a query has another group than 0 to 1"),
    ((kind = 4.0,), "a factor of the covariance is of no known kind"),
)
    code, text, out, derivatives = interpolated(; changed...)
    @test code === VDA.REFUSED && occursin(said, text) && iszero(out) && iszero(derivatives)
end
