# The verdict names the worst entry of a wrong derivative, and has none against a right one.

include("../shared/problems.jl")
using VDA: is_right, report, verdict

"Lorenz-63 whose adjoint has one wrong sign, of a size that can be chosen."
struct Wrong{T} <: VDA.SmallModel
    by::T
end
VDA.variables(::Type{<:Wrong}) = ("x", "y", "z")
VDA.tendency(::Wrong, x) = VDA.tendency(Lorenz63(10.0, 28.0, 8 / 3), x)
VDA.tangent_linear(::Wrong, x, δ) = VDA.tangent_linear(Lorenz63(10.0, 28.0, 8 / 3), x, δ)
function VDA.adjoint(m::Wrong, x, v)
    (a, b, c) = VDA.adjoint(Lorenz63(10.0, 28.0, 8 / 3), x, v)
    return (a, b, c + m.by * v[2])
end

struct Infinite{T} <: VDA.SmallModel
    a::T
end
VDA.variables(::Type{<:Infinite}) = ("x",)
VDA.tendency(::Infinite, (x,)) = (1 / (x - x),)

struct Dicey{T} <: VDA.SmallModel
    a::T
end
VDA.variables(::Type{<:Dicey}) = ("x",)
VDA.tendency(::Dicey, (x,)) = (rand() * x,)

@testset "models of the zoo are right, $(name(m))" for m in MODELS
    found = verdict(m, true)
    @test is_right(found)
    @test length(found.worst) >= 4                          # by the state and by the parameters
end

@testset "one wrong entry is found" begin
    @test is_right(verdict(Wrong(0.0)))
    found = verdict(Wrong(1e-3))
    @test !is_right(found)
    @test found.reference == "dual numbers"
    wrong = only(filter(!is_right, found.worst))
    @test (wrong.what, Set((wrong.row, wrong.column))) == ("adjoint", Set((2, 3)))
    @test abs(wrong.found - wrong.expected) ≈ 1e-3 rtol = 1e-6
    lines = split(report(found, Wrong(1e-3)), "\n")
    @test lines[1] == "reference\tdual numbers"
    @test all(line -> length(split(line, "\t")) == 10, lines[2:end])
end

@testset "what is no function of the state is refused in a sentence" begin
    @test occursin("component 1 of the tendency at a random state is", verdict(Infinite(1.0)))
    @test occursin("must not be random", verdict(Dicey(1.0)))
end
