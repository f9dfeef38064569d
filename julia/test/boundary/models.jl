# Models through their addresses: what they are, what they compute, and what is refused.

include("../shared/problems.jl")
include("../shared/calls.jl")

const ROSSLER = """
struct Rossler{T} <: SmallModel
    a::T
    b::T
end
Rossler(; a = 0.2, b = 0.3) = Rossler(a, b)
variables(::Type{<:Rossler}) = ("x", "y", "z")
time_step(::Type{<:Rossler}) = 0.05
spinup(::Rossler) = 7.0
start(m::Rossler, rng) = (randn(rng), m.a, m.b)
tendency(m::Rossler, (x, y, z)) = (-y - z, x + m.a * y, m.b + z * x)
"""

"The text of a buffer of C."
text_of(buffer) = String(buffer[1:findfirst(iszero, buffer)-1])

@testset "a user's model is registered, described and started" begin
    handle = zeros(Int64, 1)
    source = Vector{UInt8}(ROSSLER)
    (file, none) = (Vector{UInt8}("folder/rossler.jl"), UInt8[])
    code, text = called("register", source, length(source), file, length(file), none, 0, handle)
    @test code === VDA.DONE && handle[1] > 0
    buffer = zeros(UInt8, 4000)
    code, text = called("describe", handle[1], C_NULL, 0, buffer, 4000)
    lines = split(text_of(buffer), "\n")
    @test code === VDA.DONE
    for line in ("type\tRossler", "kind\tsmall", "form\ttendency", "time_step\t0.05", "spinup\t7.0", "field\ta\treal\t0.2",
                 "variable\tx", "gives\tstart\tparameters")
        @test line in lines
    end
    code, text = called("describe", handle[1], C_NULL, 0, buffer, 20)
    @test code === VDA.REFUSED && occursin("longer than 20 bytes", text)
    states = zeros(3, 4)
    code, = called("starts", handle[1], [0.5, 0.6], 2, 3, 4, 8, states)
    @test code === VDA.DONE && states[2:3, :] == repeat([0.5, 0.6], 1, 4) && allunique(states[1, :])
    code, text = called("mask", handle[1], [0.5, 0.6], 2, 3, zeros(UInt8, 3))
    @test code === VDA.REFUSED && occursin("write land(m::Rossler)", text)
    report = zeros(UInt8, 4000)
    code, = called("verdict", handle[1], [0.5, 0.6], 2, 3, 1, report, 4000)
    @test code === VDA.DONE && startswith(text_of(report), "reference\tdual numbers")
end

@testset "steps and their derivatives through their address, $type" for (type, m, p) in (("Lorenz63", PAPER[1], [10.0, 28.0, 8 / 3]), ("Lorenz96", PAPER[2], [8.0, 40.0]))
    (handle, D, h) = (VDA.register("", "", type), length(m), usual_step(m))
    (x, v) = (states(MersenneTwister(31), m, 3), states(MersenneTwister(32), m, 3))
    found = map((0, 1, 2)) do what
        out = zeros(D, 3)
        code, = called("one_step", handle, p, length(p), D, 0, 3, 4, h, what, x, v, out)
        @test code === VDA.DONE
        out
    end
    for j in 1:3
        @test found[1][:, j] ≈ paper_step(RungeKutta4(), m, x[:, j], h) rtol = 1e-13
    end
    @test sum(found[2] .* x) ≈ sum(v .* VDA.linearised_steps!(zeros(D, 3), x, x, RungeKutta4(), m, h, 2)) rtol = 1e-11
    @test sum(found[2] .* v) ≈ sum(v .* found[3]) rtol = 1e-11
    code, text = called("one_step", handle, p, length(p), D + 2, 2, 3, 4, h, 0, x, v, zeros(D, 3))
    @test code === VDA.REFUSED && occursin("parameters, found 2", text)
end

@testset "simulation through its address" begin
    (m, p, handle) = (PAPER[1], [10.0, 28.0, 8 / 3], VDA.register("", "", "Lorenz63"))
    start = states(MersenneTwister(27), m, 3) ./ 4
    x = zeros(3, 6, 3)
    code, _ = called("simulate", handle, p, 3, 3, 6, 3, start, x, 0.01, 0.5, 1e-9, 1e-9)
    expected = similar(x)
    simulate!(expected, start, m, 0.01, 0.5, 1e-9, 1e-9)
    @test code === VDA.DONE && x == expected
end

@testset "sizes that a circle cannot have" begin
    handle = VDA.register("", "", "Lorenz96")
    for (size, complaint) in ((3.0, "at least 4 components"), (0.0, "sizes of at least 1"), (-5.0, "sizes of at least 1"), (4.5, "a whole number"))
        x = zeros(3, 6, 1)
        code, text = called("simulate", handle, [8.0, size], 2, floor(Int, size), 6, 1, zeros(8), x, 0.05, 0.0, 1e-9, 1e-9)
        @test code === VDA.REFUSED && occursin(complaint, text) && iszero(x)
    end
end
