# Symmetric positive definite block-tridiagonal systems A x = b, by block Cholesky: A = L Lᵀ with
#
#     Lₖ Lₖᵀ = Aₖₖ - Eₖ₋₁ Eₖ₋₁ᵀ,     Eₖ = Aₖ₊₁,ₖ Lₖ⁻ᵀ,
#
# and the diagonal blocks of A⁻¹ from the last one backwards:
#
#     Zₖ = Lₖ⁻ᵀ (I + Eₖᵀ Zₖ₊₁ Eₖ) Lₖ⁻¹.
#
# `LaneBlocks` holds small blocks whose numbers may be lanes of several windows; a window whose matrix
# is not positive definite gets NaN, without effect on the others. `DenseBlocks` holds the large blocks
# of one window, by rows in lanes, and is eliminated from the last block to the first: the block that a
# tangent linear contributes beside the diagonal is then needed in the order in which its columns are
# computed. Nothing here throws, and no factorisation or solve allocates.

using LinearAlgebra: BLAS

# --- small blocks -------------------------------------------------------------------------------

"""
    LaneBlocks{D,N}(K)

K × K blocks of D × D numbers.

- `diagonal`: `(D, D, K)`, the blocks Aₖₖ; only the lower triangles are used
- `below`: `(D, D, K)`, the blocks Aₖ₊₁,ₖ; the last is not used
- `factor`, `coupling`: `(D, D, K)`, Lₖ and Eₖᵀ
- `reciprocal`: `(D, K)`, 1 / diag(Lₖ)
"""
struct LaneBlocks{D,N}
    diagonal::Array{N,3}
    below::Array{N,3}
    factor::Array{N,3}
    coupling::Array{N,3}
    reciprocal::Matrix{N}
end
LaneBlocks{D,N}(K::Integer) where {D,N} =
    LaneBlocks{D,N}(ntuple(_ -> zeros(N, D, D, K), Val(4))..., zeros(N, D, K))

"    factorise!(A, damping) -> true; lanes that are not positive definite become NaN"
function factorise!(A::LaneBlocks{D,N}, damping) where {D,N}
    (L, R, E, B) = (A.factor, A.reciprocal, A.coupling, A.below)
    K = size(L, 3)
    @inbounds for k in 1:K
        for j in 1:D
            for i in j:D
                s = A.diagonal[i, j, k]
                i == j && (s += damping)
                if k > 1
                    for n in 1:D
                        s -= E[n, i, k-1] * E[n, j, k-1]
                    end
                end
                for n in 1:j-1
                    s -= L[i, n, k] * L[j, n, k]
                end
                if i == j
                    s = root(s)
                    R[j, k] = N(1) / s
                    L[i, j, k] = s
                else
                    L[i, j, k] = s * R[j, k]
                end
            end
        end
        k == K && break
        for j in 1:D, i in 1:D          # Eᵀ = L⁻¹ Bᵀ
            s = B[j, i, k]
            for n in 1:i-1
                s -= L[i, n, k] * E[n, j, k]
            end
            E[i, j, k] = s * R[i, k]
        end
    end
    return true
end

@inline root(s) = sqrt(s)
@inline root(s::AbstractFloat) = s > 0 ? sqrt(s) : oftype(s, NaN)      # Base throws below zero

"    solve!(x, A) -> A⁻¹ x in place, after `factorise!`; `x` is `(D, K)`"
function solve!(x::Matrix{N}, A::LaneBlocks{D,N}) where {D,N}
    (L, R, E) = (A.factor, A.reciprocal, A.coupling)
    K = size(L, 3)
    @inbounds for k in 1:K, i in 1:D
        s = x[i, k]
        if k > 1
            for n in 1:D
                s -= E[n, i, k-1] * x[n, k-1]
            end
        end
        for n in 1:i-1
            s -= L[i, n, k] * x[n, k]
        end
        x[i, k] = s * R[i, k]
    end
    @inbounds for k in K:-1:1
        for i in D:-1:1
            s = x[i, k]
            if k < K
                for n in 1:D
                    s -= E[i, n, k] * x[n, k+1]
                end
            end
            for n in i+1:D
                s -= L[n, i, k] * x[n, k]
            end
            x[i, k] = s * R[i, k]
        end
    end
    return x
end

