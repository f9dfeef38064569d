# The quasi-geostrophic ocean: a step by plain loops and a dense Helmholtz solver, and the derivatives of the step.

include("../../shared/derivatives.jl")

"∂ψ/∂t at the interior points, by the equation as it is written."
function plain_rate(m, ψ)
    (n, M) = (m.n, m.n - 1)
    h = 1 / M
    at(f, x, y) = 1 <= x <= n && 1 <= y <= n ? f[x, y] : 0.0
    inner(g) = [1 < x < n && 1 < y < n ? g(x, y) : 0.0 for x in 1:n, y in 1:n]
    ∇²(f) = inner((x, y) -> (f[x-1, y] + f[x+1, y] + f[x, y-1] + f[x, y+1] - 4f[x, y]) / h^2)
    ζ = ∇²(ψ)
    q = ζ .- m.F .* ψ
    # Arakawa's Jacobian as the mean of three: of differences, and of their fluxes in either field.
    function J(a, b, x, y)
        (E, W, N, S) = ((1, 0), (-1, 0), (0, 1), (0, -1))
        A(d...) = a[x+sum(first, d), y+sum(last, d)]
        B(d...) = b[x+sum(first, d), y+sum(last, d)]
        plain = (A(E) - A(W)) * (B(N) - B(S)) - (A(N) - A(S)) * (B(E) - B(W))
        of_a = A(E) * (B(N, E) - B(S, E)) - A(W) * (B(N, W) - B(S, W)) - A(N) * (B(N, E) - B(N, W)) + A(S) * (B(S, E) - B(S, W))
        of_b = B(N) * (A(N, E) - A(N, W)) - B(S) * (A(S, E) - A(S, W)) - B(E) * (A(N, E) - A(S, E)) + B(W) * (A(N, W) - A(S, W))
        return (plain + of_a + of_b) / (12 * h^2)
    end
    biharmonic = ∇²(∇²(ζ))
    rhs = inner((x, y) -> -m.r * J(ψ, q, x, y) - (ψ[x+1, y] - ψ[x-1, y]) / 2h - m.kappa * biharmonic[x, y] - 2π * sinpi(2 * (y - 1) * h))
    one = Matrix(1.0I, M - 1, M - 1)
    second = (diagm(1 => ones(M - 2), -1 => ones(M - 2)) - 2one) ./ h^2
    solved = reshape((kron(one, second) + kron(second, one) - m.F * I) \ vec(rhs[2:M, 2:M]), M - 1, M - 1)
    return inner((x, y) -> solved[x-1, y-1])
end

function plain_step(m, ψ)
    h = VDA.time_step(m) / 4
    for _ in 1:4
        k₁ = plain_rate(m, ψ)
        k₂ = plain_rate(m, ψ + h / 2 * k₁)
        k₃ = plain_rate(m, ψ + h / 2 * k₂)
        k₄ = plain_rate(m, ψ + h * k₃)
        ψ = ψ + h / 6 * (k₁ + 2k₂ + 2k₃ + k₄)
    end
    return ψ
end

@testset "quasi-geostrophic flow on $n × $n points" for n in (9, 17)
    m = VDA.QuasiGeostrophic(n = n, kappa = 1e-9, r = 1e-3)
    ψ = zeros(n, n)
    ψ[2:n-1, 2:n-1] .= 0.3 .* randn(MersenneTwister(n), n - 2, n - 2)
    ws = VDA.step_workspace(Float64, m)
    found = VDA.step!(ws, RungeKutta4(), m, vec(ψ), VDA.time_step(m))
    expected = plain_step(m, ψ)
    @test norm(found - vec(expected)) <= 1e-11 * norm(expected)
    test_step_derivatives(m, vec(ψ), 1.0)
end
