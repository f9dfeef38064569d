# The weak-constraint cost whose control is the states at nodes, every n-th step; between nodes the
# model is exact (multiple shooting):
#
#     J = ½ (x₁ - b)ᵀ B⁻¹ (x₁ - b) + ½ Σ c (x(t) - y(t))² + ½ Σₖ rₖᵀ w rₖ,     rₖ = xₖ₊₁ - M(xₖ).
#
# The weight w of the model is a number, 1/q, or a matrix, the inverse Q⁻¹ of a model-error covariance.
# With a node at every step, c = 2λ₁ mask / number of observations, w = 2λ₂/n and no background it
# is exactly the cost (4); with c = 1/R and w = 1/q it is the logarithm of a posterior density.
# Its Gauss-Newton Hessian is block-tridiagonal: with the Jacobian Mₖ of a segment,
#
#     Aₖₖ = [k = 1: B⁻¹, else w] + Σ c Mᵢᵀ Mᵢ + Mₖᵀ w Mₖ,     Aₖ₊₁,ₖ = -w Mₖ.
#
# `SmallShooting` (small_shooting.jl) holds the windows of a small model in lanes, `LargeShooting`
# (large_shooting.jl) one window; both have `cost_at`, `linearise!`, `newton_step!`, `trajectory!` and `variances!`.

"Settings of the cost, the same for every window."
struct ShootingCost
    every::Int                      # model steps between two nodes
    substeps::Int                   # steps of the scheme per model step
    h::Float64                      # length of a step of the scheme
    precision::Matrix{Float64}      # B⁻¹, zeros without a background
end

"    nodes(T, every) -> the steps that are nodes"
nodes(T, every) = 1:every:T
"    segment_end(k, K, T, every) -> the last step whose observations belong to node k"
@inline segment_end(k, K, T, every) = k < K ? k * every : T
