# What every entry point shares: what it refuses, what it leaves behind, and how it fails.

include("../shared/problems.jl")
const CAPACITY = 64

"The status and the message of a call with these arguments."
function message_of(f, file = ""; arguments...)
    buffer = fill(0xff, CAPACITY + 8)
    code = GC.@preserve buffer VDA.guarded(f, (; message = pointer(buffer), capacity = CAPACITY, arguments...), file)
    @test all(==(0xff), buffer[CAPACITY+1:end])        # nothing beyond the caller's buffer
    return code, String(buffer[1:findfirst(iszero, [buffer; 0x00])-1])
end

struct Unprintable end
Base.show(io::IO, ::Unprintable) = error("cannot be shown")

@testset "addresses" begin
    names = first.(VDA.signatures())
    addresses = [VDA.entry_point(name) for name in names]
    @test all(a -> a isa UInt64 && a != 0, addresses)
    @test allunique(addresses) && "register" in names
    EXCEPTIONS_WORK && @test_throws MethodError VDA.entry_point("nothing")
end

@testset "what is refused does not run" begin
    for (arguments, said) in (((; scheme = 3), "unknown scheme number 3"), ((; bytes = 2), "numbers have 2 bytes, expected 4 or 8"),
                              ((; windows = -1), "windows is -1, expected at least 0"), ((; T = 0), "T is 0, expected at least 1"),
                              ((; observation_function = 99, channels = 2), "no observation function has the handle 99; expected wha"),
                              ((; length = 9, lead = 4, T = 6), "the trajectories have 9 steps, expected at least 10, a window's"))
        code, text = message_of(() -> exit(3); arguments...)
        @test code === VDA.REFUSED && startswith(text, said[1:min(end, CAPACITY - 1)])
    end
    code, text = message_of(() -> "a sentence that was returned")
    @test code === VDA.REFUSED && text == "a sentence that was returned"
    code, text = message_of(() -> "long "^100)
    @test code === VDA.REFUSED && ncodeunits(text) == CAPACITY - 1 && startswith(text, "long long")
    code, text = message_of(() -> "a"^(CAPACITY - 2) * "é")    # never half a character
    @test text == "a"^(CAPACITY - 2)
    code, text = message_of(() -> 1; handle = -1, D = -1)      # checked where the model is known
    @test code === VDA.DONE && text == String(fill(0xff, CAPACITY + 8))
end

@testset "calls leave little behind" begin
    left() = Base.gc_num().allocd
    GC.gc()
    message_of(() -> (fill(1.0, 1 << 20); nothing))            # 8 MB
    @test left() < VDA.LEFT_BEHIND
    little() = (fill(1.0, 1 << 10); nothing)                    # too little to collect
    message_of(little)
    before = Base.gc_num().pause
    message_of(little)
    @test Base.gc_num().pause == before
end

EXCEPTIONS_WORK && @testset "no exception crosses" begin
    code, text = message_of(() -> error("three words long"))
    @test code === VDA.FAILED && text == "three words long"
    code, text = message_of(() -> [1, 2][3], "folder/mine.jl")
    @test code === VDA.FAILED && occursin("BoundsError", text) && startswith(text, "mine.jl")
    code, text = message_of(() -> throw(Unprintable()))
    @test code === VDA.FAILED && startswith(text, "an exception of the type Unprintable, whose")
end
