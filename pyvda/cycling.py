"""Cycling: the end of an analysis is the background of the windows that follow.

    analysis = pyvda.assimilate(monday, model=model, method="gauss-newton", form="statistical")
    analysis = pyvda.assimilate(tuesday, model=model, method="gauss-newton", form="statistical",
                                background=analysis)

The background belongs to the first step of a window. Where the time axes say that this is later
than the last step of the analysis, mean and covariance are brought there by the model and its
tangent linear, P ← M P Mᵀ + Q for each step, as in the Kalman filter; members of an ensemble are
run by the model, each with noise of covariance Q. A method that has no ensemble takes the members'
mean and covariance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.climate.background import Background, ExpectedState, regularised
from pyvda.climate.background_of_analysis import (
    expect_made_by,
    is_analysis,
    of_analysis,
    states_of,
)
from pyvda.climate.background_option import get_background, is_name
from pyvda.climate.ensemble import CYCLE, Ensemble, ensembles_in
from pyvda.engine import CostSettings, Engine
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.io import netcdf
from pyvda.io.cf.layout import restacked
from pyvda.io.cf.times import steps_until
from pyvda.methods import Method, Options, Problem, Solution
from pyvda.models.model import Model
from pyvda.notices import notice

Start = Background | Ensemble | ExpectedState
"""The prior of the first state of a window."""

_ALIGNED = 1e-3  # of a step: times closer than this are the same


def backgrounds(
    options: Options,
    observed: xr.Dataset,
    windows: int,
    model: Model,
    cost: CostSettings,
    engine: Engine,
) -> Sequence[Start] | None:
    """Return the background of each window where an analysis was given as background, else None.

    Parameters
    ----------
    options : Options
    observed : Dataset
        The observations, a series or independent windows.
    windows : int
        How many windows they make.
    model, cost, engine
        What brings the end of the analysis to the first step of the windows.

    Raises
    ------
    InputError
        The analysis has no covariance and no ensemble, is of other windows or another model's
        state, or ends after the windows begin.
    """
    given = getattr(options, "background", None)
    if given is None or not is_analysis(given):
        return None
    analysis = netcdf.open_dataset(given) if isinstance(given, str) else given
    own = options.has_own_covariance
    known = names.FINAL_COVARIANCE in analysis or names.FINAL_ENSEMBLE in analysis
    if own and not known and getattr(options, "covariance", None) is None:
        raise InputError(
            "the background is an analysis whose end has no covariance; give that of the error of "
            "its forecast as covariance (--covariance), such as a file of pyvda covariance"
        )
    found = _ends(analysis, options, own and getattr(options, "covariance", None) is not None)
    is_series = names.WINDOW not in observed.dims
    if len(found) not in (1, windows) or (is_series and windows > 1):
        raise InputError(
            f"the background is an analysis of {len(found)} windows, and the observations make "
            f"{windows}; give the analysis of as many independent windows, or assimilate one "
            "window after the other"
        )
    if len(found[0].mean) != model.state_size:
        raise InputError(
            f"the background is of {len(found[0].mean)} components, and {model.name} has "
            f"{model.state_size}; give an analysis of this model"
        )
    expect_made_by(analysis, model)
    if windows > 1 and getattr(options, "parameters", False) == "shared":
        raise InputError(
            "the windows start from an analysis and are solved one by one, so that they cannot "
            f"share parameters, but parameters is 'shared' for {windows} windows; give parameters "
            "true for one vector a window, or another background"
        )
    found = [*found] * (windows if len(found) == 1 else 1)
    steps = _steps_between(restacked(analysis), observed)
    return [later(one, steps, options, model, cost, engine) for one in found]


def _ends(analysis: xr.Dataset, options: Options, alone: bool) -> Sequence[Start]:
    """Return the members at the end of each window; or the state, `alone` or with covariance."""
    if options.takes_ensemble:
        ensembles = ensembles_in(analysis)
        if ensembles is not None:
            return ensembles
    if alone:
        return states_of(analysis)
    return of_analysis(analysis)


def given(options: Options, model: Model, engine: Engine) -> Sequence[Start] | None:
    """Return the background of a cycle's first window where the user gave one, else None."""
    background = getattr(options, "background", None)
    if background is None or is_name(background):
        return None
    if options.has_own_covariance and not isinstance(background, Background | str):
        mean = background[0] if isinstance(background, tuple) else background
        return [ExpectedState(np.asarray(mean, float))]
    return [get_background(background, model, engine)]


