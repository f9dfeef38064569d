# The analysis of the ensemble transform Kalman filter: Bishop et al. (2001) with the symmetric square
# root of Hunt et al. (2007).
#
# An analysis at an observation time k takes the anomalies A (a column a member) and the mean x̄ to
#
#     x̄ + A wₖ,  A Tₖ,   wₖ = S Q d,  Tₖ = I + S G Sᵀ,
#
# with S = (HA)ᵀ R^(-1/2), d = R^(-1/2) (y - H x̄), C = SᵀS / (N-1) = U Λ Uᵀ, and, both of them
# divided by N-1, Q = U (I + Λ)⁻¹ Uᵀ and G = U [(I + Λ)^(-1/2) - I] Λ⁻¹ Uᵀ: as small as there are
# data, however many the members.
#
# After an analysis the members may be mixed: A Ω with Ω = I - 2VVᵀ, V orthonormal columns orthogonal
# to the vector of ones, leaves mean and covariance as they are. It keeps a nonlinear model from
# driving the ensemble into one outlier and a cluster (Sakov & Oke 2008 use a random rotation).
# Everything here holds with TₖΩₖ in place of Tₖ.
#
# An analysis may go back (Bocquet & Sakov 2014, the iterative smoother with single assimilation): the
# members stand at an earlier time, `depth` observation times ago, and run to the datum from there.
# S is computed from their anomalies after the run, so w and T are found as above and change the members
# at the earlier time, from where they run again: on a trajectory of the model, not beside it. With
# iterations the members run from x̄ + A w, A T, and T⁻¹ = I + S G′ Sᵀ takes T out of the anomalies
# at the datum; a Gauss-Newton step then has d + Sᵀw in place of d. Depth 0 is the plain smoother.

using LinearAlgebra: BLAS

"    data_counts(precision, points) -> how many data each window has at each step, `(time, window)`"
function data_counts(precision, points)
    found = [count(>(0), view(precision, :, t, w)) for t in axes(precision, 2), w in axes(precision, 3)]
    add_counts!(found, points)
    return found
end
add_counts!(found, ::Nothing) = nothing
function add_counts!(found, points::Points)
    for w in axes(points.step, 2), k in axes(points.step, 1)
        found[points.step[k, w]+1, w] += points.weight[k, w] > 0
    end
    return nothing
end
function add_counts!(found, data::FunctionData)
    for w in axes(found, 2), t in axes(found, 1)
        found[t, w] += count_points(data, t, w)
    end
    return nothing
end

"    analyse!(ws, k, start, ...) -> the members at `start` with the data of the observation time k"
function analyse!(ws, k, start, y, precision, how, window)
    (standing, trial) = (ws.standing, ws.trial)
    D = size(ws.x̄, 1)
    t = ws.steps[k]
    k == 1 && (ws.first[1] = 1)
    n = ws.first[k]
    p = 0
    @inbounds for i in 1:D
        p += precision[i, t, window] > 0
    end
    p += count_points(how.points, t, window)
    ws.first[k+1] = n + p
    w = view(ws.w, :, k)
    fill!(w, 0.0)
    iterations = start == t ? 1 : how.iterations
    for iteration in 1:iterations
        copyto!(trial.A, standing.A)
        copyto!(trial.x̄, standing.x̄)
        if iteration > 1
            without_mixing!(ws, trial.A, D, k)
            add_weighted!(trial.x̄, standing.A, w)
        end
        for _ in start+1:t
            forecast!(trial, ws, ws.forecast, how.scheme, how.h)
            centre!(ws, trial) || return false
        end
        sensitivities!(ws, k, t, y, precision, iteration > 1, how, window) || return false
        weights!(ws, k, p)
    end
    add_weighted!(standing.x̄, standing.A, w)
    transform!(ws, standing.A, D, k)
    return true
end

count_points(::Nothing, t, window) = 0
count_points(data::FunctionData, t, window) = count(>(0), view(data.weight, :, t, window))
function count_points(points::Points, t, window)
    found = 0
    @inbounds for k in axes(points.step, 1)
        found += points.step[k, window] + 1 == t && points.weight[k, window] > 0
    end
    return found
end

"    sensitivities!(ws, k, t, ...) -> S and d of the analysis k, from the trial members at t; false when not finite"
function sensitivities!(ws, k, t, y, precision, transformed, how, window)
    S = data_of(ws, k)
    Y = view(ws.Z, :, axes(S, 2))
    p = 0
    @inbounds for i in axes(ws.x̄, 1)
        π = precision[i, t, window]
        π > 0 || continue
        p += 1
        root = sqrt(π)
        ws.d[p] = root * (y[i, t, window] - ws.trial.x̄[i])
        for j in axes(S, 1)
            Y[j, p] = root * ws.trial.A[j, i]
        end
    end
    point_sensitivities!(Y, ws, how.points, p, t, how, window) || return false
    p = size(S, 2)
    transformed && apply_symmetric!(ws, Y, S, view(ws.G′, 1:p, 1:p))
    copyto!(S, Y)
    if transformed
        BLAS.gemv!('T', 1.0, S, view(ws.w, :, k), 1.0, view(ws.d, 1:p))
    end
    return true
end

