# The entry points, called as C calls them.

include("../shared/problems.jl")
const NAMES = ("simulate", "cost", "descend", "step")
const CAPACITY = 64

function message_of(f, refused = nothing)
    buffer = fill(0xff, CAPACITY + 8)
    code = GC.@preserve buffer VDA.guarded(f, pointer(buffer), CAPACITY, refused)
    @test all(==(0xff), buffer[CAPACITY+1:end])        # nothing beyond the caller's buffer
    return code, String(buffer[1:findfirst(iszero, [buffer; 0x00])-1])
end

# With another libunwind than Julia was built with, as for Debian 11's Julia on Debian 12, any
# exception that unwinds compiled code ends the process; nothing can be caught there.
const EXCEPTIONS_WORK = success(`$(Base.julia_cmd()) --startup-file=no -e "f() = try; error(); catch; 1; end; f()"`)
EXCEPTIONS_WORK || @info "this Julia crashes when compiled code throws: tests of caught exceptions are left out"

@testset "addresses" begin
    addresses = [VDA.entry_point(name) for name in NAMES]
    @test all(a -> a isa UInt64 && a != 0, addresses)
    @test allunique(addresses)
    EXCEPTIONS_WORK && @test_throws MethodError VDA.entry_point("nothing")
end

@testset "what is refused does not run" begin
    code, text = message_of(() -> exit(3), "three words long")
    @test code === Cint(1) && text == "three words long"
    code, text = message_of(() -> exit(3), "long "^100)
    @test code === Cint(1) && ncodeunits(text) == CAPACITY - 1 && startswith(text, "long long")
    buffer = fill(0xff, CAPACITY)
    @test (GC.@preserve buffer VDA.guarded(() -> 1, pointer(buffer), CAPACITY)) === Cint(0)
    @test all(==(0xff), buffer)
end

EXCEPTIONS_WORK && @testset "no exception crosses" begin
    code, text = message_of(() -> error("three words long"))
    @test code === Cint(1) && text == "three words long"
    code, text = message_of(() -> [1, 2][3])
    @test code === Cint(1) && occursin("BoundsError", text)
end

# As pyvda calls: numbers, pointers to the caller's memory, and a buffer for the message.
function c_cost(number, bytes, scheme_number, m, p, x, y, mask)
    D, T, windows = size(x)
    terms, gradient, buffer = zeros(3, windows), zero(x), zeros(UInt8, 200)
    code = ccall(
        Ptr{Cvoid}(UInt(VDA.entry_point("cost"))), Cint,
        (Int64, Ptr{Float64}, Int64, Int64, Int64, Int64, Int64, Float64, Float64, Float64, Ptr{Cvoid},
         Ptr{Cvoid}, Ptr{Cvoid}, Ptr{Float64}, Ptr{Cvoid}, Int64, Ptr{Int64}, Ptr{Cvoid}, Ptr{Cvoid},
         Ptr{Cvoid}, Ptr{Cvoid}, Ptr{UInt8}, Int64),
        number, p, D, T, windows, bytes, scheme_number, usual_step(m), 0.01, 1.0, x, y, mask, terms, gradient,
        0, C_NULL, C_NULL, C_NULL, C_NULL, C_NULL, buffer, 200,     # no data at arbitrary times
    )
    return code, String(buffer[1:findfirst(iszero, buffer)-1]), terms, gradient
end

@testset "cost through its address, $(name(m))" for (number, m, p) in ((63, PAPER[1], [10.0, 28.0, 8 / 3]), (96, PAPER[2], [8.0]))
    x, y, mask = noisy_problem(MersenneTwister(26), m, 5, 9)
    for (scheme_number, scheme) in ((1, Euler()), (4, RungeKutta4()))
        code, text, terms, gradient = c_cost(number, 8, scheme_number, m, p, x, y, mask)
        @test code === Cint(0) && isempty(text)
        @test (terms, gradient) == cost_of(x, y, mask, scheme, m, usual_step(m))
    end
    for (arguments, complaint) in (
        ((7, 8, 4), "unknown model number 7"),
        ((number, 2, 4), "numbers of 2 bytes"),
        ((number, 8, 3), "unknown scheme number 3"),
    )
        code, text, terms, _ = c_cost(arguments..., m, p, x, y, mask)
        @test code === Cint(1) && occursin(complaint, text) && iszero(terms)
    end
end

@testset "simulation and descent through their addresses" begin
    m, p = PAPER[1], [10.0, 28.0, 8 / 3]
    start = states(MersenneTwister(27), m, 3) ./ 4
    x, buffer = zeros(3, 6, 3), zeros(UInt8, 200)
    code = ccall(
        Ptr{Cvoid}(UInt(VDA.entry_point("simulate"))), Cint,
        (Int64, Ptr{Float64}, Int64, Int64, Int64, Ptr{Float64}, Ptr{Float64}, Float64, Float64, Float64, Float64, Ptr{UInt8}, Int64),
        63, p, 3, 6, 3, start, x, 0.01, 0.5, 1e-9, 1e-9, buffer, 200,
    )
    expected = similar(x)
    simulate!(expected, start, m, 0.01, 0.5, 1e-9, 1e-9)
    @test code === Cint(0) && x == expected

    x, y, mask = noisy_problem(MersenneTwister(28), m, 6, 3)
    expected = descend!(copy(x), y, mask, RungeKutta4(), m, 0.01, 0.01, 1.0, 1.5, 10)
    code = ccall(
        Ptr{Cvoid}(UInt(VDA.entry_point("descend"))), Cint,
        (Int64, Ptr{Float64}, Int64, Int64, Int64, Int64, Int64, Float64, Float64, Float64, Ptr{Cvoid}, Ptr{Cvoid},
         Ptr{Cvoid}, Float64, Int64, Int64, Ptr{Int64}, Ptr{Cvoid}, Ptr{Cvoid}, Ptr{Cvoid}, Ptr{Cvoid},
         Ptr{UInt8}, Int64),
        63, p, 3, 6, 3, 8, 4, 0.01, 0.01, 1.0, x, y, mask, 1.5, 10,
        0, C_NULL, C_NULL, C_NULL, C_NULL, C_NULL, buffer, 200,
    )
    @test code === Cint(0) && x == expected
end
