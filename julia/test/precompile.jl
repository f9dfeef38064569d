# What precompile.jl runs while a package image is written: here it would show what is wrong with it.

include("shared/problems.jl")

@testset "every method runs once, $(name(m))" for m in PAPER
    @test VDA.run_once(m, usual_step(m)) === nothing
end
@testset "learned priors and solvers run once, $T" for T in (Float32, Float64)
    @test VDA.run_learned_once(T) === nothing
end
