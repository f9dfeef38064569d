"""Windows on which to check derivatives: a small twin experiment, or some of the user's file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr

from pyvda import names, twin, twin_observations
from pyvda.climate.climatology import LARGE
from pyvda.io.cf.time_step import model_time_step
from pyvda.io.tables import point_observations
from pyvda.models.model import Model
from pyvda.models.registry import presets
from pyvda.state import windows
from pyvda.state.batch import Batch

_WINDOWS, _STEPS, _SPINUP = 4, 40, 20.0
_LARGE_STEPS = 20  # of the window of a large state, and at most before it
_OWN_WINDOWS = 16


def twin_windows(model: Model, *, engine: str | None = None, seed: int = 0) -> Batch:
    """Return the observations of a small twin experiment: four windows, of a large state one."""
    if model.name in presets():
        preset = replace(presets()[model.name], model=model, steps=_STEPS, spinup=_SPINUP)
    else:
        preset = replace(twin.of_model(model), steps=_STEPS)
    large = model.state_size > LARGE
    if large:  # derivatives need smooth states, not the attractor, whose spin-up may take minutes
        spinup = min(preset.spinup, _LARGE_STEPS * model.time_step)
        preset = replace(preset, spinup=spinup, steps=_LARGE_STEPS)
    count = 1 if large else _WINDOWS
    truth = twin.simulate(preset, count, seed, engine=engine)
    mean = truth[names.TRUTH].mean((names.WINDOW, names.TIME)).values
    return windows.to_batch(twin_observations.observe(truth, preset, seed), mean)


def own_windows(
    observations: xr.Dataset,
    model: Model,
    *,
    window: int | None = None,
    time_step: float | None = None,
    engine: str | None = None,
) -> tuple[Batch, float]:
    """Return at most 16 windows, spread evenly over a file, and their time step.

    Parameters
    ----------
    observations : Dataset
        As `open_observations` returns it.
    model : Model
    window : int, optional
        Steps per window into which a series is cut. Default: the whole series.
    time_step : float, optional
        In model time units. Default: the spacing of a numerical time axis, else the model's own.

    Raises
    ------
    InputError
        When the size of the state differs from the model's, or `window` is given for observations
        that are windows already.
    """
    windows.check_state_size(observations, model.state_size, model.name)
    observations = point_observations.located(observations)
    observations, _ = windows.in_windows(observations, window)
    step = model_time_step(observations, time_step, model, usual=True)
    variance = windows.reference_variance(observations)
    count = observations.sizes[names.WINDOW]
    chosen = np.unique(np.linspace(0, count - 1, _OWN_WINDOWS).astype(int))
    some = observations.isel(window=chosen).drop_vars(names.TRUTH, errors="ignore").load()
    # Only components without observations use the mean, so an approximate one is good enough.
    mean = twin_windows(model, engine=engine).first_guess.mean((0, 1))
    return windows.to_batch(some, np.asarray(mean), variance), step
