# The analysis of strong-constraint 4D-Var and its spread: the trajectory from each control, and the standard
# deviations propagated along it by the tangent linear.

"""
    trajectories!(x, stdev, x₀, H, scheme, m, h, lead)

Compute the trajectory of each window from its minimum, and its standard deviations: with H⁻¹ = CCᵀ
the covariance at a step is (𝚽C)(𝚽C)ᵀ. The deviations are NaN where H is not positive definite.

- `x`, `stdev`: `(state, time, window)`, out
- `x₀`, `H`: `(state, window)`, `(state, state, window)`
"""
function trajectories!(x, stdev, x₀, H, scheme, m::SmallModel, h, lead)
    D, T, windows = size(x)
    each_block(lanes_for(Float64), windows) do ranges
        N = lanes_for(Float64)
        (states, spread) = (zeros(N, D, T), zeros(N, D, T))
        (from, C) = (zeros(N, D, 1), zeros(N, D, D))
        for range in ranges
            for (l, w) in enumerate(range)
                root = root_of_inverse(view(H, :, :, w))
                GC.@preserve from C begin
                    unsafe_scalars(from)[l, :, 1] .= view(x₀, :, w)
                    unsafe_scalars(C)[l, :, :] .= root
                end
            end
            columns = ntuple(j -> column(C, j, size_of(m)), size_of(m))
            follow!(states, spread, column(from, 1, size_of(m)), columns, scheme, m, h, lead)
            scatter!(x, states, range)
            scatter!(stdev, spread, range)
        end
    end
    return x
end

function follow!(x, stdev, state::NTuple{D,Any}, columns, scheme, m, h, lead) where {D}
    state, columns = segment(scheme, m, state, columns, h, lead)
    for t in axes(x, 2)
        @inbounds for i in 1:D
            x[i, t] = state[i]
            s = zero(state[i])
            for j in 1:D
                s = muladd(columns[j][i], columns[j][i], s)
            end
            stdev[i, t] = sqrt(s)
        end
        state, columns = advance(scheme, m, state, columns, h)
    end
    return nothing
end

function trajectories!(x, stdev, x₀, H, scheme, m::ArrayModel, h, lead)
    windows = size(x, 3)
    threads = threads_for(windows)
    in_threads(threads) do k
        ws = SegmentWorkspace(m)
        for w in k:threads:windows
            start!(ws, view(x₀, :, w))
            C = root_of_inverse(view(H, :, :, w))
            for j in axes(C, 2), i in axes(C, 1)
                ws.transposed[j, i] = C[i, j]
            end
            segment!(ws, scheme, m, h, lead)
            for t in axes(x, 2)
                for i in axes(x, 1)
                    x[i, t, w] = ws.x[i]
                    stdev[i, t, w] = sqrt(sum(abs2, view(ws.transposed, :, i)))
                end
                advance!(ws, scheme, m, h)
            end
        end
    end
    return x
end

"C with CCᵀ = H⁻¹; NaN if H is not positive definite."
function root_of_inverse(H)
    D = size(H, 1)
    L = Matrix(H)
    C = zeros(D, D)
    cholesky_in_place!(L) || return fill!(C, NaN)
    for j in 1:D
        C[j, j] = 1
        backward!(view(C, :, j), L)
    end
    return C
end
