"""The torch engine: the same verbs by autograd, for machines without Julia, and to check Julia by.

Each verb is written as plainly as torch allows and batched over windows. It shares no code with the
Julia engine, and comes to the same numbers.
"""

from __future__ import annotations

import torch

from pyvda.engine.data import EngineInfo
from pyvda.engine.torch import (
    cost,
    ensemble_smoother,
    letkf,
    linearised_runs,
    objectives,
    one_step,
    optimal_interpolation,
    posterior_mean,
    simulate,
    strong_constraint,
    weak_constraint,
)


class TorchEngine:
    """Numerics in torch, on the CPU."""

    def __init__(self, reason: str) -> None:
        self.info = EngineInfo("torch", "torch", torch.__version__, torch.get_num_threads(), reason)

    # What `Engine` states, a file for each group. From the line where a name is bound on, it hides
    # the module of that name.
    simulate = staticmethod(simulate.simulate)
    forecast = staticmethod(one_step.forecast)
    tangent_linear = staticmethod(one_step.tangent_linear)
    adjoint = staticmethod(one_step.adjoint)
    forecast_with_parameters = staticmethod(one_step.forecast_with_parameters)
    tangent_linear_with_parameters = staticmethod(one_step.tangent_linear_with_parameters)
    adjoint_with_parameters = staticmethod(one_step.adjoint_with_parameters)
    run = staticmethod(linearised_runs.run)
    tangent_run = staticmethod(linearised_runs.tangent_run)
    adjoint_run = staticmethod(linearised_runs.adjoint_run)
    workspace_bytes = staticmethod(linearised_runs.workspace_bytes)
    descend = staticmethod(cost.descend)
    observed = staticmethod(cost.observed)
    cost = staticmethod(cost.cost)
    weak_constraint = staticmethod(weak_constraint.weak_constraint)
    shooting_objective = staticmethod(objectives.shooting_objective)
    trajectories = staticmethod(strong_constraint.trajectories)
    strong_constraint = staticmethod(strong_constraint.strong_constraint)
    strong_objective = staticmethod(objectives.strong_objective)
    ensemble_smoother = staticmethod(ensemble_smoother.ensemble_smoother)
    local_analyses = staticmethod(letkf.local_analyses)
    best_starts = staticmethod(posterior_mean.best_starts)
    posterior_mean = staticmethod(posterior_mean.posterior_mean)
    interpolation_derivatives = staticmethod(optimal_interpolation.interpolation_derivatives)
    optimal_interpolation = staticmethod(optimal_interpolation.optimal_interpolation)
