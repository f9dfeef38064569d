# Exceptions survive here, at any depth, with or without the workaround.

include("../shared/exceptions.jl")
using Test
isdefined(@__MODULE__, :survives_exceptions) || include("../../src/boundary/exceptions.jl")

EXCEPTIONS_WORK && @testset "exceptions pass through compiled code" begin
    @test survives_exceptions()
    for depth in (0, 5)
        @test_throws ErrorException throw_below(depth)
    end
end

@testset "the workaround is for Julia before 1.6 on Linux and x86-64 alone" begin
    applies = Sys.islinux() && Sys.ARCH === :x86_64 && VERSION < v"1.6"
    applies || @test !forget_compiled_code!()
    page = UInt(pointer_from_objref(Ref(0))) & ~(PAGE - 1)
    @test protect(page, Cint(3))                        # memory that stays readable and writable
    @test !protect(page + 1, Cint(3))                   # no beginning of a page
end
