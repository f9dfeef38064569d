"""Build the torch modules of an architecture, Φ and Γ with random weights, for a model's state."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pyvda import priors, solvers
from pyvda.learned.architecture import GENN, ODE, AutoEncoder, Section
from pyvda.learned.description import Pattern
from pyvda.models import in_torch
from pyvda.models.symmetry import Rotation
from pyvda.solvers import Solver


def build_prior(section: Section, pattern: Pattern) -> nn.Module:
    """Return Φ as configured, in physical units for ODE priors, else in normalised ones."""
    model = pattern.dynamics()
    layout = _layout(pattern)
    if isinstance(section, ODE):
        if section.kind == "bilinear-rk4":
            tendency: nn.Module = in_torch.bilinear(model.name, section.scale)
        else:
            tendency = in_torch.module_of(model)
        return priors.ODEPrior(
            tendency, pattern.time_step, "euler" if section.kind == "euler" else "rk4"
        )
    if isinstance(section, GENN):
        one = layout["dimension"] == 1
        features = section.features or (60 if one else 50)
        latent = section.latent or (30 if one else 50)
        common = {"width": section.width, "features": features, "latent": latent, **layout}
        if section.kind == "genn":
            return priors.GENN(**common, every=section.every)
        merge = section.merge if section.merge or one else 50
        return priors.TwoScaleGENN(**common, factors=section.factor, merge=merge)
    if isinstance(section, AutoEncoder):
        return priors.AutoEncoderPrior(
            **layout, width=section.width, features=section.features, code=section.code,
            factors=section.factor,
        )  # fmt: skip
    raise TypeError(f"no prior for a {type(section).__name__}")


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
