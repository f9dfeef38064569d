# Segments: the state and every column over several steps.

include("../shared/problems.jl")
include("../shared/linear.jl")

"Φᵏ(x) and its Jacobian, a step and a column at a time."
function by_columns(scheme, m, x, h, k)
    J = Matrix{Float64}(I, length(x), length(x))
    for _ in 1:k
        J = reduce(hcat, [linearised(scheme, m, x, J[:, j], h, TANGENT) for j in axes(J, 2)])
        x = linearised(scheme, m, x, x, h, FORECAST)
    end
    return x, J
end

function of(scheme, m::VDA.SmallModel, x, h, k)
    x̂, columns = VDA.segment(scheme, m, Tuple(x), VDA.unit_columns(Float64, VDA.size_of(m)), h, k)
    @test VDA.segment(scheme, m, Tuple(x), h, k) == x̂
    return collect(x̂), reduce(hcat, collect.(columns))
end
function of(scheme, m::VDA.LargeModel, x, h, k)
    D = length(m)
    ws = VDA.segment!(VDA.start!(VDA.SegmentWorkspace(m), x), scheme, m, h, k)
    @test all(iszero, ws.transposed[D+1:end, :]) && all(iszero, ws.transposed[:, D+1:end])
    return copy(ws.x), ws.transposed[1:D, 1:D]'
end

@testset "$(nameof(typeof(scheme))), $(name(m)), $k steps" for scheme in SCHEMES, m in MODELS, k in (0, 1, 5)
    x = vec(states(MersenneTwister(41), m, 1))
    h = usual_step(m)
    x̂, J = of(scheme, m, x, h, k)
    expected, columns = by_columns(scheme, m, x, h, k)
    @test x̂ ≈ expected rtol = 1e-13
    @test norm(J - columns) <= 1e-13 * norm(columns)
end

@testset "of a linear model it is a power of its step, $(name(m))" for m in LINEAR
    x = randn(MersenneTwister(42), length(m))
    M = power(step_matrix(m, 0.1), 6)
    x̂, J = of(RungeKutta4(), m, x, 0.1, 6)
    @test x̂ ≈ M * x rtol = 1e-13
    @test norm(J - M) <= 1e-13 * norm(M)
end

@testset "windows in lanes are windows alone" begin
    m = PAPER[1]
    L = VDA.lanes_for(Float64)
    x = states(MersenneTwister(43), m, 8)
    packed = ntuple(i -> L(ntuple(w -> VecElement(x[i, w]), 8)), 3)
    x̂, columns = VDA.segment(RungeKutta4(), m, packed, VDA.unit_columns(L, Val(3)), 0.01, 4)
    for w in 1:8
        alone, J = of(RungeKutta4(), m, x[:, w], 0.01, 4)
        @test [VDA.lane(c, w) for c in x̂] ≈ alone rtol = 1e-14
        @test [VDA.lane(columns[j][i], w) for i in 1:3, j in 1:3] ≈ J rtol = 1e-13
    end
end

@testset "nothing is allocated" begin
    m = PAPER[2]
    ws = VDA.start!(VDA.SegmentWorkspace(m), randn(40))
    VDA.segment!(ws, RungeKutta4(), m, 0.05, 1)
    @test @allocated(VDA.segment!(ws, RungeKutta4(), m, 0.05, 4)) == 0
end