def following(
    analysis: xr.Dataset, options: Options, model: Model, cost: CostSettings, engine: Engine
) -> Start:
    """Return the background of the window that begins one step after the end of an analysis.

    Parameters
    ----------
    analysis : Dataset
        Analysis of one window, (1, time, state), with its final covariance or ensemble; a method
        with a covariance of its own needs neither.
    options, model, cost, engine
        As in `backgrounds`.
    """
    ends = _ends(analysis, options, options.has_own_covariance)
    return later(ends[0], 1, options, model, cost, engine)


def later(
    start: Start, steps: int, options: Options, model: Model, cost: CostSettings, engine: Engine
) -> Start:
    """Return a background some steps later."""
    if isinstance(start, Ensemble):
        return _moved_members(start, steps, options, model, cost, engine)
    if isinstance(start, ExpectedState):
        mean = engine.run(model, cost, np.ascontiguousarray(start.mean[None]), steps + 1)[0, -1]
        return ExpectedState(np.ascontiguousarray(mean))
    return _moved(start, steps, options, model, cost, engine)


def means(own: Sequence[Start] | None) -> Array:
    """Return the means of backgrounds, (W, D)."""
    return np.stack([one.mean for one in own or ()])


def solve(
    method: Method,
    problem: Problem,
    options: Options,
    own: Sequence[Start] | None,
    **more: Any,
) -> Solution:
    """Return the solution of a method for windows, each with an optional background of its own.

    Parameters
    ----------
    own : sequence of Background, Ensemble or ExpectedState, optional
        Background of each of the problem's windows.
    """
    if own is None:
        return method.solve(problem, options, **more)
    parts = []
    for row, number in enumerate(problem.window_numbers()):
        one = slice(row, row + 1)
        part = replace(problem, batch=problem.batch[one], numbers=np.array([number]))
        background = {"background": own[row]}
        parts.append(method.solve(part, options.model_copy(update=background), **more))
    return parts[0] if len(parts) == 1 else _joined(parts)


def counted(analysis: xr.Dataset, own: Sequence[Start] | None) -> xr.Dataset:
    """Return the analysis with the number of analyses that led to its final ensemble, if any."""
    if names.FINAL_ENSEMBLE not in analysis:
        return analysis
    before = own[0].cycle if own and isinstance(own[0], Ensemble) else 0
    final = analysis[names.FINAL_ENSEMBLE].assign_attrs({CYCLE: before + 1})
    return analysis.assign({names.FINAL_ENSEMBLE: final})


def _joined(parts: list[Solution]) -> Solution:
    joined: dict[str, Any] = {}
    for field in fields(Solution):
        values = [getattr(part, field.name) for part in parts]
        if field.name == "history" or values[0] is None:
            joined[field.name] = None
        elif isinstance(values[0], dict):
            joined[field.name] = {n: np.concatenate([v[n] for v in values]) for n in values[0]}
        else:
            joined[field.name] = np.concatenate(values)
    return Solution(**joined)


