# The nodes of multiple shooting: each step's observations belong to one node, at or before it.

include("../shared/problems.jl")

@testset "nodes of $T steps, one every $every" for T in (1, 7, 12), every in (1, 3, 12)
    first = collect(VDA.nodes(T, every))
    last = [VDA.segment_end(k, length(first), T, every) for k in eachindex(first)]
    @test reduce(vcat, map((a, b) -> a:b, first, last)) == 1:T
end
