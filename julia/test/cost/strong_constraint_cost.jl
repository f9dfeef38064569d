# J of strong-constraint 4D-Var: against the cost written out, its gradient by finite differences, and two window lengths
# in one sweep.

include("../shared/problems.jl")
include("../shared/plain_costs.jl")

"Minimisations of the windows from `first` on, as many as there are places, with their data in place."
function placed!(e, p, windows, first = 1)
    (slots, next) = ([VDA.Minimisation(length(p.m)) for _ in 1:VDA.width(e)], Threads.Atomic{Int}(first))
    for (l, s) in enumerate(slots)
        VDA.take_job!(s, p, next, windows) && VDA.hold!(e, p, l, VDA.window_of(s.job, p))
    end
    return slots
end

@testset "the distinct parts of J: gradient by finite differences" begin
    m = PAPER[1]
    rng = MersenneTwister(73)
    y, precision = 8 .* randn(rng, 3, 20, 8), Float64.(rand(rng, 3, 20, 8) .< 0.3)
    b, B⁻¹ = randn(rng, 3), [1.0 0.2 0.1; 0.2 0.8 0.0; 0.1 0.0 0.5]
    starts = 8 .* randn(rng, 3, 1, 8)
    p = VDA.StrongConstraint(m, RungeKutta4(), 0.01, 2, 0, 10, 1e-9, b, B⁻¹, fill(0.02, 3), y, precision, starts)
    e = VDA.evaluator(m, 20)
    slots = placed!(e, p, 8)
    VDA.evaluate!(e, p, slots)
    for s in 1:8
        J(x) = plain_cost(m, 0.01, y[:, :, s], precision[:, :, s], b, B⁻¹, 2, x)
        (found, g) = (slots[s].found, slots[s].found.g)
        x = starts[:, 1, s]
        @test found.J ≈ J(x) rtol = 1e-12
        @test g ≈ [(J(x + 1e-5 .* (1:3 .== i)) - J(x - 1e-5 .* (1:3 .== i))) / 2e-5 for i in 1:3] rtol = 1e-5
        @test isposdef(Symmetric(found.H))
    end
    @test @allocated(VDA.evaluate!(e, p, slots)) == 0
    for s in slots                              # a step accepted, a step refused
        VDA.decide!(s, p)
        s.found.J = s.here.J + 1
        @test @allocated(VDA.decide!(s, p)) == 0
    end
end

@testset "what a longer window says is found in passing, $(name(m))" for m in (PAPER[1], Lorenz96(8.0, 8))
    rng = MersenneTwister(76)
    (D, T, W, h) = (length(m), 20, 8, usual_step(m))
    y, precision = 3 .* randn(rng, D, T, W), Float64.(rand(rng, D, T, W) .< 0.3)
    precision[:, 1:9, 3] .= 0                   # nothing where its first length ends
    precision[:, :, 4] .= 0                     # nothing at all
    starts = 3 .* randn(rng, D, 1, W)
    (b, B⁻¹) = (zeros(D), Matrix(0.1I, D, D))
    of(growth, y, precision) = VDA.StrongConstraint(m, RungeKutta4(), h, 1, growth, 10, 1e-9, b, B⁻¹, fill(0.1, D), y, precision, starts)
    p = of(6, y, precision)
    e = VDA.evaluator(m, T)
    for first in 1:VDA.width(e):W
        slots = placed!(e, p, W, first)
        VDA.evaluate!(e, p, slots)
        for s in slots
            w = VDA.window_of(s.job, p)
            for (q, steps) in ((s.found, s.stop), (s.ahead, s.reach))
                steps > s.stop || q === s.found || continue
                short = copy(precision)
                short[:, steps+1:end, :] .= 0
                alone = VDA.evaluator(m, T)
                only = placed!(alone, of(0, y, short), w, w)
                VDA.evaluate!(alone, of(0, y, short), only)
                @test (q.J, q.g, q.H) == (only[1].found.J, only[1].found.g, only[1].found.H)
            end
            w == 3 && @test s.stop == 0 && s.reach > 9
            w == 4 && @test s.stop == s.reach == 0
        end
    end
end
