# Local analyses against the formulas of Hunt et al. (2007) with dense matrices, one centre at a time.

include("../shared/problems.jl")
using LinearAlgebra: Diagonal, Symmetric, eigen

power(A, p) = (E = eigen(Symmetric(A)); E.vectors * Diagonal(E.values .^ p) * E.vectors')

"The taper, as it stands in Gaspari & Cohn (1999)."
function taper(z)
    z < 1 && return -z^5 / 4 + z^4 / 2 + 5z^3 / 8 - 5z^2 / 3 + 1
    return z < 2 ? z^5 / 12 - z^4 / 2 + 5z^3 / 8 + 5z^2 / 3 - 5z + 4 - 2 / (3z) : 0.0
end

"Distance on a circle of this length, or on a line (0)."
distance(a, b, period) = period == 0 ? abs(a - b) : min(mod(a - b, period), mod(b - a, period))

"The smallest ζ below N-1, from above, at which the cost of the finite-size filter has its minimum: a fine search."
function first_minimum(S, ρ, d)
    N = size(S, 1)
    (Sρ, dρ) = (S .* sqrt.(ρ)', d .* sqrt.(ρ))
    cost(ζ) = dρ' * ((I + Sρ' * Sρ / ζ) \ dρ) + N * ζ / (N - 1) - N * log(ζ)
    ζ = N - 1.0
    for step in (1e-2, 1e-4, 1e-6, 1e-8)
        while cost(ζ * (1 - step)) < cost(ζ)
            ζ *= 1 - step
        end
        ζ = min(N - 1.0, ζ * (1 + step))
    end
    return max(ζ, (N - 1) / 2.0^2)
end

