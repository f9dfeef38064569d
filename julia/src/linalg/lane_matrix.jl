# Square matrices of one window with rows in lanes of eight numbers: the kernels of dense Cholesky.
#
# BLAS needs tens of microseconds to factorise 40 x 40 numbers, mostly overhead. In a `LaneMatrix`
# `lanes[g, i]` holds numbers 8g-7 ... 8g of row i, so that `scalars`, on the same memory, is the
# transposed matrix in Julia's order.

"P x P numbers, P a multiple of eight, by rows in lanes."
struct LaneMatrix
    lanes::Matrix{ColumnLanes}
    scalars::Matrix{Float64}        # (column, row), the memory of `lanes`
end
function LaneMatrix(P::Integer)
    lanes = zeros(ColumnLanes, P ÷ 8, P)
    return LaneMatrix(lanes, unsafe_wrap(Array, Ptr{Float64}(pointer(lanes)), (P, P)))
end

"P numbers, P a multiple of eight, in lanes."
struct LaneVector
    lanes::Vector{ColumnLanes}
    scalars::Vector{Float64}        # the memory of `lanes`
end
function LaneVector(P::Integer)
    lanes = zeros(ColumnLanes, P ÷ 8)
    return LaneVector(lanes, unsafe_wrap(Array, Ptr{Float64}(pointer(lanes)), P))
end

@inline function add_tile!(C, α, A, B, a, g, n₁, n₂)        # 4 rows, 16 columns
    z = zero(ColumnLanes)
    (c₁, c₂, c₃, c₄, d₁, d₂, d₃, d₄) = (z, z, z, z, z, z, z, z)
    As, Bl, Cl = A.scalars, B.lanes, C.lanes
    @inbounds for n in n₁:n₂
        (b, b′) = (Bl[g, n], Bl[g+1, n])
        (p, q, r, s) = (As[a, n], As[a+1, n], As[a+2, n], As[a+3, n])
        (p, q, r, s) = (ColumnLanes(p), ColumnLanes(q), ColumnLanes(r), ColumnLanes(s))
        (c₁, c₂, c₃, c₄) = (muladd(p, b, c₁), muladd(q, b, c₂), muladd(r, b, c₃), muladd(s, b, c₄))
        (d₁, d₂, d₃, d₄) = (muladd(p, b′, d₁), muladd(q, b′, d₂), muladd(r, b′, d₃), muladd(s, b′, d₄))
    end
    @inbounds begin
        Cl[g, a] = muladd(α, c₁, Cl[g, a])
        Cl[g, a+1] = muladd(α, c₂, Cl[g, a+1])
        Cl[g, a+2] = muladd(α, c₃, Cl[g, a+2])
        Cl[g, a+3] = muladd(α, c₄, Cl[g, a+3])
        Cl[g+1, a] = muladd(α, d₁, Cl[g+1, a])
        Cl[g+1, a+1] = muladd(α, d₂, Cl[g+1, a+1])
        Cl[g+1, a+2] = muladd(α, d₃, Cl[g+1, a+2])
        Cl[g+1, a+3] = muladd(α, d₄, Cl[g+1, a+3])
    end
    return nothing
end

@inline function add_half_tile!(C, α, A, B, a, g, n₁, n₂)   # 4 rows, 8 columns
    z = zero(ColumnLanes)
    (c₁, c₂, c₃, c₄) = (z, z, z, z)
    As, Bl, Cl = A.scalars, B.lanes, C.lanes
    @inbounds for n in n₁:n₂
        b = Bl[g, n]
        c₁ = muladd(ColumnLanes(As[a, n]), b, c₁)
        c₂ = muladd(ColumnLanes(As[a+1, n]), b, c₂)
        c₃ = muladd(ColumnLanes(As[a+2, n]), b, c₃)
        c₄ = muladd(ColumnLanes(As[a+3, n]), b, c₄)
    end
    @inbounds begin
        Cl[g, a] = muladd(α, c₁, Cl[g, a])
        Cl[g, a+1] = muladd(α, c₂, Cl[g, a+1])
        Cl[g, a+2] = muladd(α, c₃, Cl[g, a+2])
        Cl[g, a+3] = muladd(α, c₄, Cl[g, a+3])
    end
    return nothing
end

"Add rows a:a+3 of α Aᵀ B, using rows n₁:n₂ of A and B, to those of C, from group `g` of columns on."
function add_rows!(C, α, A, B, a, g, n₁, n₂)
    α = ColumnLanes(α)
    G = size(C.lanes, 1)
    while g < G
        add_tile!(C, α, A, B, a, g, n₁, n₂)
        g += 2
    end
    g == G && add_half_tile!(C, α, A, B, a, g, n₁, n₂)
    return C
