# The best members of a library: by the misfits written out, different from each other, and enough of them.

include("../shared/exceptions.jl")
using Random, Test, VDA

const (LEAD, STEPS) = (2, 6)

"All members' misfits, and their states LEAD steps before the window, in the order of the library."
function plain(l, y, precision, signs)
    found = Tuple{Float64,Vector{Float64}}[]
    for s in unique([ones(3), signs]), q in axes(l.states, 3), from in LEAD+1:4:size(l.states, 2)-STEPS+1
        seen = s .* l.states[:, from:from+STEPS-1, q]
        push!(found, (sum(precision .* (y .- seen) .^ 2) / 2, s .* l.states[:, from-LEAD, q]))
    end
    return found
end

function found_starts(l, y, precision, count, apart)
    starts = fill(NaN, 3, count, 1)
    VDA.best_starts!(starts, reshape(y, 3, STEPS, 1), reshape(precision, 3, STEPS, 1), l, fill(apart, 3))
    return starts[:, :, 1]
end

@testset "best starts, signs $signs" for signs in ([1.0, 1.0, 1.0], [-1.0, -1.0, 1.0])
    rng = MersenneTwister(88)
    l = VDA.Library(randn(rng, 3, LEAD + 4 * 9 + STEPS, 3), LEAD, signs)
    (y, precision) = (randn(rng, 3, STEPS), 0.5 .* (rand(rng, 3, STEPS) .< 0.3))
    order = sort(plain(l, y, precision, signs), by = first)
    @test found_starts(l, y, precision, 1, 0.0)[:, 1] == order[1][2]
    several = found_starts(l, y, precision, 3, 1e-9)                # no two the same
    @test [several[:, k] for k in 1:3] == [order[k][2] for k in 1:3]
    apart = found_starts(l, y, precision, 3, 1.0)
    expected = [order[1][2]]
    for (_, x) in order[2:end]
        length(expected) < 3 && all(e -> maximum(abs, x - e) >= 1.0, expected) && push!(expected, x)
    end
    @test [apart[:, k] for k in 1:3] == expected
    repeated = found_starts(l, y, precision, 2, 1e3)            # nothing differs by so much
    @test repeated[:, 2] == repeated[:, 1] == order[1][2]
    nothing_known = found_starts(l, fill(NaN, 3, STEPS), ones(3, STEPS), 2, 0.0)
    @test all(isfinite, nothing_known)
end
