# Eight symmetric matrices of the same small size at a time, one in each lane: A = Q T Qᵀ with T tridiagonal, and
# (A + ζ)⁻¹ and (A + ζ)^(-1/2) applied to vectors through T.
#
# The work does not depend on the numbers, unlike that of an eigenvalue iteration, so that eight matrices stay
# together. An inverse square root is a sum of some ten inverses, exact to rounding: the quadrature of its
# integral that elliptic functions give (Hale, Higham and Trefethen 2008, SIAM J. Numer. Anal. 46, 2505-2523,
# their method 3). Each of them is a tridiagonal system.

const EightLanes = Lanes{8,Float64}

const POLES = 4         # systems that are solved together, since one of them waits for its own results

struct LaneTridiagonal
    A::Matrix{EightLanes}       # in: the lower triangle; out: the Householder vectors, from A[k+1, k] on
    d::Vector{EightLanes}       # diagonal of T
    e::Vector{EightLanes}       # e[k] is T[k+1, k]
    τ::Vector{EightLanes}       # 2 / |v|² of each Householder vector
    v::Vector{EightLanes}
    w::Vector{EightLanes}
    y::Vector{EightLanes}
    r::Array{EightLanes,3}      # (pole, row, group of poles): one over the pivots of T + shift
    l::Array{EightLanes,3}      # subdiagonal of the factor
    z::Matrix{EightLanes}       # (pole, row)
    size::Int
end

"    LaneTridiagonal(N, padded = N): matrices of N rows in the memory of `padded` rows"
function LaneTridiagonal(N, padded = N)
    groups = maximum(length(q.weights) for q in QUADRATURES) ÷ POLES
    row() = zeros(EightLanes, N)
    return LaneTridiagonal(zeros(EightLanes, padded, padded), row(), row(), row(), row(), row(), row(),
                           zeros(EightLanes, POLES, N, groups), zeros(EightLanes, POLES, N, groups),
                           zeros(EightLanes, POLES, N), N)
end

"""
    tridiagonalise!(s): T and the Householder vectors of Q = H₁ H₂ ..., of the matrices in the lower triangle of s.A

The update of a column by one reflection and its product for the next share a pass through the memory.
"""
function tridiagonalise!(s::LaneTridiagonal)
    (A, d, e, τ, v, w, y, N) = (s.A, s.d, s.e, s.τ, s.v, s.w, s.y, s.size)
    (zero_, two, least) = (zero(EightLanes), EightLanes(2), EightLanes(1e-300))
    fill!(v, zero_)
    fill!(w, zero_)
    fill!(τ, zero_)
    @inbounds for k in 1:N
        (minus_w, minus_v) = (-w[k], -v[k])
        for i in k:N
            A[i, k] = muladd(v[i], minus_w, muladd(w[i], minus_v, A[i, k]))
        end
        d[k] = A[k, k]
        k == N && break
        if k == N - 1
            e[k] = A[N, k]
            continue
        end
        σ = zero_
        for i in k+2:N
            σ = muladd(A[i, k], A[i, k], σ)
        end
        x₁ = A[k+1, k]
        signed = (where_positive(x₁, two) - EightLanes(1)) * sqrt(muladd(x₁, x₁, σ))
        v₁ = x₁ + signed
        e[k] = -signed
        τ[k] = two / (muladd(v₁, v₁, σ) + least)       # a zero vector reflects nothing
        A[k+1, k] = v₁
        update_and_multiply!(A, v, w, y, k, N)
        s_ = zero_
        for i in k+1:N
            s_ = muladd(y[i], A[i, k], s_)
        end
        along = -(τ[k] * (EightLanes(0.5) * (τ[k] * s_)))     # τ is huge where s is 0
        for i in k+1:N
            v[i] = A[i, k]
            w[i] = muladd(along, v[i], τ[k] * y[i])
        end
    end
    return s
end

