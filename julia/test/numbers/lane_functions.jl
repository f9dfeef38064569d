include("../shared/exceptions.jl")
using Test, Random
using VDA: Lanes, lane, lane_exp, lane_abs, lane_max

@testset "functions of all lanes at once" begin
    x = [-700 .+ 1400 * (i - 1) / 7999 for i in 1:8000]
    x[1:6] = [0.0, -0.0, 1e-300, -1e-20, log(2) / 2, -log(2) / 2]
    for W in (4, 8, 16)
        N = Lanes{W,Float64}
        packed(k) = N(ntuple(w -> VecElement(x[W*(k-1)+w]), W))
        found = vcat((collect(ntuple(w -> lane(lane_exp(packed(k)), w), W)) for k in 1:length(x)÷W)...)
        @test maximum(abs.(found ./ exp.(x) .- 1)) < 1e-15
        @test lane(lane_exp(N(-1e6)), 1) < 1e-300
        @test lane(lane_abs(N(-2.5)), W) == 2.5
        @test lane(lane_max(N(-2.5), N(1.0)), 2) == 1.0
    end
end
