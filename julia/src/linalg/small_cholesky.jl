# Cholesky factors of small dense matrices and their triangular solves, without allocation and without exceptions.

"    cholesky_in_place!(A) -> whether A is positive definite; its lower triangle becomes the factor"
function cholesky_in_place!(A)
    D = size(A, 1)
    @inbounds for j in 1:D
        d = A[j, j]
        scale = d
        for k in 1:j-1
            d -= A[j, k]^2
        end
        d > 1e-14 * scale || return false
        A[j, j] = sqrt(d)
        for i in j+1:D
            a = A[i, j]
            for k in 1:j-1
                a -= A[i, k] * A[j, k]
            end
            A[i, j] = a / A[j, j]
        end
    end
    return true
end
"    forward!(v, L) -> L⁻¹ v in place"
function forward!(v, L)
    @inbounds for i in eachindex(v)
        a = v[i]
        for k in 1:i-1
            a -= L[i, k] * v[k]
        end
        v[i] = a / L[i, i]
    end
    return v
end
"    backward!(v, L) -> L⁻ᵀ v in place"
function backward!(v, L)
    @inbounds for i in length(v):-1:1
        a = v[i]
        for k in i+1:length(v)
            a -= L[k, i] * v[k]
        end
        v[i] = a / L[i, i]
    end
    return v
end
