"""The variance of the observation errors, estimated from the observations themselves.

The maximum of the likelihood is found by expectation and maximisation (Shumway & Stoffer 1982): an
analysis with the present R gives x and its spread σ, and the next R is the expected squared error

    R ← mean of w ((y - x)² + σ²)

over the data, whose weights w are 1 where R belongs to all of them alike. A window is left out when
it has four times the error of the usual one: it may be in a wrong minimum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.block_task import Backgrounds, BlockTask
from pyvda.errors import InputError
from pyvda.methods import Options
from pyvda.names import Status
from pyvda.progress import silent
from pyvda.settings import OBSERVATION_VARIANCE

_WINDOWS = 256
_ROUNDS, _CLOSE = 12, 2e-3  # iterations at most, and the relative change that ends them
_UNUSUAL = 4.0
_FIRST = 0.02  # of the variance of the observations


def of_options(options: Options) -> dict[str, float]:
    """Return the option `observation_variance` of a method."""
    return {OBSERVATION_VARIANCE: getattr(options, OBSERVATION_VARIANCE)}


def with_estimate(
    task: BlockTask, windows: xr.Dataset, own: Backgrounds | None = None
) -> BlockTask:
    """Return the task with R estimated from the windows that it is for.

    Raises
    ------
    InputError
        Windows have backgrounds of their own.
    """
    if own is not None:
        raise InputError(
            "observation_variance is estimate, which needs windows that are independent of each "
            "other, but their backgrounds are an earlier analysis; give a number"
        )

    def with_variance(R: float) -> BlockTask:
        return replace(task, options=task.options.model_copy(update={OBSERVATION_VARIANCE: R}))

    def assimilated(sample: xr.Dataset, R: float) -> xr.Dataset:
        return replace(with_variance(R), history=False, report=silent)(sample)

    return with_variance(estimated(assimilated, windows, task.known_variance))


def estimated(
    assimilated: Callable[[xr.Dataset, float], xr.Dataset],
    windows: xr.Dataset,
    first: float | None = None,
) -> float:
    """Return R of a datum with weight 1.

    Parameters
    ----------
    assimilated : callable
        Of windows in memory and R to their analysis, with `state_stdev`.
    windows : Dataset
        `observation` (window, time, state); up to 256 of the windows are used.
    first : float, optional
        R to start from. Default: a fiftieth of the variance of the observations.

    Raises
    ------
    InputError
        No window has an analysis.
    """
    count = windows.sizes[names.WINDOW]
    chosen = np.unique(np.linspace(0, count - 1, min(count, _WINDOWS)).astype(int))
    sample = windows.isel({names.WINDOW: chosen}).load()
    y = sample[names.OBSERVATION].transpose(*names.DIMENSIONS).values
    weight = np.ones_like(y)
    if names.OBSERVATION_ERROR in sample:
        square = sample[names.OBSERVATION_ERROR].transpose(*names.DIMENSIONS).values ** 2
        weight = np.nanmean(np.where(np.isfinite(y), square, np.nan)) / square
    R = _FIRST * float(np.nanvar(y)) if first is None else first
    for _ in range(_ROUNDS):
        analysis = assimilated(sample, R)
        d = analysis[names.INNOVATION].transpose(*names.DIMENSIONS).values  # of the data in use
        square = weight * (d**2 + analysis[names.STATE_STDEV].values ** 2)
        usable = ~analysis[names.STATUS].isin([int(Status.DIVERGED), int(Status.NO_OBSERVATIONS)])
        with np.errstate(invalid="ignore"):
            each = np.nansum(square, (1, 2)) / np.isfinite(square).sum((1, 2))
        each = np.where(usable.values & np.isfinite(each), each, np.nan)
        if not np.isfinite(each).any():
            raise InputError(
                "observation_variance is estimate, but no window has an analysis from which it "
                "could be estimated; give a number"
            )
        kept = each <= _UNUSUAL * np.nanmedian(each)
        before, R = R, float(np.nansum(square[kept]) / np.isfinite(square[kept]).sum())
        if abs(R - before) < _CLOSE * R:
            break
    return R
