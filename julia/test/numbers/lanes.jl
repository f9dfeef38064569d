# Several windows in one number: each lane is the plain arithmetic of its window.

include("../shared/problems.jl")
using VDA: Lanes, lane, lanes, scalar_type

# The types are parameters here: inferring `Lanes` from run-time values crashes Julia 1.5.
of(::Type{N}, values) where {N} =
    N(ntuple(l -> VecElement{scalar_type(N)}(values[l]), Val(lanes(N))))

function check_arithmetic(::Type{N}, rng) where {N}
    S = scalar_type(N)
    a, b, c = (randn(rng, S, lanes(N)) for _ in 1:3)
    A, B, C = of(N, a), of(N, b), of(N, c)
    for l in 1:lanes(N)
        @test lane(A + B, l) === a[l] + b[l]
        @test lane(A - B, l) === a[l] - b[l]
        @test lane(A * B, l) === a[l] * b[l]
        @test lane(-A, l) === -a[l]
        @test lane(a[1] * B, l) === a[1] * b[l]
        # Fused or not, as the processor likes.
        @test lane(muladd(A, B, C), l) in (fma(a[l], b[l], c[l]), a[l] * b[l] + c[l])
        @test lane(N(c[1]), l) === c[1]
        @test lane(zero(N), l) === zero(S)
        least = [k == l ? -one(S) : one(S) for k in 1:lanes(N)]
        unknown = [k == l ? S(NaN) : one(S) for k in 1:lanes(N)]
        @test !VDA.all_above(of(N, least), zero(N)) && VDA.all_above(of(N, least), N(-S(2)))
        @test !VDA.all_above(of(N, unknown), zero(N)) && !VDA.all_above(of(N, least), N(-one(S)))
    end
    @test lanes(N) * sizeof(S) == 64
    @test VDA.lanes_for(S) === N
    return nothing
end

@testset "arithmetic" begin
    rng = MersenneTwister(4)
    check_arithmetic(Lanes{8,Float64}, rng)
    check_arithmetic(Lanes{16,Float32}, rng)
end

# One window at a time in plain numbers, against all in lanes.
function swept(::Type{N}, x::Array{S}, y, mask, scheme, m, h) where {N,S}
    g = similar(x)
    VDA.each_block(N, size(x, 3)) do ranges
        for range in ranges
            block = VDA.WindowBlock{N}(x, y, mask, range)
            out = zeros(N, size(x, 1), size(x, 2))
            VDA.store_gradient!(out, block, VDA.sweep_workspace(N, m), scheme, VDA.retype(S, m), S(h), S(0.02), S(0.1))
            VDA.scatter!(g, out, range)
        end
    end
    return g
end

function check_against_plain(::Type{N}, ::Type{S}, rng, scheme, m) where {N,S}
    x, y, mask = noisy_problem(rng, m, 12, lanes(N) + 3, S)
    plain = swept(S, x, y, mask, scheme, m, usual_step(m))
    in_lanes = swept(N, x, y, mask, scheme, m, usual_step(m))
    @test norm(in_lanes - plain) <= 20 * eps(S) * norm(plain)
end

@testset "gradient, $(nameof(typeof(scheme))), $(name(m))" for scheme in SCHEMES, m in PAPER
    rng = MersenneTwister(5)
    check_against_plain(Lanes{8,Float64}, Float64, rng, scheme, m)
    check_against_plain(Lanes{16,Float32}, Float32, rng, scheme, m)
end
