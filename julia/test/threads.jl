# Work in threads: every task once, and a single one in this thread.

include("shared/exceptions.jl")
using Test, VDA
using VDA: WORTH_A_THREAD, in_threads, threads_for

@testset "each task is done once, $count of them" for count in (1, 2, 7)
    done = zeros(Int, count)
    @test in_threads(k -> done[k] += 1, count) === nothing
    @test done == ones(Int, count)
end

@testset "a single one stays in this task" begin
    here = current_task()
    in_threads(1) do _
        @test current_task() === here
    end
end

@testset "no more threads than tasks, or than the work is worth" begin
    @test threads_for(1) == 1
    @test threads_for(1000) == Threads.nthreads()
    @test threads_for(1000, WORTH_A_THREAD - 1) == 1
    @test threads_for(1000, 2 * WORTH_A_THREAD) == min(2, Threads.nthreads())
    @test threads_for(1, 10^9) == 1
end
