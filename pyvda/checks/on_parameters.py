"""Checks of the derivatives of a step with respect to the parameters of the model."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from pyvda.checks.derivative_check import Check, agreement, not_run, step_checks
from pyvda.checks.derivatives import EPS
from pyvda.engine import CostSettings, Engine
from pyvda.engine.interface import Array
from pyvda.engine.julia.engine import JuliaEngine
from pyvda.models.in_torch import module_of
from pyvda.models.model import Model
from pyvda.priors.ode import ODEPrior

_NAMES = (
    "parameters, by differences",
    "parameters, adjoint in ulps",
    "parameters, torch autograd",
)
_SPREAD = 0.1  # relative spread of the parameters, which differ from state to state


def parameter_checks(
    engine: Engine, model: Model, settings: CostSettings, x: Array, seed: int
) -> list[Check]:
    """Check a step's derivatives by state and parameters; without Julia, list them as not run.

    Parameters
    ----------
    x : (W, T, D)
        States at which to check, each with its own parameters around the model's.
    """
    names = [f"julia {settings.scheme}: {name}" for name in _NAMES]
    if not isinstance(engine, JuliaEngine):
        return not_run(names, engine)
    rng = np.random.default_rng([seed, 5])
    own = np.array(model.parameters)
    size = np.maximum(np.abs(own), 1.0)
    theta = own + _SPREAD * size * rng.standard_normal((*x.shape[:2], len(own)))
    z = np.concatenate([x, theta], axis=2)
    # A direction of the parameters alone, since the state's part may hide their errors.
    alone = np.concatenate([np.zeros_like(x), rng.standard_normal(theta.shape)], axis=2)
    chosen = z.reshape(-1, z.shape[2]), alone.reshape(-1, z.shape[2])
    by_hand = engine.tangent_linear_with_parameters(model, settings, *chosen)[:, : model.state_size]
    return [
        *step_checks(
            (names[0], names[1]),
            partial(engine.forecast_with_parameters, model, settings),
            partial(engine.tangent_linear_with_parameters, model, settings),
            partial(engine.adjoint_with_parameters, model, settings),
            z,
            alone,
            seed,
            second="parameters alone",
        ),
        agreement(
            names[2],
            {"tangent linear": (by_hand, _by_autograd(model, settings, *chosen))},
            EPS,
            float(np.abs(x).max()),
        ),
    ]


def _by_autograd(model: Model, settings: CostSettings, z: Array, dz: Array) -> Array:
    """Return the tangent linear of a step in torch, (n, D)."""
    tendency = module_of(model)

    def step(x: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
        """Step one state (D,), of which each parameter is a number: a model may be of fields."""
        own = dict(zip(model.parameter_names, theta.unbind(), strict=True))
        return ODEPrior(
            lambda state: torch.func.functional_call(tendency, own, (state,)),
            settings.time_step,
            settings.scheme,
        ).step(x)

    def tangent_linear(*parts: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = torch.func.jvp(step, parts[:2], parts[2:])[1]
        return found

    def parts(array: Array) -> tuple[torch.Tensor, ...]:
        state, parameters = np.split(array, [model.state_size], axis=1)
        return torch.as_tensor(state), torch.as_tensor(parameters)

    return np.asarray(torch.func.vmap(tangent_linear)(*parts(z), *parts(dz)).numpy())
