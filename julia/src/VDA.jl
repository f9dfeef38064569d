"""
    VDA

The classical half of pyvda: simulation of a dynamical model and weak-constraint 4D-Var with
hand-derived adjoints. It needs nothing but Julia (>= 1.5). Equation numbers are those of Fablet
et al., "End-to-end learning for variational data assimilation models and solvers".

The verbs, and the file where each is told:

    tendency, tangent_linear, adjoint              models/      eqs. (15), (16) and their derivatives
    step, step_tangent, step_adjoint               steps.jl     Euler (7) and Runge-Kutta 4 (8)
    simulate!                                      dormand_prince.jl   the truth, to a tolerance
    cost_gradient!                                 cost.jl      U of eqs. (2), (4) and its gradient
    descend!                                       descent.jl   FSGD, eq. (5)
    weak_constraint!                               weak_constraint.jl    Gauss-Newton on blocks
    strong_constraint!                             strong_constraint.jl  the model exact
    posterior_mean!                                posterior.jl  the limit, from a library
    ensemble_smoother!                             ensemble.jl   covariances from an ensemble
    residual_gradient!, residual_gradient_back!    residual_gradient.jl  of a learned prior, a GENN
    convolutions!, convolutions_back!              convolutions.jl  of a learned solver

How the parts combine. A model is written once, for one window, in plain arithmetic. What a number
is decides what is computed: `Float64` is one window, `Lanes` (lanes.jl) are the 8 or 16 windows
that 64 bytes hold, and `Unfused` (unfused.jl) rounds after every operation, so that
a simulation gives the same bits on every machine. A small model (Lorenz-63) works on tuples that
stay in registers; a large one (Lorenz-96) works on vectors, one component at a time. Learned priors and
solvers are products of small matrices (panels.jl), whose lanes hold channels in place of windows.

Arrays that come from outside are `(state, time, window)` in Julia's order, which is C's
`(window, time, state)`; blocks.jl moves them to lanes and back. `boundary.jl` and `learned_boundary.jl` are
what Python calls, and precompile.jl runs both once while the package is compiled.
"""
module VDA

export Lorenz63, Lorenz96, Euler, RungeKutta4
export tendency, tangent_linear, adjoint, step, step_tangent, step_adjoint
export simulate!, cost_gradient!, descend!

include("lanes.jl")
include("unfused.jl")
include("models/model.jl")
include("models/lorenz63.jl")
include("models/lorenz96.jl")
include("models/with_parameters.jl")
include("steps.jl")
include("segment.jl")
include("dormand_prince.jl")
include("points.jl")
include("blocks.jl")
include("cost.jl")
include("descent.jl")
include("lane_matrix.jl")
include("block_tridiagonal.jl")
include("shooting.jl")
include("weak_constraint.jl")
include("ensemble.jl")
include("posterior.jl")
include("strong_cost.jl")
include("strong_constraint.jl")
include("objectives.jl")
include("panels.jl")
include("genn.jl")
include("heads.jl")
include("cells.jl")
include("residual_gradient.jl")
include("convolutions.jl")
include("boundary.jl")
include("learned_boundary.jl")
include("precompile.jl")

end
