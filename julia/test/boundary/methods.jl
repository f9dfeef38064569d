# Costs and methods through their addresses: the numbers of the functions themselves, and what is refused.

include("../shared/problems.jl")
include("../shared/calls.jl")

const KNOWN = (("Lorenz63", PAPER[1], [10.0, 28.0, 8 / 3]), ("Lorenz96", PAPER[2], [8.0, 40.0]))

function cost_at_address(handle, p, D, bytes, scheme_number, m, x, y, mask; windows = size(x, 3), points = NO_POINTS)
    terms, gradient = zeros(3, size(x, 3)), zero(x)
    code, text = called("cost", handle, p, length(p), D, size(x, 2), windows, bytes, scheme_number, usual_step(m), 0.01,
                        1.0, x, y, mask, terms, gradient, points...)
    return code, text, terms, gradient
end

@testset "cost through its address, $(name(m))" for (type, m, p) in KNOWN
    handle = VDA.register("", "", type)
    D = length(m)
    x, y, mask = noisy_problem(MersenneTwister(26), m, 5, 9)
    for (scheme_number, scheme) in ((1, Euler()), (4, RungeKutta4()))
        code, text, terms, gradient = cost_at_address(handle, p, D, 8, scheme_number, m, x, y, mask)
        @test code === VDA.DONE && isempty(text)
        @test (terms, gradient) == cost_of(x, y, mask, scheme, m, usual_step(m))
    end
    datum(step, θ, component) = (1, 1, fill(step, 1, 9), fill(θ, 1, 9), zeros(1, 9), ones(1, 9), fill(component, 1, 1, 9), ones(1, 1, 9))
    for (changed, complaint) in (
        ((0, p, D, 8, 4), "no model has the handle 0"),
        ((-1, p, D, 8, 4), "no model has the handle -1"),
        ((99, p, D, 8, 4), "no model has the handle 99"),
        ((handle, p[1:end-1], D, 8, 4), "fields"),
        ((handle, [p; 1.0], D, 8, 4), "fields"),
        ((handle, [NaN; p[2:end]], D, 8, 4), "expected a finite number"),
        ((handle, p, D + 1, 8, 4), "a state of $type has $D components, found $(D + 1)"),
        ((handle, p, -1, 8, 4), "components, found -1"),
        ((handle, p, D, 2, 4), "numbers have 2 bytes, expected 4 or 8"),
        ((handle, p, D, 8, 3), "unknown scheme number 3"),
    )
        code, text, terms, _ = cost_at_address(changed..., m, x, y, mask)
        @test code === VDA.REFUSED && occursin(complaint, text) && iszero(terms)
    end
    code, text, = cost_at_address(handle, p, D, 8, 4, m, x, y, mask; windows = -3)
    @test code === VDA.REFUSED && occursin("windows is -3", text)
    for θ in (-0.1, 1.5, NaN)
        code, text, = cost_at_address(handle, p, D, 8, 4, m, x, y, mask; points = datum(2, θ, 0))
        @test code === VDA.REFUSED && occursin("not all from 0 to 1", text)
    end
    for (points, complaint) in ((datum(5, 0.0, 0), "outside the 5 steps"), (datum(2, 0.0, D), "components outside the $D"),
                                (datum(2, 0.0, -1), "components outside the $D"))
        code, text, = cost_at_address(handle, p, D, 8, 4, m, x, y, mask; points = points)
        @test code === VDA.REFUSED && occursin(complaint, text)
    end
    code, text, terms, = cost_at_address(handle, p, D, 8, 4, m, x, y, mask; points = datum(2, 0.0, 1))
    seen = count(!iszero, mask[:, :, 3]) + 1
    @test code === VDA.DONE && terms[1, 3] ≈ 0.01 * (sum(mask[:, :, 3] .* (x - y)[:, :, 3] .^ 2) + x[2, 3, 3]^2) / seen
end

@testset "descent through its address" begin
    (m, p, handle) = (PAPER[1], [10.0, 28.0, 8 / 3], VDA.register("", "", "Lorenz63"))
    x, y, mask = noisy_problem(MersenneTwister(28), m, 6, 3)
    expected = descend!(copy(x), y, mask, RungeKutta4(), m, 0.01, 0.01, 1.0, 1.5, 10)
    code, _ = called("descend", handle, p, 3, 3, 6, 3, 8, 4, 0.01, 0.01, 1.0, x, y, mask, 1.5, 10, 0, 0, C_NULL, C_NULL, C_NULL, NO_POINTS...)
    @test code === VDA.DONE && x == expected
    code, text = called("descend", handle, p, 3, 3, 6, 3, 8, 4, 0.01, 0.01, 1.0, x, y, mask, 1.5, 10, 99, 2, y, y, C_NULL, NO_POINTS...)
    @test code === VDA.REFUSED && occursin("no observation function has the handle 99", text) && x == expected
end

@testset "trajectories of a library that are too short" begin
    (D, T, lead, count) = (3, 6, 4, 2)
    (y, precision, signs, spread) = (zeros(D, T, 1), ones(D, T, 1), ones(D), ones(D))
    for (steps, fits) in ((lead + T - 1, false), (lead + T, true))
        states = randn(MersenneTwister(29), D, steps, 50)
        starts = zeros(D, count, 1)
        code, text = called("best_starts", D, T, 1, y, precision, states, steps, 50, lead, signs, spread, count, starts)
        @test fits ? code === VDA.DONE : code === VDA.REFUSED && occursin("have 9 steps, expected at least 10", text)
        @test iszero(starts) != fits
        (handle, p) = (VDA.register("", "", "Lorenz63"), [10.0, 28.0, 8 / 3])
        (mean, stdev, info) = (zeros(D, T, 1), zeros(D, T, 1), zeros(3, 1))
        code, text = called("posterior_mean", handle, p, 3, D, T, 1, 4, 0.01, y, precision, states, steps, 50, lead, signs,
                            zeros(D, 8), 8, 5.0, spread, mean, stdev, info)
        @test fits ? code === VDA.DONE : code === VDA.REFUSED && occursin("have 9 steps, expected at least 10", text)
    end
end
