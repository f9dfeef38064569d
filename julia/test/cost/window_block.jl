# Windows into lanes and back.

include("../shared/problems.jl")
using VDA: Lanes, WindowBlock, scalars, scatter!, each_block, lanes

function check_round_trip(::Type{N}, x, y, mask) where {N}
    back = fill!(similar(x), NaN)
    each_block(N, size(x, 3)) do ranges
        foreach(range -> scatter!(back, WindowBlock{N}(x, y, mask, range).x, range), ranges)
    end
    @test back == x
end

function check_observed_steps(::Type{N}) where {N}
    x = zeros(2, 5, 3)
    y = reshape(collect(1.0:30.0), 2, 5, 3)
    mask = zeros(2, 5, 3)
    mask[1, 2, 1] = 3.0             # window 1: two data
    mask[2, 4, 1] = 1.0
    mask[2, 4, 3] = 0.5             # window 3: one; window 2: none
    block = WindowBlock{N}(x, y, mask, 1:3)
    @test block.slot == [0, 1, 0, 2, 0]
    c, kept = scalars(block.c), scalars(block.y)
    @test c[1, 1, 1] == 1.5 && c[1, 2, 2] == 0.5 && c[3, 2, 2] == 0.5
    @test sum(c) == 2.5             # nothing else: not in window 2, not in the lanes without one
    @test kept[1, 1, 1] == y[1, 2, 1] && kept[3, 2, 2] == y[2, 4, 3]
    return nothing
end

@testset "round trip of $windows windows" for windows in (1, 7, 8, 9, 16, 17, 33)
    x, y, mask = noisy_problem(MersenneTwister(windows), PAPER[1], 6, windows)
    check_round_trip(Float64, x, y, mask)
    check_round_trip(Lanes{8,Float64}, x, y, mask)
end

@testset "only observed steps are kept, weights are divided by the number of data" begin
    check_observed_steps(Lanes{8,Float64})
end

@testset "nothing of the windows before is left in a block" begin
    N = Lanes{8,Float64}
    x, y, mask = noisy_problem(MersenneTwister(3), PAPER[1], 6, 11)
    mask[:, 4, 9:11] .= 0
    used = VDA.gather!(WindowBlock{N}(x, y, mask, 1:8), x, y, mask, 9:11)
    fresh = WindowBlock{N}(x, y, mask, 9:11)
    K = maximum(fresh.slot)
    @test used.slot == fresh.slot
    @test scalars(used.x) == scalars(fresh.x)
    @test scalars(used.y)[:, :, 1:K] == scalars(fresh.y)[:, :, 1:K]
    @test scalars(used.c)[:, :, 1:K] == scalars(fresh.c)[:, :, 1:K]
end

@testset "blocks cover all windows once" begin
    for windows in (0, 1, 8, 9, 40)
        seen = [Threads.Atomic{Int}(0) for _ in 1:windows]
        each_block(Lanes{8,Float64}, windows) do ranges
            for range in ranges, w in range
                Threads.atomic_add!(seen[w], 1)
            end
        end
        @test all(n -> n[] == 1, seen)
    end
end
