"""
    VDA

The classical half of pyvda: dynamical models, their simulation, and variational and ensemble data
assimilation with hand-derived adjoints. It needs nothing but Julia (>= 1.5). Equation numbers are
those of Fablet et al., "End-to-end learning for variational data assimilation models and solvers".

| verb                                      | file                           | what it does                              |
|:------------------------------------------|:-------------------------------|:------------------------------------------|
| tendency, tangent_linear, adjoint         | models/model.jl, models/zoo/   | a model and its derivatives               |
| step, step_tangent, step_adjoint          | schemes/steps.jl               | Euler (7), Runge-Kutta 4 (8)              |
| simulate!                                 | schemes/dormand_prince.jl      | a trajectory to a tolerance               |
| verdict                                   | models/verdict.jl              | are a model's derivatives right           |
| cost_gradient!                            | cost/weak_constraint_cost.jl   | U of (2), (4) and its gradient            |
| descend!                                  | methods/descent.jl             | fixed-step gradient descent (FSGD), (5)   |
| weak_constraint!                          | methods/weak_constraint.jl     | Gauss-Newton on blocks in time            |
| run!, tangent_run!, adjoint_run!          | methods/linearised_runs.jl     | a run, its tangent linear and adjoint     |
| strong_constraint!                        | methods/strong_constraint.jl   | the model exact, the control its start    |
| ensemble_smoother!                        | methods/ensemble_smoother.jl   | covariances from an ensemble              |
| local_analyses!                           | methods/letkf.jl               | an ensemble analysis around each point    |
| misfits!                                  | methods/library.jl             | which states of a library fit the data    |
| posterior_mean!                           | methods/posterior_mean.jl      | the posterior, from a library of states   |
| interpolate!                              | methods/optimal_interpolation.jl | a field from its nearest data           |
| differentiate!                            | methods/interpolation_derivatives.jl | its derivatives by the constants    |
| residual_gradient!, ..._back!             | learned/residual_gradient.jl   | of a learned prior (GENN)                 |
| convolutions!, convolutions_back!         | learned/convolutions.jl        | of a learned solver                       |

How the parts combine. A model is written once, for one window, in plain arithmetic; the type of the
numbers decides what is computed. `Float64` is one window; `Lanes` (numbers/lanes.jl) hold the 8 or 16
windows that fill 64 bytes; `Unfused` rounds after every operation, so that a simulation gives the same
bits on every machine; `Dual` carries derivatives along.

There are three kinds of models. A SmallModel (Lorenz-63) works on tuples that stay in registers. A
LargeModel (Lorenz-96) works on vectors, one component at a time. A VectorModel works on whole arrays of
Float64, one window at a time. Every method runs on all three.

Learned priors and solvers are products of small matrices (linalg/small_products.jl), whose lanes hold
channels in place of windows.

Arrays from outside are `(state, time, window)` in Julia's order, which is C's `(window, time, state)`;
cost/window_block.jl moves them to lanes and back. Python calls the functions of boundary/, where
registry.jl knows the models and signatures.txt the arguments of each function. precompile.jl runs
everything once while the package is compiled.
"""
module VDA

using LinearAlgebra: dot, norm
using Printf: @sprintf
using Random: MersenneTwister

export Euler, RungeKutta4
export tendency, tangent_linear, adjoint, step, step_tangent, step_adjoint
export simulate!, cost_gradient!, descend!

include("boundary/exceptions.jl")
include("threads.jl")
include("numbers/elementary.jl")
include("numbers/lanes.jl")
include("numbers/lane_functions.jl")
include("numbers/unfused.jl")
include("numbers/dual.jl")
include("models/model.jl")
include("models/fields.jl")
include("models/circle.jl")
include("models/missing_derivatives.jl")
include("linalg/small_products.jl")
include("linalg/sine_transform.jl")
include("linalg/helmholtz.jl")
for file in sort(readdir(joinpath(@__DIR__, "models", "zoo")))
    endswith(file, ".jl") && include(joinpath("models", "zoo", file))
end
include("schemes/steps.jl")
include("schemes/vector_steps.jl")
include("models/with_parameters.jl")
include("schemes/segment.jl")
include("schemes/dormand_prince.jl")
include("cost/function_observations.jl")
include("cost/point_observations.jl")
include("cost/window_block.jl")
include("cost/weak_constraint_cost.jl")
include("methods/descent.jl")
include("methods/linearised_runs.jl")
include("linalg/lane_matrix.jl")
include("linalg/lane_cholesky.jl")
include("linalg/block_tridiagonal.jl")
include("linalg/small_cholesky.jl")
include("linalg/symmetric_eigenvectors.jl")
include("linalg/lane_tridiagonal.jl")
include("cost/shooting.jl")
include("cost/small_shooting.jl")
include("cost/large_shooting.jl")
include("methods/weak_constraint.jl")
include("methods/ensemble_members.jl")
include("methods/ensemble_analysis.jl")
include("methods/ensemble_smoother.jl")
include("methods/letkf.jl")
include("methods/library.jl")
include("methods/posterior_mean.jl")
include("methods/best_starts.jl")
include("cost/strong_constraint_cost.jl")
include("methods/strong_constraint.jl")
include("methods/trajectories.jl")
include("cost/objectives.jl")
include("methods/nearest_data.jl")
include("methods/optimal_interpolation.jl")
include("methods/interpolation_derivatives.jl")
include("learned/genn.jl")
include("learned/heads.jl")
include("learned/genn_cells.jl")
include("learned/residual_gradient.jl")
include("learned/convolutions.jl")
include("boundary/kernel_functions.jl")
include("boundary/registry.jl")
include("models/verdict.jl")
include("boundary/boundary.jl")
include("boundary/models.jl")
include("boundary/methods.jl")
include("boundary/observation_function.jl")
include("boundary/fields.jl")
include("boundary/learned.jl")
include("boundary/table.jl")
prepare_own_models()
include("precompile.jl")

end