"    inverse_diagonal!(Z, A) -> the diagonal blocks of A⁻¹, `(D, D, K)`, after `factorise!`"
function inverse_diagonal!(Z::Array{N,3}, A::LaneBlocks{D,N}) where {D,N}
    (L, R, E) = (A.factor, A.reciprocal, A.coupling)
    K = size(L, 3)
    C = zeros(N, D, D)
    F = zeros(N, D, D)
    @inbounds for k in K:-1:1
        for j in 1:D, i in 1:D
            C[i, j] = i == j ? N(1) : N(0)
        end
        if k < K
            for j in 1:D, i in 1:D              # F = Zₖ₊₁ E
                s = N(0)
                for n in 1:D
                    s += Z[i, n, k+1] * E[j, n, k]
                end
                F[i, j] = s
            end
            for j in 1:D, i in 1:D
                s = C[i, j]
                for n in 1:D
                    s += E[i, n, k] * F[n, j]
                end
                C[i, j] = s
            end
        end
        for j in 1:D, i in D:-1:1               # F = L⁻ᵀ C
            s = C[i, j]
            for n in i+1:D
                s -= L[n, i, k] * F[n, j]
            end
            F[i, j] = s * R[i, k]
        end
        for j in D:-1:1, i in 1:D               # Z = F L⁻¹
            s = F[i, j]
            for n in j+1:D
                s -= Z[i, n, k] * L[n, j, k]
            end
            Z[i, j, k] = s * R[j, k]
        end
    end
    return Z
end

# --- large blocks -------------------------------------------------------------------------------

"""
    DenseBlocks(P, K)

K × K blocks of P × P numbers, P a multiple of eight.

- `diagonal`: the blocks Aₖₖ; only the upper triangles are used
- `below`: the blocks Aₖ₊₁,ₖ; the last is not used
- `factor`: Uₖ with UₖᵀUₖ = Aₖₖ - XₖᵀXₖ;  `coupling`: Xₖ = Uₖ₊₁⁻ᵀ Aₖ₊₁,ₖ
"""
struct DenseBlocks
    diagonal::Vector{LaneMatrix}
    below::Vector{LaneMatrix}
    factor::Vector{LaneMatrix}
    coupling::Vector{LaneMatrix}
end
DenseBlocks(P::Integer, K::Integer) =
    DenseBlocks(ntuple(_ -> [LaneMatrix(P) for _ in 1:K], Val(4))...)

"    factorise!(A, damping) -> whether A + damping I is positive definite"
function factorise!(A::DenseBlocks, damping)
    K = length(A.diagonal)
    @inbounds for k in K:-1:1
        U = A.factor[k]
        copyto!(U.lanes, A.diagonal[k].lanes)
        for i in axes(U.scalars, 1)
            U.scalars[i, i] += damping
        end
        k < K && add_gram!(U, -1.0, A.coupling[k])
        if k > 1
            X = A.coupling[k-1]
            copyto!(X.lanes, A.below[k-1].lanes)
            eliminate!(U, X) || return false
        else
            eliminate!(U, nothing) || return false
        end
    end
    return true
end

"    solve!(x, A) -> A⁻¹ x in place, after `factorise!`; `x` is K vectors of P numbers"
function solve!(x::Vector{LaneVector}, A::DenseBlocks)
    K = length(x)
    @inbounds for k in K:-1:1
        k < K && subtract_transposed!(x[k], A.coupling[k], x[k+1])
        solve_transposed!(x[k], A.factor[k])
    end
    @inbounds for k in 1:K
        k > 1 && subtract_product!(x[k], A.coupling[k-1], x[k-1])
        solve_upper!(x[k], A.factor[k])
    end
    return x
end

"    inverse_diagonal!(Z, A) -> the diagonal blocks of A⁻¹, K matrices, after `factorise!`"
function inverse_diagonal!(Z::Vector{Matrix{Float64}}, A::DenseBlocks)
    F = similar(Z[1])
    for k in eachindex(Z)
        Lᵀ = A.factor[k].scalars            # (column, row) of U: in Julia's order U's transpose
        fill!(Z[k], 0.0)
        for i in axes(Z[k], 1)
            Z[k][i, i] = 1.0
        end
        if k > 1
            Xᵀ = A.coupling[k-1].scalars
            BLAS.gemm!('N', 'N', 1.0, Z[k-1], Xᵀ, 0.0, F)
            BLAS.gemm!('T', 'N', 1.0, Xᵀ, F, 1.0, Z[k])
        end
        BLAS.trsm!('L', 'L', 'T', 'N', 1.0, Lᵀ, Z[k])
        BLAS.trsm!('R', 'L', 'N', 'N', 1.0, Lᵀ, Z[k])
    end
    return Z
end
