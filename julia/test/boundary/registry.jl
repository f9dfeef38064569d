# Files of models: evaluated once in a module of their own, and refused with file and line.

include("../shared/exceptions.jl")
using Test, VDA

const DECAY = """
struct Decay{T} <: SmallModel
    rate::T
end
variables(::Type{<:Decay}) = ("x",)
time_step(::Type{<:Decay}) = 0.1
tendency(m::Decay, (x,)) = (-m.rate * x,)
"""

@testset "a file is evaluated once, a changed one again" begin
    handle = VDA.register(DECAY, "decay.jl", "")
    @test handle isa Int && VDA.register(DECAY, "decay.jl", "") == handle
    changed = VDA.register(replace(DECAY, "-m.rate" => "-2m.rate"), "decay.jl", "")
    @test changed != handle
    rate = [0.5]
    models = GC.@preserve rate [Base.invokelatest(VDA.model_at, one, pointer(rate)) for one in (handle, changed)]
    @test [Base.invokelatest(VDA.tendency, m, (3.0,)) for m in models] == [(-1.5,), (-3.0,)]
    @test VDA.register("", "", "Lorenz63") == VDA.register("", "", "Lorenz63") != handle
end

@testset "values of the fields" begin
    handle = VDA.register("", "", "Lorenz96")
    refused(values...; n = length(values)) = (v = collect(Float64, values); GC.@preserve v VDA.handle_refusal(handle, pointer(v), n))
    @test refused(8.0, 40.0) === nothing
    @test occursin("has 2 fields (F, D), found 1 values", refused(8.0))
    @test occursin("the field F of Lorenz96 is NaN, expected a finite number", refused(NaN, 40.0))
    @test occursin("the field D of Lorenz96 is 40.5, expected a whole number", refused(8.0, 40.5))
    @test occursin("are missing", VDA.handle_refusal(handle, C_NULL, 2))
    @test occursin("no model has the handle 0", VDA.handle_refusal(0, C_NULL, 0))
end

@testset "files that are refused: $said" for (text, said) in (
    ("x = 1\n", "wrong.jl defines no model"),
    (DECAY * replace(DECAY, "Decay" => "Other"), "wrong.jl defines several models (Decay, Other)"),
    (replace(DECAY, "time_step(::Type{<:Decay}) = 0.1" => ""), "wrong.jl: write time_step(::Type{<:Decay})"),
    (replace(DECAY, "= 0.1" => "= -1"), "time_step(::Type{<:Decay}) is -1, expected a positive number"),
    (replace(DECAY, "tendency" => "speed"), "wrong.jl: write tendency(m::Decay"),
    (replace(DECAY, "rate::T" => "rate::String"), "the field rate of Decay has the type String"),
    (replace(DECAY, "(\"x\",)" => "\"x\""), "expected a tuple of names"),
    (DECAY * "\ntendency(m::Decay, (\n", "wrong.jl:8: "),
)
    found = VDA.register(text, "folder/wrong.jl", "")
    @test found isa String && occursin(said, found) && !occursin("\n", found)
end

EXCEPTIONS_WORK && @testset "an error names the line" begin
    @test VDA.register(DECAY * "\n\nmissing_name\n", "wrong.jl", "") == "wrong.jl:9: UndefVarError: missing_name not defined"
    @test occursin("cannot end the process by exit()", VDA.register(DECAY * "exit(3)\n", "wrong.jl", ""))
    @test occursin("cannot end the process by exit()", VDA.register(DECAY * "Base.exit(3)\n", "wrong.jl", ""))
end
