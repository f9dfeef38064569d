"""
    VDA

The classical half of pyvda: simulation of a dynamical model and weak-constraint 4D-Var with
hand-derived adjoints. It needs nothing but Julia (>= 1.5). Equation numbers are those of Fablet
et al., "End-to-end learning for variational data assimilation models and solvers".

The verbs, and the file where each is told:

    tendency, tangent_linear, adjoint              models/      eqs. (15), (16) and their derivatives
    step, step_tangent, step_adjoint               schemes/steps.jl     Euler (7) and Runge-Kutta 4 (8)
    simulate!                                      schemes/dormand_prince.jl   the truth, to a tolerance
    cost_gradient!                                 cost/weak_constraint_cost.jl      U of eqs. (2), (4) and its gradient
    descend!                                       methods/descent.jl   FSGD, eq. (5)
    weak_constraint!                               methods/weak_constraint.jl    Gauss-Newton on blocks
    strong_constraint!                             methods/strong_constraint.jl  the model exact
    posterior_mean!                                methods/posterior_mean.jl  the limit, from a library
    ensemble_smoother!                             methods/ensemble_smoother.jl   covariances from an ensemble
    residual_gradient!, residual_gradient_back!    learned/residual_gradient.jl  of a learned prior, a GENN
    convolutions!, convolutions_back!              learned/convolutions.jl  of a learned solver

How the parts combine. A model is written once, for one window, in plain arithmetic. What a number
is decides what is computed: `Float64` is one window, `Lanes` (numbers/lanes.jl) are the 8 or 16 windows
that 64 bytes hold, and `Unfused` (numbers/unfused.jl) rounds after every operation, so that
a simulation gives the same bits on every machine. A small model (Lorenz-63) works on tuples that
stay in registers; a large one (Lorenz-96) works on vectors, one component at a time. Learned priors and
solvers are products of small matrices (linalg/small_products.jl), whose lanes hold channels in place of windows.

Arrays that come from outside are `(state, time, window)` in Julia's order, which is C's
`(window, time, state)`; cost/window_block.jl moves them to lanes and back. `boundary/boundary.jl` and `boundary/learned.jl` are
what Python calls, and precompile.jl runs both once while the package is compiled.
"""
module VDA

export Lorenz63, Lorenz96, Euler, RungeKutta4
export tendency, tangent_linear, adjoint, step, step_tangent, step_adjoint
export simulate!, cost_gradient!, descend!

include("numbers/lanes.jl")
include("numbers/unfused.jl")
include("models/model.jl")
include("models/lorenz63.jl")
include("models/lorenz96.jl")
include("models/with_parameters.jl")
include("schemes/steps.jl")
include("schemes/segment.jl")
include("schemes/dormand_prince.jl")
include("cost/point_observations.jl")
include("cost/window_block.jl")
include("cost/weak_constraint_cost.jl")
include("methods/descent.jl")
include("linalg/lane_matrix.jl")
include("linalg/block_tridiagonal.jl")
include("linalg/small_cholesky.jl")
include("linalg/symmetric_eigenvectors.jl")
include("cost/shooting.jl")
include("methods/weak_constraint.jl")
include("methods/ensemble_smoother.jl")
include("methods/posterior_mean.jl")
include("methods/best_starts.jl")
include("cost/strong_constraint_cost.jl")
include("methods/strong_constraint.jl")
include("methods/trajectories.jl")
include("cost/objectives.jl")
include("linalg/small_products.jl")
include("learned/genn.jl")
include("learned/heads.jl")
include("learned/genn_cells.jl")
include("learned/residual_gradient.jl")
include("learned/convolutions.jl")
include("boundary/boundary.jl")
include("boundary/methods.jl")
include("boundary/learned.jl")
include("precompile.jl")

end
