"""Score an analysis file against the truth of its twin experiment."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

from pyvda import names, scores
from pyvda.engine import get_engine
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.models.model import Model

INNER_STEPS = slice(20, 180)


def evaluate(
    analysis: xr.Dataset, truth: xr.Dataset, *, engine: str | None = None
) -> dict[str, Array]:
    """Return the scores of each window.

    Parameters
    ----------
    analysis : Dataset
        As `assimilate` makes it; the model and the time step are taken from its attributes.
    truth : Dataset
        `truth`, of the same shape as `analysis`.
    engine : str, optional
        Makes the forecasts Φ(x); see `pyvda.engine.get_engine`.

    Returns
    -------
    dict of (W,) arrays
        `r_score`, for windows of 200 steps also `r_score_steps_20_179`, `four_dvar_score`
        (λ₁ = 0.01, λ₂ = 1, every observation with weight 1) and `ode_score` (of the truth).

    Raises
    ------
    InputError
        When one of the files is not what it should be, or they do not belong together.
    """
    model, time_step = check(analysis, truth)
    x = _windows(analysis[names.ANALYSIS])
    true = _windows(truth[names.TRUTH])
    innovation = _windows(analysis[names.INNOVATION])
    observed = np.isfinite(innovation)
    running = get_engine(engine)

    def forecast(states: Array) -> Array:
        """Φ: step t from step t - 1; the first step predicts itself. NaN where the state is."""
        predicted = np.array(states)
        finite = np.isfinite(states).all((1, 2))
        predicted[finite, 1:] = running.forecast(model, states[finite, :-1], time_step=time_step)
        return predicted

    found = {"r_score": scores.r_score(x, true)}
    if x.shape[1] == 200:
        found["r_score_steps_20_179"] = scores.r_score(x, true, steps=INNER_STEPS)
    found["four_dvar_score"] = scores.four_dvar_score(
        x, x + innovation, observed.astype(float), forecast(x)
    )
    found["ode_score"] = scores.ode_score(true, forecast(true))
    return found


def check(analysis: xr.Dataset, truth: xr.Dataset) -> tuple[Model, float]:
    """Return the model and the time step of an analysis that can be scored by this truth.

    Raises
    ------
    InputError
        As `evaluate`.
    """
    for ds, name, hint in (
        (analysis, names.ANALYSIS, "`pyvda assimilate`"),
        (analysis, names.INNOVATION, "`pyvda assimilate`"),
        (truth, names.TRUTH, "`pyvda simulate`"),
    ):
        if name not in ds:
            raise InputError(f"the file has no variable {name!r}; give one made by {hint}")
    if truth[names.TRUTH].shape != analysis[names.ANALYSIS].shape:
        raise InputError(
            f"the truth has shape {truth[names.TRUTH].shape}, the analysis "
            f"{analysis[names.ANALYSIS].shape}; give the truth of the same windows"
        )
    return _model(analysis)


def _windows(array: xr.DataArray) -> Array:
    values = np.asarray(array.values, dtype=float)
    return values[None] if values.ndim == 2 else values


def _model(analysis: xr.Dataset) -> tuple[Model, float]:
    try:
        configuration = json.loads(analysis.attrs["pyvda_configuration"])
        described = configuration["model"] | {
            "parameters": tuple(configuration["model"]["parameters"])
        }
        return Model(**described), float(configuration["cost"]["time_step"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            "the file does not say with which model it was made (attribute pyvda_configuration); "
            "give one made by `pyvda assimilate`"
        ) from error