end

"    add_gram!(C, α, X, n) -> C + α XᵀX in place, with the first n rows of X, in C's upper triangle"
function add_gram!(C::LaneMatrix, α, X::LaneMatrix, n = size(X.lanes, 2))
    for a in 1:4:size(C.lanes, 2)
        add_rows!(C, α, X, X, a, cld(a, 8), 1, n)
    end
    return C
end

"""
    eliminate!(U, X) -> whether U is positive definite

U becomes R with RᵀR = U, and X becomes R⁻ᵀX. Only the upper triangle of U is used.
"""
function eliminate!(U::LaneMatrix, X::Union{LaneMatrix,Nothing})
    P = size(U.lanes, 2)
    for first in 1:8:P
        if first > 1
            for a in (first, first + 4)
                add_rows!(U, -1.0, U, U, a, cld(first, 8), 1, first - 1)
                X === nothing || add_rows!(X, -1.0, U, X, a, 1, 1, first - 1)
            end
        end
        for i in first:first+7
            for n in first:i-1
                factor = @inbounds -U.scalars[i, n]
                subtract_row!(U.lanes, factor, i, n, cld(first, 8))
                X === nothing || subtract_row!(X.lanes, factor, i, n, 1)
            end
            pivot = @inbounds U.scalars[i, i]
            pivot > 0 || return false
            scale = 1 / sqrt(pivot)
            scale_row!(U.lanes, scale, i, cld(first, 8))
            X === nothing || scale_row!(X.lanes, scale, i, 1)
        end
    end
    return true
end

@inline function subtract_row!(a, factor, i, n, g)
    f = ColumnLanes(factor)
    @inbounds for k in g:size(a, 1)
        a[k, i] = muladd(f, a[k, n], a[k, i])
    end
end
@inline function scale_row!(a, factor, i, g)
    f = ColumnLanes(factor)
    @inbounds for k in g:size(a, 1)
        a[k, i] = f * a[k, i]
    end
end

"    subtract_transposed!(y, X, z) -> y - Xᵀ z in place"
function subtract_transposed!(y::LaneVector, X::LaneMatrix, z::LaneVector)
    @inbounds for g in axes(X.lanes, 1)
        s = y.lanes[g]
        for i in axes(X.lanes, 2)
            s = muladd(ColumnLanes(-z.scalars[i]), X.lanes[g, i], s)
        end
        y.lanes[g] = s
    end
    return y
end

"    subtract_product!(y, X, z) -> y - X z in place"
function subtract_product!(y::LaneVector, X::LaneMatrix, z::LaneVector)
    @inbounds for i in axes(X.lanes, 2)
        y.scalars[i] -= row_dot(X, z, i, 1)
    end
    return y
end
@inline function row_dot(X, z, i, g)
    s = zero(ColumnLanes)
    @inbounds for k in g:size(X.lanes, 1)
        s = muladd(X.lanes[k, i], z.lanes[k], s)
    end
    return ((lane(s, 1) + lane(s, 2)) + (lane(s, 3) + lane(s, 4))) +
           ((lane(s, 5) + lane(s, 6)) + (lane(s, 7) + lane(s, 8)))
end

"    solve_transposed!(y, U) -> U⁻ᵀ y in place, with the upper triangle of U"
function solve_transposed!(y::LaneVector, U::LaneMatrix)
    P = size(U.lanes, 2)
    @inbounds for n in 1:P
        z = y.scalars[n] / U.scalars[n, n]
        f = ColumnLanes(-z)
        g = cld(n, 8)
        for c in n+1:8g             # the lower triangle is not part of U
            y.scalars[c] = muladd(-z, U.scalars[c, n], y.scalars[c])
        end
        for k in g+1:size(U.lanes, 1)
            y.lanes[k] = muladd(f, U.lanes[k, n], y.lanes[k])
        end
        y.scalars[n] = z
    end
    return y
end

"    solve_upper!(y, U) -> U⁻¹ y in place, with the upper triangle of U"
function solve_upper!(y::LaneVector, U::LaneMatrix)
    P = size(U.lanes, 2)
    @inbounds for n in P:-1:1
        g = cld(n, 8)
        s = y.scalars[n] - row_dot(U, y, n, g + 1)
        for c in n+1:8g
            s -= U.scalars[c, n] * y.scalars[c]
        end
        y.scalars[n] = s / U.scalars[n, n]
    end
    return y
end