"A ← A - v wᵀ - w vᵀ and y = A u in the rows and columns after k, with u the column k of A; two columns at a time."
@inline function update_and_multiply!(A, v, w, y, k, N)
    @inbounds begin
        for i in k+1:N
            y[i] = zero(EightLanes)
        end
        for j in k+1:2:N-1
            (v₁, w₁, v₂, w₂) = (-v[j], -w[j], -v[j+1], -w[j+1])
            (u₁, u₂) = (A[j, k], A[j+1, k])
            a = muladd(v[j], w₁, muladd(w[j], v₁, A[j, j]))
            b = muladd(v[j+1], w₁, muladd(w[j+1], v₁, A[j+1, j]))
            c = muladd(v[j+1], w₂, muladd(w[j+1], v₂, A[j+1, j+1]))
            (A[j, j], A[j+1, j], A[j+1, j+1]) = (a, b, c)
            (s₁, s₂) = (muladd(a, u₁, b * u₂), muladd(b, u₁, c * u₂))
            for i in j+2:N
                (vᵢ, wᵢ, uᵢ) = (v[i], w[i], A[i, k])
                p = muladd(vᵢ, w₁, muladd(wᵢ, v₁, A[i, j]))
                q = muladd(vᵢ, w₂, muladd(wᵢ, v₂, A[i, j+1]))
                (A[i, j], A[i, j+1]) = (p, q)
                y[i] = muladd(q, u₂, muladd(p, u₁, y[i]))
                s₁ = muladd(p, uᵢ, s₁)
                s₂ = muladd(q, uᵢ, s₂)
            end
            y[j] += s₁
            y[j+1] += s₂
        end
        if isodd(N - k)
            a = muladd(v[N], -w[N], muladd(w[N], -v[N], A[N, N]))
            A[N, N] = a
            y[N] = muladd(a, A[N, k], y[N])
        end
    end
    return nothing
end

"T = 0 and Q the identity: the matrices are zero."
function zero_tridiagonal!(s::LaneTridiagonal)
    foreach(v -> fill!(v, zero(EightLanes)), (s.d, s.e, s.τ))
    fill!(s.A, zero(EightLanes))
    return s
end

"    reflect!(x, s, k): x ← Hₖ x"
@inline function reflect!(x, s::LaneTridiagonal, k)
    (A, N) = (s.A, s.size)
    (a, b, c, d) = (zero(EightLanes), zero(EightLanes), zero(EightLanes), zero(EightLanes))
    @inbounds begin
        i = k + 1
        while i + 3 <= N
            a = muladd(A[i, k], x[i], a)
            b = muladd(A[i+1, k], x[i+1], b)
            c = muladd(A[i+2, k], x[i+2], c)
            d = muladd(A[i+3, k], x[i+3], d)
            i += 4
        end
        while i <= N
            a = muladd(A[i, k], x[i], a)
            i += 1
        end
        along = -(s.τ[k] * ((a + b) + (c + d)))
        for i in k+1:N
            x[i] = muladd(along, A[i, k], x[i])
        end
    end
    return x
end

"    to_tridiagonal!(x, s): x ← Qᵀ x"
to_tridiagonal!(x, s::LaneTridiagonal) = (for k in 1:s.size-2; reflect!(x, s, k); end; x)
"    from_tridiagonal!(x, s): x ← Q x"
from_tridiagonal!(x, s::LaneTridiagonal) = (for k in s.size-2:-1:1; reflect!(x, s, k); end; x)

"    trace_of(s) -> the sum of the diagonal of T"
function trace_of(s::LaneTridiagonal)
    found = zero(EightLanes)
    for a in s.d
        found += a
    end
    return found
end

"    shifted_solve!(x, s, b, ζ) -> |x|², with x = (T + ζ)⁻¹ b; `x` is not b"
function shifted_solve!(x, s::LaneTridiagonal, b, ζ)
    (d, e, r, N) = (s.d, s.e, s.v, s.size)
    @inbounds begin
        r[1] = EightLanes(1) / (d[1] + ζ)
        x[1] = b[1]
        for i in 2:N
            l = e[i-1] * r[i-1]
            x[i] = muladd(-l, x[i-1], b[i])
            r[i] = EightLanes(1) / muladd(-l, e[i-1], d[i] + ζ)
        end
        x[N] *= r[N]
        norm² = x[N] * x[N]
        for i in N-1:-1:1
            x[i] = r[i] * muladd(-e[i], x[i+1], x[i])
            norm² = muladd(x[i], x[i], norm²)
        end
    end
    return norm²
end

# --- the inverse square root ------------------------------------------------------------------------

"x^(-1/2) = Σ weights / (x + shifts) for 1 <= x <= most; the number of terms is filled up with zeros to whole groups."
struct Quadrature
    most::Float64
    shifts::Vector{Float64}
    weights::Vector{Float64}
end