"Members of the component i, by the data around it; of earlier times if α is not theirs."
function analysed(X, i, S, d, ρ, ζ, earlier)
    N = size(S, 1)
    x̄ = sum(X[i, :]) / N
    A = ζ * I + S * Diagonal(ρ) * S'
    α = earlier ? sqrt((N - 1) / ζ) : 1.0
    a = X[i, :] .- x̄
    return x̄ .+ (a' * (A \ (S * (ρ .* d))) .+ sqrt(N - 1) * power(A, -0.5) * a) ./ α
end

"A circle of D points with p data at some of them, whose reach is 2 `half`."
function circle(rng; D = 21, N = 7, p = 9, half = 2.5)
    ensembles = [randn(rng, D, N) .+ 3 for _ in 1:3]
    at = rand(rng, 1:D, p)
    S = permutedims((ensembles[1] .- sum(ensembles[1], dims = 2) / N)[at, :]) ./ 0.7
    d = randn(rng, p)
    place = reshape(collect(1.0:D) ./ half, 1, D)
    return ensembles, S, d, place[:, at], place, at, D / half
end
centres_of(place, period) =
    VDA.LocalCentres(place, [period], collect(1:size(place, 2)+1), collect(1:size(place, 2)), ones(size(place, 2)), [0, size(place, 2)])

@testset "equals the dense formula: inflation $inflation, adaptive $adaptive, circle $closed, $N members" for
        N in (3, 7, 20), (inflation, adaptive) in ((1.0, false), (1.3, false), (1.0, true)), closed in (false, true)
    rng = MersenneTwister(3)
    (ensembles, S, d, data, place, at, length_) = circle(rng; N = N)
    period = closed ? length_ : 0.0
    found = map(copy, ensembles)
    VDA.local_analyses!(found, S, d, data, centres_of(place, period); inflation = inflation, adaptive = adaptive)
    for i in axes(place, 2)
        ρ = [taper(distance(place[i], data[k], period)) for k in eachindex(d)]
        ζ = adaptive ? first_minimum(S, ρ, d) : (N - 1) / inflation^2
        for (e, X) in enumerate(ensembles)
            @test found[e][i, :] ≈ analysed(X, i, S, d, ρ, ζ, e > 1) rtol = (adaptive ? 1e-6 : 1e-12)
        end
    end
end

@testset "a wrong datum inflates the members at most twice" begin
    (ensembles, S, d, data, place, _, _) = circle(MersenneTwister(6))
    members = map(copy, ensembles)
    VDA.local_analyses!(members, S, 1e4 .* d, data, centres_of(place, 0.0); adaptive = true)
    spread(X) = vec(sum(abs2, X .- sum(X, dims = 2) / size(X, 2), dims = 2))
    @test all(spread(members[1]) .<= 4 * (1 + 1e-9) .* spread(ensembles[1]))
end

@testset "a datum beyond reach changes nothing, and without data nothing changes" begin
    (ensembles, S, d, data, place, at, _) = circle(MersenneTwister(4))
    far = [i for i in axes(place, 2) if all(abs.(place[i] .- data[1]) .>= 2)]
    @test !isempty(far)
    other = copy(d)
    other[1] = 1e6
    found = map((d, other)) do innovations
        members = map(copy, ensembles)
        VDA.local_analyses!(members, S, innovations, data, centres_of(place, 0.0); adaptive = true)
        members[1]
    end
    # Not to the last bit: the eight centres of a group share the terms of the inverse root.
    @test found[1][far, :] ≈ found[2][far, :] rtol = 1e-12
    @test !(found[1] ≈ found[2])
    none = map(copy, ensembles)
    VDA.local_analyses!(none, S[:, 1:0], d[1:0], data[:, 1:0], centres_of(place, 0.0); adaptive = true)
    @test none[1] ≈ ensembles[1] rtol = 1e-13
    @test none[2] ≈ ensembles[2] rtol = 1e-13
end

@testset "a rotation keeps mean and covariance" begin
    (ensembles, S, d, data, place, _, period) = circle(MersenneTwister(5))
    N = size(S, 1)
    basis = Matrix(qr([ones(N) randn(MersenneTwister(6), N, N - 1)]).Q)
    turned = Matrix(qr(randn(MersenneTwister(7), N - 1, N - 1)).Q)
    Ω = ones(N, N) ./ N .+ basis[:, 2:end] * turned * basis[:, 2:end]'
    (plain, mixed) = map((nothing, Ω)) do rotation
        members = map(copy, ensembles)
        VDA.local_analyses!(members, S, d, data, centres_of(place, period); rotation = rotation)
        members[1]
    end
    anomalies(X) = X .- sum(X, dims = 2) / N
    @test mixed != plain
    @test sum(mixed, dims = 2) ≈ sum(plain, dims = 2)
    @test anomalies(mixed) ≈ anomalies(plain) * Ω
    @test anomalies(mixed) * anomalies(mixed)' ≈ anomalies(plain) * anomalies(plain)'
end

@testset "components between centres take the mean of what the centres make of them" begin
    (ensembles, S, d, data, place, at, period) = circle(MersenneTwister(8); D = 20)
    few = place[:, 1:4:20]
    (first, component, coefficient) = ([1], Int[], Float64[])
    for c in 1:5
        for offset in -3:3
            push!(component, mod1(4 * (c - 1) + 1 + offset, 20))
            push!(coefficient, 1 - abs(offset) / 4)
        end
        push!(first, length(component) + 1)
    end
    order = [1, 3, 2, 4, 5]                 # the last centre is a neighbour of the first
    pick(c) = first[c]:first[c+1]-1
    rows = vcat([collect(pick(c)) for c in order]...)
    centres = VDA.LocalCentres(few[:, order], [period], cumsum([1; fill(7, 5)]), component[rows], coefficient[rows], [0, 2, 4, 5])
    found = map(copy, ensembles)
    VDA.local_analyses!(found, S, d, data, centres; inflation = 1.1)
    N = size(S, 1)
    for i in 1:20, e in 1:3
        expected = zeros(N)
        for c in 1:5, k in pick(c)
            component[k] == i || continue
            ρ = [taper(distance(few[c], data[j], period)) for j in eachindex(d)]
            expected .+= coefficient[k] .* analysed(ensembles[e], i, S, d, ρ, (N - 1) / 1.1^2, e > 1)
        end
        @test found[e][i, :] ≈ expected rtol = 1e-12
    end
end

@testset "components that no centre has, such as land, keep their bits" begin
    (ensembles, S, d, data, place, _, period) = circle(MersenneTwister(9))
    D = size(place, 2)
    sea = [i for i in 1:D if i % 3 != 0]
    n = length(sea)
    centres = VDA.LocalCentres(place[:, sea], [period], collect(1:n+1), sea, ones(n), [0, n])
    found = map(copy, ensembles)
    VDA.local_analyses!(found, S, d, data, centres)
    land = setdiff(1:D, sea)
    @test found[1][land, :] == ensembles[1][land, :]
    @test found[1][sea, :] != ensembles[1][sea, :]
end

@testset "more data than members, and a state of two dimensions" begin
    rng = MersenneTwister(10)
    (n, N, p) = (9, 13, 60)
    X = randn(rng, n^2, N)
    place = [(k == 1 ? (i - 1) % n : (i - 1) ÷ n) / 3.0 for k in 1:2, i in 1:n^2]
    at = rand(rng, 1:n^2, p)
    S = permutedims((X .- sum(X, dims = 2) / N)[at, :]) ./ 0.5
    d = 2 .* randn(rng, p)
    centres = VDA.LocalCentres(place, zeros(2), collect(1:n^2+1), collect(1:n^2), ones(n^2), [0, n^2])
    found = [copy(X)]
    VDA.local_analyses!(found, S, d, place[:, at], centres; inflation = 1.05)
    for i in 1:n^2
        ρ = [taper(norm(place[:, i] .- place[:, k])) for k in at]
        @test found[1][i, :] ≈ analysed(X, i, S, d, ρ, (N - 1) / 1.05^2, false) rtol = 1e-11
    end
end

@testset "the bits do not depend on the threads" begin
    rng = MersenneTwister(11)
    (n, N, p) = (60, 13, 80)
    X = randn(rng, n^2, N)
    place = [(k == 1 ? (i - 1) % n : (i - 1) ÷ n) / 5.0 for k in 1:2, i in 1:n^2]
    at = rand(rng, 1:n^2, p)
    S = permutedims((X .- sum(X, dims = 2) / N)[at, :])
    (d, data) = (randn(rng, p), place[:, at])
    centres = VDA.LocalCentres(place, zeros(2), collect(1:n^2+1), collect(1:n^2), ones(n^2), [0, n^2])
    @test cld(n^2, 8) * N^2 ÷ VDA.WORTH_A_THREAD >= 2
    found = [copy(X)]
    VDA.local_analyses!(found, S, d, data, centres; adaptive = true)
    serial = [copy(X)]
    room = VDA.LocalRoom(N)
    how = (; VDA.sorted_data(S, d, data, centres)..., centres = centres, inflation = 1.0, adaptive = true, rotation = nothing)
    for start in 1:8:n^2
        VDA.local_analysis!(serial, serial, room, how, start, min(start + 7, n^2))
    end
    @test found[1] == serial[1]
end
