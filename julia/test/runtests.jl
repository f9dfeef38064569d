# The tests of VDA by itself: every other file of this folder, each in a module of its own, so that
# the names of one are not seen by the next. `shared/` is what they have in common.
#
#     julia --startup-file=no --threads=2 --project=julia julia/test/runtests.jl [file ...]

using Test, VDA     # VDA here, where it may be compiled and its loading may throw; see boundary.jl

const FILES = isempty(ARGS) ? sort(filter(endswith(".jl"), readdir(@__DIR__))) : ARGS

@testset "VDA" begin
    for file in FILES
        file == "runtests.jl" && continue
        println(stderr, "julia/test/", file)       # should the process end without a word:
        flush(stderr)                               # see boundary.jl
        @testset "$file" begin
            path = joinpath(@__DIR__, file)
            Core.eval(Main, Expr(:module, true, Symbol("Test_", file), :(begin include($path) end)))
        end
    end
end