function Quadrature(most::Float64, terms::Int)
    # Jacobi's elliptic functions of the parameter 1 - 1/most by the arithmetic-geometric mean.
    (a, c) = ([1.0], [sqrt(1 - 1 / most)])
    b = sqrt(1 / most)
    while c[end] > 1e-12 * a[end]
        push!(c, (a[end] - b) / 2)
        b, next = sqrt(a[end] * b), (a[end] + b) / 2
        push!(a, next)
    end
    K = π / (2a[end])
    (shifts, weights) = (zeros(terms), zeros(terms))
    for j in 1:cld(terms, 2)
        φ = 2.0^(length(a) - 1) * a[end] * (j - 0.5) * K / terms
        for n in length(a):-1:2
            φ = (φ + asin(c[n] / a[n] * sin(φ))) / 2
        end
        (s, co) = (sin(φ), cos(φ))
        dn = sqrt(co^2 + s^2 / most)
        scale = 2K / (π * terms)
        (shifts[j], weights[j]) = ((s / co)^2, scale * dn / co^2)
        # At K - u the cosine would be lost to rounding.
        (shifts[terms+1-j], weights[terms+1-j]) = (most * (co / s)^2, scale * sqrt(most) * dn / s^2)
    end
    padded = POLES * cld(terms, POLES)
    return Quadrature(most, [shifts; fill(shifts[end], padded - terms)], [weights; zeros(padded - terms)])
end

(q::Quadrature)(x) = sum(q.weights ./ (x .+ q.shifts))

"The fewest terms with which the quadrature is exact to a few units of rounding."
function Quadrature(most::Float64)
    x = exp.(range(0, log(most), length = 100))
    for terms in POLES:POLES:100
        q = Quadrature(most, terms)
        all(abs(q(x) * sqrt(x) - 1) < 1e-13 for x in x) && return q
    end
    return Quadrature(most, 100)
end
const QUADRATURES = [Quadrature(16.0^k) for k in 1:10]

"    quadrature_for(most) -> one that is exact up to `most`"
quadrature_for(most) = QUADRATURES[something(findfirst(q -> q.most >= most, QUADRATURES), length(QUADRATURES))]

"    factorise_shifts!(s, ζ, q): the pivots of T + ζ (1 + shift) for all shifts of a quadrature"
function factorise_shifts!(s::LaneTridiagonal, ζ, q::Quadrature)
    (d, e, r, l, N) = (s.d, s.e, s.r, s.l, s.size)
    @inbounds for g in 1:length(q.weights)÷POLES, p in 1:POLES
        shift = ζ * EightLanes(1 + q.shifts[POLES*(g-1)+p])
        r[p, 1, g] = EightLanes(1) / (d[1] + shift)
        for i in 2:N
            f = -(e[i-1] * r[p, i-1, g])
            l[p, i-1, g] = f
            r[p, i, g] = EightLanes(1) / muladd(f, e[i-1], d[i] + shift)
        end
    end
    return s
end

"    inverse_root!(y, s, x, scale, q): y = scale ζ^(-1/2) (T + ζ)^(-1/2) x after `factorise_shifts!`; `y` is not x"
function inverse_root!(y, s::LaneTridiagonal, x, scale, q::Quadrature)
    (r, l, z, N) = (s.r, s.l, s.z, s.size)
    fill!(y, zero(EightLanes))
    @inbounds for g in 1:length(q.weights)÷POLES
        (a₁, a₂, a₃, a₄) = (x[1], x[1], x[1], x[1])
        (z[1, 1], z[2, 1], z[3, 1], z[4, 1]) = (a₁, a₂, a₃, a₄)
        for i in 2:N
            a₁ = muladd(l[1, i-1, g], a₁, x[i])
            a₂ = muladd(l[2, i-1, g], a₂, x[i])
            a₃ = muladd(l[3, i-1, g], a₃, x[i])
            a₄ = muladd(l[4, i-1, g], a₄, x[i])
            (z[1, i], z[2, i], z[3, i], z[4, i]) = (a₁, a₂, a₃, a₄)
        end
        (w₁, w₂) = (EightLanes(q.weights[POLES*g-3]), EightLanes(q.weights[POLES*g-2]))
        (w₃, w₄) = (EightLanes(q.weights[POLES*g-1]), EightLanes(q.weights[POLES*g]))
        (a₁, a₂, a₃, a₄) = (r[1, N, g] * a₁, r[2, N, g] * a₂, r[3, N, g] * a₃, r[4, N, g] * a₄)
        y[N] += muladd(w₁, a₁, w₂ * a₂) + muladd(w₃, a₃, w₄ * a₄)
        for i in N-1:-1:1
            a₁ = muladd(l[1, i, g], a₁, r[1, i, g] * z[1, i])
            a₂ = muladd(l[2, i, g], a₂, r[2, i, g] * z[2, i])
            a₃ = muladd(l[3, i, g], a₃, r[3, i, g] * z[3, i])
            a₄ = muladd(l[4, i, g], a₄, r[4, i, g] * z[4, i])
            y[i] += muladd(w₁, a₁, w₂ * a₂) + muladd(w₃, a₃, w₄ * a₄)
        end
    end
    @inbounds for i in 1:N
        y[i] *= scale
    end
    return y
end
