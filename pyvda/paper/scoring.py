"""Scores of an analysis of test windows, under the known model and under a learned prior."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import pyvda
from pyvda import names, scores
from pyvda.engine.interface import Array
from pyvda.learned.description import read_description
from pyvda.learned.patterns import PatternWarning
from pyvda.progress import ProgressReport

_BLOCK = 64  # windows per call of a learned prior


def assimilated(
    observed: xr.Dataset,
    *,
    report: ProgressReport | None = None,
    warm_up: int = 0,
    **settings: Any,
) -> tuple[xr.Dataset, float]:
    """Return the analysis of test windows and the seconds it took.

    `settings` are those of `pyvda.assimilate`. Warnings about weights of another setting are
    suppressed, because the table says so. The first `warm_up` windows are assimilated before the
    clock starts, so that compiling and loading weights and libraries of states is not timed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PatternWarning)
        if warm_up:
            first = observed.isel(window=slice(0, warm_up))
            once = {name: v for name, v in settings.items() if name != "state"}
            pyvda.assimilate(first, **once)
        start = time.perf_counter()
        analysis = pyvda.assimilate(observed, report=report, **settings)
    return analysis, time.perf_counter() - start


def scored(
    analysis: xr.Dataset,
    truth: xr.Dataset,
    checkpoint: Path | None = None,
    engine: str | None = None,
) -> dict[str, Array]:
    """Return the scores of each window.

    Parameters
    ----------
    analysis, truth : Dataset
    checkpoint : path, optional
        The learned model that made the analysis.
    engine : str, optional

    Returns
    -------
    dict of (W,) arrays
        `r_score`, `r_score_steps_20_179`; `four_dvar_score` and `ode_score` under the method's own
        Φ, which for a classical method is the model's RK4 (a regression has none); the same two
        under RK4 as `four_dvar_score_rk4` and `ode_score_rk4`; for methods with a standard
        deviation `normalised_error`, the mean square of error over standard deviation, ideally 1.
    """
    found = pyvda.evaluate(analysis, truth, engine=engine)
    four_dvar, ode = found.pop("four_dvar_score"), found.pop("ode_score")
    if names.STATE_STDEV in analysis:
        error = analysis[names.ANALYSIS].values - truth[names.TRUTH].values
        ratio = error / analysis[names.STATE_STDEV].values
        found["normalised_error"] = np.mean(ratio**2, axis=(1, 2))
    known = {"four_dvar_score_rk4": four_dvar, "ode_score_rk4": ode}
    if checkpoint is None or own_prior(checkpoint) == "rk4":
        found |= {"four_dvar_score": four_dvar, "ode_score": ode}
    elif own_prior(checkpoint) is not None:
        forecast = _own_forecast(checkpoint)
        x, true = analysis[names.ANALYSIS].values, truth[names.TRUTH].values
        innovation = analysis[names.INNOVATION].values
        mask = np.isfinite(innovation).astype(float)
        found["four_dvar_score"] = scores.four_dvar_score(x, x + innovation, mask, forecast(x))
        found["ode_score"] = scores.ode_score(true, forecast(true))
    return found | known


def own_prior(checkpoint: Path) -> str | None:
    """Return the kind of Φ of a learned model; None for a regression, which has no Φ."""
    architecture = read_description(checkpoint).architecture
    return None if architecture.solver.kind == "regression" else str(architecture.prior.kind)


def _own_forecast(checkpoint: Path) -> Callable[[Array], Array]:
    """Return Φ of a learned model, on states (W, T, D) in physical units.

    In double precision, because a residual is a small difference of large numbers.
    """
    import torch

    from pyvda.learned.model import LearnedModel

    model = LearnedModel.load(checkpoint).double()

    def forecast(states: Array) -> Array:
        predicted = np.empty_like(states)
        for first in range(0, len(states), _BLOCK):
            block = slice(first, first + _BLOCK)
            with torch.no_grad():
                z = model.to_normalised(torch.as_tensor(states[block]))
                predicted[block] = model.to_physical(model.prior(z)).numpy()
        return predicted

    return forecast
