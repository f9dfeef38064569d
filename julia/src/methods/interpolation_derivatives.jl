# By how much an optimal interpolation changes with the constants of its covariance.
#
# With w = A⁻¹ c and v = A⁻¹ y,
#
#     dx̂ = dcᵀ v - wᵀ dA v,     dσ² = dc₀ - 2 wᵀ dc + wᵀ dA w,
#
# which are sums over pairs of the data and of the point itself, if the latter has the weights w = -1 and v = 0.

"""
    differentiate!(derivatives, block, P, size, point, lanes_used)

Write the derivatives of estimates and error variances of a block whose matrices have been factorised: by a variance
that is added to the errors of all data, then by the logarithms of variance, km and days of each factor. The two rows
behind the factor, L⁻¹ c and L⁻¹ y, are overwritten.
"""
function differentiate!(derivatives, block::QueryBlock{N}, P, size, point, lanes_used) where {N}
    (w, v) = solve_back!(block.factor, size)
    (sums, r, t, p, q) = (block.sums, block.r, block.t, block.p, block.q)
    (D, half) = (block.lanes, N(0.5))
    fill!(sums, zero(N))
    @inbounds for i in 1:size+1
        (here, wᵢ, vᵢ) = i > size ? (point, N(-1), zero(N)) : ((D[1, i], D[2, i], D[3, i], D[4, i]), w(i), v(i))
        columns = min(i, size)
        distances!(r, t, D, here, columns)
        for j in 1:columns
            (wⱼ, vⱼ) = (w(j), v(j))
            p[j] = -muladd(wᵢ, vⱼ, wⱼ * vᵢ)
            q[j] = wᵢ * wⱼ + wᵢ * wⱼ
        end
        if i <= size
            (p[i], q[i]) = (half * p[i], half * q[i])
            (sums[1, 1], sums[2, 1]) = (sums[1, 1] + p[i], sums[2, 1] + q[i])
        end
        add_derivatives!(sums, P.factors, r, t, p, q, columns)
    end
    @inbounds for k in eachindex(P.factors)
        sums[2, 3k-1] += P.factors[k].v
    end
    for l in 1:lanes_used, k in axes(sums, 2), a in 1:2
        derivatives[a, k, block.query[l]] = lane(sums[a, k], l)
    end
    return nothing
end

"    solve_back!(F, size) -> functions of j that return row j of L⁻ᵀ times each of the two rows behind the factor"
function solve_back!(F::LaneFactor, size)
    A = F.panels
    (w, v) = (place(size + 1, 1), place(size + 2, 1))
    @inbounds for j in size:-1:1
        at = 4 * (j - 1)
        (A[w+at], A[v+at]) = (A[w+at] * F.reciprocal[j], A[v+at] * F.reciprocal[j])
        (wⱼ, vⱼ, row) = (-A[w+at], -A[v+at], place(j, 1))
        for k in 0:4:at-4
            l = A[row+k]
            A[w+k] = muladd(l, wⱼ, A[w+k])
            A[v+k] = muladd(l, vⱼ, A[v+k])
        end
    end
    return (j -> @inbounds(A[w+4*(j-1)]), j -> @inbounds(A[v+4*(j-1)]))
end

"Add the derivatives by the logarithms of each factor's variance, km and days, for the weights p and q of pairs."
function add_derivatives!(sums::Matrix{N}, factors, r, t, p, q, columns) where {N}
    z = zero(N)
    @inbounds for k in eachindex(factors)
        f = factors[k]
        (x, xʳ, xᵗ, s, sʳ, sᵗ) = (z, z, z, z, z, z)
        for j in 1:columns
            (e, eʳ, eᵗ) = value_and_slopes(f, r[j], t[j])
            (x, xʳ, xᵗ) = (muladd(p[j], e, x), muladd(p[j], eʳ, xʳ), muladd(p[j], eᵗ, xᵗ))
            (s, sʳ, sᵗ) = (muladd(q[j], e, s), muladd(q[j], eʳ, sʳ), muladd(q[j], eᵗ, sᵗ))
        end
        (sums[1, 3k-1], sums[2, 3k-1]) = (sums[1, 3k-1] + x, sums[2, 3k-1] + s)
        (sums[1, 3k], sums[2, 3k]) = (sums[1, 3k] + xʳ, sums[2, 3k] + sʳ)
        (sums[1, 3k+1], sums[2, 3k+1]) = (sums[1, 3k+1] + xᵗ, sums[2, 3k+1] + sᵗ)
    end
    return nothing
end

"    value_and_slopes(f, r, t) -> a factor, and its derivatives by the logarithms of km and of days"
@inline function value_and_slopes(f::Factor{N}, r, t) where {N}
    if f.plain
        (a, b) = (f.α * r, f.β * t)
        e = f.v * lane_exp(-(a + b))
        return (e, e * a, e * b)
    end
    (r², t²) = (r * r, t * t)
    (a, b, c, d) = (f.α * r, f.β * t, f.γ * r², f.δ * t²)
    e = f.v * lane_exp(-(a + b + c + d))
    (in_space, in_time) = (muladd(f.q, r², muladd(f.p, r, one(N))), muladd(f.u, t², muladd(f.s, t, one(N))))
    # -r d/dr of exp(-α r - γ r²) (1 + p r + q r²), over the exponential.
    by_km = muladd(a + c + c, in_space, -muladd(f.q + f.q, r², f.p * r))
    by_days = muladd(b + d + d, in_time, -muladd(f.u + f.u, t², f.s * t))
    return (e * in_space * in_time, e * by_km * in_time, e * in_space * by_days)
end