point_sensitivities!(Y, ws, ::Nothing, p, t, how, window) = true
"Columns of Y and numbers of d, after the first p, of the data between the steps t and t + 1."
function point_sensitivities!(Y, ws, points::Points, p, t, how, window)
    reached = 0.0                       # the fraction of a step at which `between` stands
    for k in axes(points.step, 1)
        π = points.weight[k, window]
        (points.step[k, window] + 1 == t && π > 0) || continue
        θ = points.fraction[k, window]
        if θ > 0 && θ != reached
            copyto!(ws.between.A, ws.trial.A)
            copyto!(ws.between.x̄, ws.trial.x̄)
            forecast!(ws.between, ws, ws.forecast, how.scheme, how.h * θ)
            centre!(ws, ws.between) || return false
            reached = θ
        end
        members = θ > 0 ? ws.between : ws.trial
        p += 1
        root = sqrt(π)
        column = view(Y, :, p)
        fill!(column, 0.0)
        said = 0.0
        @inbounds for term in axes(points.operator.index, 1)
            a = points.operator.coefficient[term, k, window]
            a == 0 && continue
            i = points.operator.index[term, k, window] + 1
            said += a * members.x̄[i]
            @simd for j in axes(Y, 1)
                column[j] += root * a * members.A[j, i]
            end
        end
        ws.d[p] = root * (points.y[k, window] - said)
    end
    return true
end

"The same of data that are a function of the state at t: each member sees the function itself."
function point_sensitivities!(Y, ws, data::FunctionData, p, t, how, window)
    N = ws.members
    said = zeros(size(data.y, 1), N)
    function_of_members!(said, data.values!, ws.trial, N)
    for k in axes(said, 1)
        π = data.weight[k, t, window]
        π > 0 || continue
        mean = sum(view(said, k, :)) / N
        isfinite(mean) || return false
        p += 1
        root = sqrt(π)
        ws.d[p] = root * (data.y[k, t, window] - mean)
        for j in 1:N
            Y[j, p] = root * (said[k, j] - mean)
        end
        Y[N+1:end, p] .= 0.0
    end
    return true
end

"The weights w of the analysis k, of p data, and the matrices G of T and of its inverse."
function weights!(ws, k, p)
    S = data_of(ws, k)
    C = view(ws.C, 1:p, 1:p)
    N⁻ = ws.members - 1
    BLAS.gemm!('T', 'N', 1 / N⁻, S, S, 0.0, C)
    U = eigenvectors!(view(ws.U, 1:p, 1:p), C)      # the eigenvalues are then C's diagonal
    G = view(ws.G, 1:p, 1:p, k)
    G′ = view(ws.G′, 1:p, 1:p)
    fill!(G, 0.0)
    fill!(G′, 0.0)
    w = view(ws.w, :, k)
    fill!(w, 0.0)
    @inbounds for e in 1:p
        s = sqrt(1 + max(C[e, e], 0.0))
        g = -1 / (s * (s + 1) * N⁻)
        g′ = 1 / ((s + 1) * N⁻)
        Uᵀd = 0.0
        for i in 1:p
            Uᵀd += U[i, e] * ws.d[i]
        end
        a = Uᵀd / (s^2 * N⁻)
        for i in 1:p
            for j in 1:p
                G[j, i] += U[j, e] * g * U[i, e]
                G′[j, i] += U[j, e] * g′ * U[i, e]
            end
            @simd for j in axes(S, 1)
                w[j] += a * U[i, e] * S[j, i]
            end
        end
    end
    return nothing
end

"The columns of S that belong to the observation time k."
@inline data_of(ws, k) = view(ws.S, :, ws.first[k]:ws.first[k+1]-1)

"The V of the observation time k."
@inline reflection(ws, k) = view(ws.V, :, :, mod1(k, size(ws.V, 3)))

"    apply_symmetric!(ws, z, S, G) -> z + S G Sᵀ z in place of z"
function apply_symmetric!(ws, z, S, G)
    (p, columns) = (size(S, 2), size(z, 2))
    a = view(ws.SᵀZ, 1:p, 1:columns)
    b = view(ws.GSᵀZ, 1:p, 1:columns)
    BLAS.gemm!('T', 'N', 1.0, S, z, 0.0, a)
    BLAS.gemm!('N', 'N', 1.0, G, a, 0.0, b)
    BLAS.gemm!('N', 'N', 1.0, S, b, 1.0, z)
    return z
end

"    transform!(ws, Z, columns, k) -> Z with ΩₖTₖ applied to its first columns"
function transform!(ws, Z, columns, k)
    without_mixing!(ws, Z, columns, k)
    size(ws.V, 2) > 0 || return Z
    z = view(Z, :, 1:columns)
    V = reflection(ws, k)
    c = view(ws.VᵀZ, :, 1:columns)
    BLAS.gemm!('T', 'N', 1.0, V, z, 0.0, c)
    BLAS.gemm!('N', 'N', -2.0, V, c, 1.0, z)
    return Z
end

"    without_mixing!(ws, Z, columns, k) -> Z with Tₖ applied to its first columns"
function without_mixing!(ws, Z, columns, k)
    S = data_of(ws, k)
    p = size(S, 2)
    apply_symmetric!(ws, view(Z, :, 1:columns), S, view(ws.G, 1:p, 1:p, k))
    return Z
end