def _steps_between(analysis: xr.Dataset, observed: xr.Dataset) -> int:
    """Return the steps from the end of the analysis to the first step of the windows.

    Windows of a file that are independent of each other count their time from their own start; the
    background is then that of the first step.

    Raises
    ------
    InputError
        One has dates and the other numbers, or the windows do not begin a whole number of steps
        after the end of the analysis.
    """
    if names.TIME not in analysis.coords or names.TIME not in observed.coords:
        return 0
    ended, times = analysis[names.TIME].values, observed[names.TIME].values
    if times.ndim != 1 or len(times) < 2:
        return 0
    if ended.dtype.kind in "fiu" and times.dtype.kind in "fiu":
        ended, times = ended.astype(float), times.astype(float)
    elif ended.dtype.kind != times.dtype.kind:
        raise InputError(
            f"the analysis given as background has times of type {ended.dtype} and the "
            f"observations of type {times.dtype}; give both as dates of one type, or both as "
            "numbers"
        )
    between = steps_until(ended, times)
    steps = round(between)
    ended_in = names.ANALYSIS if names.ANALYSIS in analysis else names.FORECAST
    independent = names.WINDOW in analysis[ended_in].dims
    if independent and between < -_ALIGNED:
        return 0
    if abs(between - steps) > _ALIGNED or steps < 0:
        raise InputError(
            f"the analysis given as background ends at {ended[-1]} and the windows begin at "
            f"{times[0]}, {between:.6g} steps later; expected a whole number of steps from 0"
        )
    return steps


def _moved(
    background: Background, steps: int, options: Options, model: Model, cost: CostSettings,
    engine: Engine,
) -> Background:  # fmt: skip
    """Return the background some steps later."""
    model_error = options.model_error_per_step(model.state_size)
    mean, covariance = background.mean, np.linalg.inv(background.precision)
    for _ in range(steps):
        mean, covariance = propagated(mean, covariance, model, cost, engine)
        covariance = covariance + model_error
    return Background.full(mean, regularised(covariance)) if steps else background


def _moved_members(
    ensemble: Ensemble, steps: int, options: Options, model: Model, cost: CostSettings,
    engine: Engine,
) -> Ensemble:  # fmt: skip
    """Return the ensemble some steps later; the mean of the others stands for a diverged member."""
    members = ensemble.members
    for later in continued(ensemble, steps, options, model, cost, engine):
        members = later
    finite = np.asarray(np.isfinite(members).all(axis=1))
    if finite.any() and not finite.all():
        notice(
            f"{np.sum(~finite)} of {len(members)} members of the background diverged: the mean of "
            "the others stands for them"
        )
        members = np.where(finite[:, None], members, members[finite].mean(0))
    return replace(ensemble, members=members)


def continued(
    ensemble: Ensemble, steps: int, options: Options, model: Model, cost: CostSettings,
    engine: Engine,
) -> Iterator[Array]:  # fmt: skip
    """Yield the members (N, D) after each of `steps` steps, with the model error of the options."""
    members = ensemble.members
    # A key of its own: the window that follows must not repeat this noise.
    noise = options.model_noise(members, steps, ensemble.cycle, 1) if steps else None
    for t in range(steps):
        members = engine.forecast(
            model, np.ascontiguousarray(members), time_step=cost.time_step, scheme=cost.scheme
        )
        if noise is not None:
            members = members + noise[t].T
        yield members


def propagated(
    mean: Array, covariance: Array, model: Model, cost: CostSettings, engine: Engine
) -> tuple[Array, Array]:
    """Return state (..., D) and covariance (..., D, D) a step later, M P Mᵀ."""
    states = np.ascontiguousarray(np.broadcast_to(mean[..., None, :], covariance.shape))
    # Rows of P are what M acts on: (M P)ᵀ, and that once more.
    half = engine.tangent_linear(
        model,
        states,
        np.ascontiguousarray(covariance),
        time_step=cost.time_step,
        scheme=cost.scheme,
    )
    turned = np.ascontiguousarray(np.swapaxes(half, -1, -2))
    found = engine.tangent_linear(
        model, states, turned, time_step=cost.time_step, scheme=cost.scheme
    )
    later = engine.forecast(
        model, np.ascontiguousarray(mean), time_step=cost.time_step, scheme=cost.scheme
    )
    return later, np.asarray((found + np.swapaxes(found, -1, -2)) / 2)
