# The Kalman smoother without model error, as one dense regression on the first state.

using LinearAlgebra

"""
Mean, standard deviation and covariance at all steps for one window of a linear model with the matrix M of a step,
given at each step the data of the `lag` next observation times after the last one (0: all).
"""
function kalman_smoother(M, x̄, B, y, precision, lag)
    D, T = size(y)
    powers = [M^(t - 1) for t in 1:T]
    observed = findall(t -> any(>(0), precision[:, t]), 1:T)
    mean, stdev, covariance = zeros(D, T), zeros(D, T), [zeros(D, D) for _ in 1:T]
    for t in 1:T
        k = count(<=(t), observed)
        last = lag == 0 ? length(observed) : min(length(observed), k + lag)
        H = [precision[:, s] .> 0 for s in observed[1:last]]
        G = reduce(vcat, [powers[s][h, :] for (s, h) in zip(observed, H)], init = zeros(0, D))
        R = reduce(vcat, [1 ./ precision[h, s] for (s, h) in zip(observed, H)], init = zeros(0))
        d = reduce(vcat, [y[h, s] for (s, h) in zip(observed, H)], init = zeros(0)) - G * x̄
        gain = B * G' / (G * B * G' + Diagonal(R))
        P = powers[t] * (B - gain * G * B) * powers[t]'
        mean[:, t] = powers[t] * (x̄ + gain * d)
        stdev[:, t] = sqrt.(diag(P))
        covariance[t] = P
    end
    return mean, stdev, covariance
end
