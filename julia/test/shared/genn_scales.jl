# Scales of a GENN with random weights, for the tests of their parts.

include("exceptions.jl")
using LinearAlgebra, Random, Test, VDA

const STEPS = 10
SCALES = (  # grid, features, latent (0: a quadratic head), factor
    (VDA.Grid(3, 5), 6, 4, 1), (VDA.Grid(2, 3), 7, 0, 3), (VDA.Grid(1, 3, 8, 5, true), 5, 2, 4), (VDA.Grid(1, 5, 4, 3, false), 9, 3, 3),
)

function scale(memory, grid, features, latent, factor)
    y = grid.channels * factor
    W = randn(grid.channels * grid.taps * grid.across, features)
    S = randn(features, features, y)
    symmetric = reshape(S + permutedims(S, (2, 1, 3)), features, :)
    (M, O) = latent > 0 ? (randn(features, 2latent + y), randn(latent, y)) : (symmetric, randn(features, y))
    return VDA.Scale(memory, grid, factor, latent == 0, W, M, O), W, M, O
end
