# Parameters, sizes and layouts, from the fields of a struct.

include("../shared/exceptions.jl")
using Test, VDA
using VDA: array_shape, components, dimensions_of, parameters, retype, with_parameters

struct Sheet{T} <: VDA.VectorModel
    depth::T
    rows::Int
    drag::T
    columns::Int
    Sheet(depth, rows, drag, columns) = depth > 0 ? new{typeof(depth)}(depth, rows, drag, columns) : error("no depth")
end
VDA.variables(::Type{<:Sheet}) = ("u", "v", "h")
VDA.dimensions(m::Sheet) = (y = m.rows, x = m.columns)

struct Coupled <: VDA.VectorModel
    n::Int
end
VDA.variables(::Type{Coupled}) = ("air", "sea")
VDA.dimensions(m::Coupled) = (air = (z = 3, x = m.n), sea = (x = m.n,))

const SHEET = Sheet(10.0, 2, 0.5, 5)

@testset "parameters are the fields of the type parameter" begin
    @test parameters(SHEET) == (10.0, 0.5)
    changed = with_parameters(SHEET, (-1.0f0, 2.0f0))       # past the constructor, which would throw
    @test (changed.depth, changed.rows, changed.drag, changed.columns) === (-1.0f0, 2, 2.0f0, 5)
    @test retype(Float32, SHEET) isa Sheet{Float32}
    @test parameters(Coupled(4)) == ()
    @test with_parameters(Coupled(4), ()) === Coupled(4)
    @test retype(Float32, Coupled(4)) === Coupled(4)
end

@testset "layouts" begin
    @test length(SHEET) == 3 * 2 * 5
    @test array_shape(SHEET) == (5, 2, 3)                   # fastest first
    @test dimensions_of(SHEET) == [(y = 2, x = 5) for _ in 1:3]
    @test length(Coupled(4)) == 3 * 4 + 4
    @test array_shape(Coupled(4)) == (16,)
    @test dimensions_of(Coupled(4)) == [(z = 3, x = 4), (x = 4,)]
    @test components(("x",), NamedTuple()) == 1
    @test VDA.size_of(VDA.Lorenz63(10.0, 28.0, 8 / 3)) === Val(3)
end
