"""The torch engine: the same verbs by autograd, for machines without Julia, and to check Julia by.

Each verb is written as plainly as torch allows and batched over windows. It shares no code with the
Julia engine, and comes to the same numbers.
"""

from __future__ import annotations

import numpy as np
import torch

from pyvda.engine.interface import Array, CostSettings, EngineInfo, Scheme, checked
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
from pyvda.engine.torch.arrays import array, tensor
from pyvda.engine.torch.channels import listed
from pyvda.engine.torch.steps import Steps
from pyvda.models.model import Model
from pyvda.operators.points import Points


class TorchEngine:
    """Numerics in torch, on the CPU."""

    def __init__(self, reason: str) -> None:
        self.info = EngineInfo("torch", "torch", torch.__version__, torch.get_num_threads(), reason)

    # The methods' verbs, a file each.
    simulate = staticmethod(simulate.simulate)
    descend = staticmethod(cost.descend)
    cost = staticmethod(cost.cost)
    trajectories = staticmethod(strong_constraint.trajectories)
    strong_constraint = staticmethod(strong_constraint.strong_constraint)
    weak_constraint = staticmethod(weak_constraint.weak_constraint)
    ensemble_smoother = staticmethod(ensemble_smoother.ensemble_smoother)
    local_analyses = staticmethod(letkf.local_analyses)
    best_starts = staticmethod(posterior_mean.best_starts)
    posterior_mean = staticmethod(posterior_mean.posterior_mean)
    shooting_objective = staticmethod(objectives.shooting_objective)
    strong_objective = staticmethod(objectives.strong_objective)
    optimal_interpolation = staticmethod(optimal_interpolation.optimal_interpolation)
    run = staticmethod(linearised_runs.run)
    tangent_run = staticmethod(linearised_runs.tangent_run)
    adjoint_run = staticmethod(linearised_runs.adjoint_run)

    def observed(self, model: Model, settings: CostSettings, x: Array, points: Points) -> Array:
        """See `Engine.observed`."""
        windows, length, size = shape = (*np.shape(x)[:2], model.state_size)
        states = tensor(checked("x", x, shape, np.dtype(float)))
        data = listed(points, windows, size, length)
        if data is None:
            return np.zeros(points.step.shape)
        with torch.no_grad():
            return array(data.predicted(Steps(model, settings), states))

    def forecast(
        self, model: Model, x: Array, *, time_step: float, scheme: Scheme = "rk4"
    ) -> Array:
        """See `Engine.forecast`."""
        return one_step.forecast(Steps(model, _settings(time_step, scheme)), x)

    def tangent_linear(
        self, model: Model, x: Array, dx: Array, *, time_step: float, scheme: Scheme = "rk4"
    ) -> Array:
        """See `Engine.tangent_linear`."""
        return one_step.tangent_linear(Steps(model, _settings(time_step, scheme)), x, dx)

    def adjoint(
        self, model: Model, x: Array, v: Array, *, time_step: float, scheme: Scheme = "rk4"
    ) -> Array:
        """See `Engine.adjoint`."""
        return one_step.adjoint(Steps(model, _settings(time_step, scheme)), x, v)

    def forecast_with_parameters(self, model: Model, settings: CostSettings, z: Array) -> Array:
        """See `Engine.forecast_with_parameters`."""
        return one_step.forecast(Steps(model, settings, estimated=True), z)

    def tangent_linear_with_parameters(
        self, model: Model, settings: CostSettings, z: Array, dz: Array
    ) -> Array:
        """See `Engine.tangent_linear_with_parameters`."""
        return one_step.tangent_linear(Steps(model, settings, estimated=True), z, dz)

    def adjoint_with_parameters(
        self, model: Model, settings: CostSettings, z: Array, v: Array
    ) -> Array:
        """See `Engine.adjoint_with_parameters`."""
        return one_step.adjoint(Steps(model, settings, estimated=True), z, v)


def _settings(time_step: float, scheme: Scheme) -> CostSettings:
    return CostSettings(time_step, scheme=scheme)
