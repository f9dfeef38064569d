# Eigenvectors of a small symmetric matrix, without allocation and without exceptions.

"""
    eigenvectors!(U, C) -> U

Compute the eigenvectors of the symmetric C by Jacobi rotations, in the columns of U; the eigenvalues
are left on C's diagonal. (LAPACK allocates, and throws an exception if there is a NaN.)
"""
function eigenvectors!(U, C)
    n = size(C, 1)
    @inbounds for j in 1:n, i in 1:n
        U[i, j] = i == j
    end
    for _ in 1:30
        off, diagonal = 0.0, 0.0
        @inbounds for j in 1:n
            diagonal += C[j, j]^2
            for i in 1:j-1
                off += C[i, j]^2
            end
        end
        off > 1e-32 * diagonal || break
        for q in 2:n, p in 1:q-1
            rotate!(U, C, p, q)
        end
    end
    return U
end

@inline function rotate!(U, C, p, q)
    @inbounds begin
        abs(C[p, q]) > 1e-300 || return nothing
        θ = (C[q, q] - C[p, p]) / (2C[p, q])
        t = copysign(1 / (abs(θ) + sqrt(1 + θ^2)), θ)
        c = 1 / sqrt(1 + t^2)
        s = t * c
        @simd for i in axes(C, 1)
            (a, b) = (C[i, p], C[i, q])
            C[i, p] = c * a - s * b
            C[i, q] = s * a + c * b
        end
        for i in axes(C, 1)
            (a, b) = (C[p, i], C[q, i])
            C[p, i] = c * a - s * b
            C[q, i] = s * a + c * b
        end
        @simd for i in axes(U, 1)
            (a, b) = (U[i, p], U[i, q])
            U[i, p] = c * a - s * b
            U[i, q] = s * a + c * b
        end
    end
    return nothing
end
