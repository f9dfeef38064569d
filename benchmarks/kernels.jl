# What the processor can do, and what the descent asks of it. Prints one line of JSON:
# the fused multiply-add peak of all threads (flop/s, float64), and the floating-point operations of
# one iteration of FSGD for one window of 200 steps (an addition, a product: 1; a muladd: 2).
#
#     julia --threads=2 benchmarks/kernels.jl

include(joinpath(@__DIR__, "..", "julia", "src", "VDA.jl"))
using .VDA


const ACCUMULATORS = 10     # hides the latency of the instruction

@noinline function fma_loop(n, a::N, b::N) where {N}
    s = ntuple(k -> N(k), Val(ACCUMULATORS))
    for _ in 1:n
        s = map(x -> muladd(x, a, b), s)
    end
    return reduce(+, s)
end

function fma_peak(::Type{N}; n = 20_000_000) where {N}
    run() = Threads.@threads for _ in 1:Threads.nthreads()
        fma_loop(n, N(0.999), N(0.001))
    end
    run()
    seconds = minimum((@elapsed run()) for _ in 1:5)
    return 2 * n * ACCUMULATORS * VDA.lanes(N) * Threads.nthreads() / seconds
end

# --- the count ----------------------------------------------------------------------------------

const OPERATIONS = Ref(0)
struct Counted <: Real
    x::Float64
end
count!(n) = (OPERATIONS[] += n)
for op in (:+, :-, :*, :/)
    @eval Base.$op(a::Counted, b::Counted) = (count!(1); Counted($op(a.x, b.x)))
end
Base.:-(a::Counted) = Counted(-a.x)                        # folded into its neighbour
Base.muladd(a::Counted, b::Counted, c::Counted) = (count!(2); Counted(muladd(a.x, b.x, c.x)))
Base.zero(::Type{Counted}) = Counted(0.0)
Base.promote_rule(::Type{Counted}, ::Type{Float64}) = Counted
Counted(a::Counted) = a

function operations(m, D, observed)
    T = 200
    b = VDA.WindowBlock{Counted}(
        Counted.(randn(D, T)), Counted.(randn(D, length(observed))), Counted.(ones(D, length(observed))),
        [something(findfirst(==(t), observed), 0) for t in 1:T], VDA.PointBlock{Counted}(T),
    )
    ws = VDA.sweep_workspace(Counted, m)
    h = 0.01
    OPERATIONS[] = 0
    VDA.iterate!(b, ws, RungeKutta4(), m, h, 1e-3, 1e-3, 1)
    return OPERATIONS[]
end

peak = fma_peak(VDA.lanes_for(Float64))
l63 = operations(Lorenz63(10.0, 28.0, 8 / 3), 3, collect(1:8:200))
l96 = operations(Lorenz96(8.0, 40), 40, collect(1:4:200))
println("{\"fma_peak\": $peak, \"lorenz63\": $l63, \"lorenz96\": $l96}")
