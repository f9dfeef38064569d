"""Build the torch modules of an architecture, Φ and Γ with random weights, for a model's state."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pyvda import priors, solvers
from pyvda.errors import InputError
from pyvda.learned.architecture import AutoEncoderSection, GENNSection, ODESection, Section
from pyvda.learned.description import Pattern
from pyvda.models import in_torch
from pyvda.models.model import Model, TorchSource
from pyvda.models.symmetry import Rotation
from pyvda.solvers import Solver


def build_prior(section: Section, pattern: Pattern, model: Model | None = None) -> nn.Module:
    """Return Φ as configured, in physical units for ODE priors, else in normalised ones.

    Parameters
    ----------
    section : Section
    pattern : Pattern
    model : Model, optional
        The dynamical model with its code, where it is not pyvda's own and Φ runs it.
    """
    layout = _layout(pattern)
    if isinstance(section, ODESection):
        return _ode_prior(section, pattern, pattern.runnable(model))
    if isinstance(section, GENNSection):
        one = layout["dimension"] == 1
        features = section.features or (60 if one else 50)
        latent = section.latent or (30 if one else 50)
        common = {"width": section.width, "features": features, "latent": latent, **layout}
        if section.kind == "genn":
            return priors.GENN(**common, every=section.every)
        merge = section.merge if section.merge or one else 50
        return priors.TwoScaleGENN(**common, factors=section.factor, merge=merge)
    if isinstance(section, AutoEncoderSection):
        return priors.AutoEncoderPrior(
            **layout, width=section.width, features=section.features, code=section.code,
            factors=section.factor,
        )  # fmt: skip
    raise TypeError(f"no prior for a {type(section).__name__}")


def _ode_prior(section: ODESection, pattern: Pattern, model: Model) -> nn.Module:
    if section.kind == "bilinear-rk4":
        return priors.ODEPrior(in_torch.bilinear(model.name, section.scale), pattern.time_step)
    if (section.kind == "step") != (model.kind == "step"):
        fitting = "step" if model.kind == "step" else "rk4 or euler"
        raise InputError(
            f"the prior is {section.kind}, and {model.name} is given by its {model.kind}; choose "
            f"the prior {fitting}"
        )
    if model.torch is None:
        raise InputError(
            f"{model.name} is written only in Julia, and the prior {section.kind} runs the model "
            "in torch; write it in a Python file (models.py:name), or choose the prior genn"
        )
    module = in_torch.module_of(model if pattern.own is None else _in_double(model, model.torch))
    scheme = "euler" if section.kind == "euler" else "rk4"
    return in_torch.prior_of(model, pattern.time_step, scheme, module)


def _in_double(model: Model, source: TorchSource) -> Model:
    """Return a user's model in double precision, as in its checks; states keep their precision.

    A module of the user's becomes a plain function, so that its weights are neither trained nor
    stored, and is differentiated automatically.
    """
    inner = getattr(source.function, "function", source.function)
    derivatives = (source.tangent_linear, source.adjoint)
    if isinstance(inner, nn.Module):
        derivatives = (None, None)
    found = [None if f is None else _InDouble(f) for f in (source.function, *derivatives)]
    return replace(model, torch=TorchSource(found[0], source.names, *found[1:]))  # type: ignore


class _InDouble:
    """A function of states (..., D) and perhaps perturbations, computed in double precision."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self.function = copy.deepcopy(function)

    def __call__(self, *states: Tensor, **fields: Any) -> Tensor:
        inner = getattr(self.function, "function", self.function)
        if isinstance(inner, nn.Module):
            inner.to(states[0].device)
        return self.function(*(x.double() for x in states), **fields).to(states[0])


def build_solver(section: Any, pattern: Pattern) -> Solver:
    """Return Γ as configured."""
    if section.kind == "regression":
        return _regression(section, pattern)
    if section.kind == "shooting":
        start = _regression(section.start, pattern)
        return solvers.ShootingSolver(start, section.stages, section.width, section.dilations)
    layout = _layout(pattern)
    if section.kind == "gradient-descent":
        return solvers.GradientDescent(section.step)
    kind = solvers.LSTMSolver if section.kind == "lstm" else solvers.ConvSolver
    solver = kind(**layout, hidden=section.hidden, width=section.width, every=section.every)
    with torch.no_grad():
        solver.update.weight.mul_(section.start)
    return solver


def _regression(section: Any, pattern: Pattern) -> solvers.Regression:
    return solvers.Regression(
        pattern.state_size, _layout(pattern)["dimension"], section.every or pattern.every,
        section.width, section.dilations,
    )  # fmt: skip


def _layout(pattern: Pattern) -> dict[str, Any]:
    """Return the layout for convolutions: components are channels, or a periodic axis of many."""
    if any(isinstance(s, Rotation) for s in pattern.dynamics().symmetries):
        return {"channels": 1, "dimension": 2, "periodic": True}
    return {"channels": pattern.state_size, "dimension": 1, "periodic": False}
