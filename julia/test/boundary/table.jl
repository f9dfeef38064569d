# The table of entry points: groups are written out, and every function of it has an address.

include("../shared/exceptions.jl")
using Test, VDA

@testset "every entry point" begin
    table = VDA.signatures()
    @test allunique(first.(table))
    for (name, arguments) in table
        @test all(haskey(VDA.C_TYPES, type) for (type, _) in arguments)
        @test arguments[end-1:end] == ["bytes" => "message", "int" => "capacity"]
        @test VDA.entry_point(name) != 0
    end
    addresses = [VDA.entry_point(name) for (name, _) in table]
    @test allunique(addresses)
end
