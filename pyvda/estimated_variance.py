"""Error statistics of the observations, estimated from the observations themselves.

The maximum of the likelihood is found by expectation and maximisation (Shumway & Stoffer 1982): an
analysis with the present R and bias b gives x and its spread σ, and the next ones are

    b ← mean of y - x,    R ← mean of w ((y - b - x)² + σ²)

over the data, whose weights w are 1 where R belongs to all of them alike. b is that of a component,
R that of all data, of a variable or of a component. A window is left out when it has four times the
error of the usual one: it may be in a wrong minimum.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.block_task import Backgrounds, BlockTask
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.methods import Options
from pyvda.models.model import Model
from pyvda.names import Status
from pyvda.notices import notice
from pyvda.progress import silent
from pyvda.settings import BY_COMPONENT, BY_VARIABLE, OBSERVATION_VARIANCE
from pyvda.state.windows import windows_across

_WINDOWS = 256
_ROUNDS, _CLOSE = 16, 2e-3  # iterations at most, and the relative change that ends them
_UNUSUAL = 4.0
_FIRST = 0.02  # of the variance of the observations
_ENOUGH = 30  # data, whose variance is known well enough


@dataclass(frozen=True)
class ErrorStatistics:
    """Estimated mean and variance of the observation errors.

    Attributes
    ----------
    variance : (D,)
        R of a datum of each component with weight 1.
    bias : (D,)
        Mean of observation minus truth.
    """

    variance: Array
    bias: Array

    def attributes(self, kind: str | None, *, bias: bool) -> dict[str, str]:
        """Return the attributes of an analysis for what its options do not record."""
        found = {}
        if kind in (BY_COMPONENT, BY_VARIABLE):
            found["pyvda_observation_variance"] = json.dumps(self.variance.tolist())
        if bias:
            found["pyvda_observation_bias"] = json.dumps(self.bias.tolist())
        return found


def of_options(options: Options) -> dict[str, float]:
    """Return the option `observation_variance` of a method, where it has been estimated."""
    R = getattr(options, OBSERVATION_VARIANCE, None)
    return {} if R is None else {OBSERVATION_VARIANCE: R}


def with_estimate(
    task: BlockTask,
    windows: xr.Dataset,
    own: Backgrounds | None = None,
    *,
    kind: str | None = None,
    bias: bool = False,
) -> tuple[BlockTask, xr.Dataset, ErrorStatistics]:
    """Return the task with R estimated from the windows that it is for, and the windows.

    Parameters
    ----------
    kind : str, optional
        One of the words of `pyvda.settings` for `observation_variance`; None: R is known.
    bias : bool
        Whether the bias is estimated, and subtracted from the windows.

    Raises
    ------
    InputError
        Windows have backgrounds of their own; observations are not of components at analysis
        times; or no window has an analysis.
    """
    if own is not None:
        raise InputError(
            "the errors of the observations are to be estimated, which needs windows that are "
            "independent of each other, but their backgrounds are an earlier analysis; give "
            "observation_variance as a number, and no estimate of the bias"
        )
    others = [n for n in names.OTHER_OBSERVATIONS if n in windows]
    if others:
        raise InputError(
            "the errors of the observations can be estimated from observations of components at "
            f"the analysis times only, but the file has others ({others[0]}); give "
            "observation_variance as a number, and no estimate of the bias"
        )
    groups = _groups(kind, task.choice.model)

    def posed(part: xr.Dataset, found: ErrorStatistics) -> tuple[BlockTask, xr.Dataset]:
        if bias:
            part = part.assign({names.OBSERVATION: part[names.OBSERVATION] - _along(found.bias)})
        if kind is None:
            return task, part
        if len(np.unique(groups)) == 1:
            R = float(found.variance[0])
            options = task.options.model_copy(update={OBSERVATION_VARIANCE: R}).for_variance(R)
            return replace(task, options=options), part
        square = _relative(part, task.variance) * _along(found.variance)
        reference = float(found.variance.mean())
        options = task.options.for_variance(reference)
        known = replace(task, options=options, variance=reference, known_variance=reference)
        error = xr.zeros_like(part[names.OBSERVATION]) + np.sqrt(square)  # in the same chunks
        return known, part.assign({names.OBSERVATION_ERROR: error})

    def assimilated(sample: xr.Dataset, found: ErrorStatistics) -> xr.Dataset:
        one, sample = posed(sample, found)
        return replace(one, history=False, report=silent)(sample)

    given = getattr(task.options, OBSERVATION_VARIANCE, None)
    first = task.known_variance if given is None else given
    found = estimated(
        assimilated, windows, first, groups=groups, reference=task.variance,
        bias=bias, variance=kind is not None,
    )  # fmt: skip
    return *posed(windows, found), found


def estimated(
    assimilated: Callable[[xr.Dataset, ErrorStatistics], xr.Dataset],
    windows: xr.Dataset,
    first: float | None = None,
    *,
    groups: Array | None = None,
    reference: float | None = None,
    bias: bool = False,
    variance: bool = True,
) -> ErrorStatistics:
    """Return the error statistics of the observations of windows.

    Parameters
    ----------
    assimilated : callable
        Maps windows in memory and error statistics to their analysis, with `state_stdev` where
        `variance` is estimated.
    windows : Dataset
        `observation` (window, time, state); up to 256 of the windows are used.
    first : float, optional
        R to start from. Default: a fiftieth of the variance of the observations.
    groups : (D,) int, optional
        Components that share R. Default: all do.
    reference : float, optional
        Error variance of a datum with weight 1, where the windows have `observation_error`.
        Default: its mean.
    bias, variance : bool
        Whether it is estimated; else it is 0 and `first`.

    Raises
    ------
    InputError
        No window has an analysis.
    """
    sample = windows_across(windows, _WINDOWS)
    y = sample[names.OBSERVATION].transpose(*names.DIMENSIONS).values
    size = y.shape[2]
    groups = np.zeros(size, int) if groups is None else groups
    relative = _relative(sample, reference).broadcast_like(sample[names.OBSERVATION])
    weight = 1 / np.asarray(relative.transpose(*names.DIMENSIONS).values)
    R = _FIRST * float(np.nanvar(y)) if first is None else first
    found = ErrorStatistics(np.full(size, R), np.zeros(size))
    for _ in range(_ROUNDS):
        analysis = assimilated(sample, found)
        d = analysis[names.INNOVATION].transpose(*names.DIMENSIONS).values  # of the data in use
        square = weight * d**2
        if variance:
            square = square + weight * analysis[names.STATE_STDEV].values ** 2
        kept = _usual(analysis, square / found.variance)
        square, d = square[kept], d[kept]
        before = found
        if variance:
            R_of = {g: _mean(square[..., groups == g], before.variance[groups == g]) for g in
                    np.unique(groups)}  # fmt: skip
            found = replace(found, variance=np.array([R_of[g] for g in groups]))
        if bias:
            means = np.array([_mean(d[..., k], 0.0) for k in range(size)])
            found = replace(found, bias=found.bias + means)
        change = np.abs(found.variance - before.variance).max(initial=0.0)
        move = np.abs(found.bias - before.bias) / np.sqrt(found.variance)
        if change < _CLOSE * found.variance.min() and move.max(initial=0.0) < _CLOSE:
            break
    if variance:
        _notice_too_large(found.variance, y, groups)
    return found


def _notice_too_large(variance: Array, y: Array, groups: Array) -> None:
    """Say where errors vary by more than the observations, which independent errors cannot."""
    for g in np.unique(groups):
        data, R = y[..., groups == g], variance[groups == g][0]
        data = data[np.isfinite(data)]
        if len(data) >= _ENOUGH and (total := float(np.var(data))) < R:
            notice(
                f"the estimated variance of the observation errors is {R:.3g}, but that of the "
                f"observations is {total:.3g}: the analysis does not follow them, and the estimate "
                "is wrong; choose another method, or give observation_variance as a number"
            )


def _usual(analysis: xr.Dataset, square: Array) -> Array:
    """Return which windows have an analysis and no more than four times the usual error, (W,)."""
    lost = analysis[names.STATUS].isin([int(Status.DIVERGED), int(Status.NO_OBSERVATIONS)])
    with np.errstate(invalid="ignore"):
        each = np.nansum(square, (1, 2)) / np.isfinite(square).sum((1, 2))
    each = np.where(~lost.values & np.isfinite(each), each, np.nan)
    if not np.isfinite(each).any():
        raise InputError(
            "the errors of the observations are to be estimated, but no window has an analysis "
            "from which they could be; give observation_variance as a number"
        )
    return np.asarray(each <= _UNUSUAL * np.nanmedian(each))


def _mean(values: Array, otherwise: Any) -> float:
    """Return the mean of what is finite; without any, the mean of `otherwise`."""
    there = np.isfinite(values)
    return float(values[there].mean()) if there.any() else float(np.mean(otherwise))


def _relative(part: xr.Dataset, reference: float | None) -> xr.DataArray:
    """Return the stated error variance of each datum over a reference; 1 where none is stated."""
    if names.OBSERVATION_ERROR not in part:
        return xr.DataArray(1.0)
    square = part[names.OBSERVATION_ERROR] ** 2
    if reference is None:
        reference = float(square.where(part[names.OBSERVATION].notnull()).mean())
    return square / reference


def _along(values: Array) -> xr.DataArray:
    return xr.DataArray(values, dims=names.STATE)


def _groups(kind: str | None, model: Model) -> Array:
    """Return which components share R, (D,) int."""
    space = model.state_space
    if kind == BY_COMPONENT or (kind == BY_VARIABLE and space is None):
        return np.arange(model.state_size)
    if kind == BY_VARIABLE and space is not None:
        sizes = [variable.size for variable in space.variables]
        return np.repeat(np.arange(len(sizes)), sizes)
    return np.zeros(model.state_size, int)
