"""The main idea on one page: a Dataset of observations in, a Dataset of analyses out.

    observations ─ cut ▶ windows ─ to_batch ▶ Batch ─ method ▶ Solution ▶ analysis ─ merge ▶ out

A method is either classical, on a known model (`pyvda.methods`), or a trained prior and solver from
a checkpoint. Observations in memory are one block; observations in dask chunks stay lazy, and each
chunk of windows is assimilated when its results are asked for, so that memory stays bounded.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import xarray as xr

import pyvda
from pyvda import conventions, irregular, names, netcdf, parameters, patterns, validation, windows
from pyvda.climatology import climatology
from pyvda.engine import CostSettings, Engine, get_engine
from pyvda.errors import InputError
from pyvda.methods import METHODS, Method, Options, Problem, Solution
from pyvda.methods.learned import LearnedOptions
from pyvda.models import Model, get_model

_PER_WINDOW = (names.COST, names.COST_OBSERVATION, names.COST_DYNAMICS, names.GRADIENT_NORM,
               names.STATUS, names.ITERATIONS)  # fmt: skip


def assimilate(
    observations: xr.Dataset,
    *,
    model: str | Model | None = None,
    method: str = "fsgd",
    checkpoint: str | Path | None = None,
    warm_start: str | Path | None = None,
    variable: str | None = None,
    window: int | None = None,
    overlap: int = 0,
    time_step: float | None = None,
    lambda1: float = 0.01,
    lambda2: float = 1.0,
    engine: str | None = None,
    resume_file: str | Path | None = None,
    report: Callable[[int, int], None] | None = None,
    **options: Any,
) -> xr.Dataset:
    """Assimilate observations, with a known model or a learned one.

    Parameters
    ----------
    observations : Dataset
        A variable of observations `(time, state)` or `(window, time, state)` in the model's units,
        NaN where nothing was observed; perhaps its errors (standard deviations) and, in a twin
        experiment, `truth`. Dimension names and order are free as far as CF tells them apart.
        Perhaps data at arbitrary times, see `pyvda.on_grid`.
    model : str or Model
        "lorenz63" or "lorenz96", or `get_model(name, parameter=...)`. Default: the checkpoint's,
        else Lorenz-63.
    method : str
        One of `pyvda.methods.METHODS`; `options` are the fields of its options.
    checkpoint : path, optional
        A learned model, which is the method then: a folder made by `pyvda train`, or the name of a
        shipped one. Observations unlike those that it was trained for are assimilated with a
        `pyvda.patterns.PatternWarning`.
    warm_start : path or str, optional
        A learned model whose analysis the method starts from, in place of interpolation: the
        learned solver finds the basin, the classical method the last digits.
    variable : str, optional
        Which variable to assimilate, by name or CF standard_name.
    window, overlap : int, optional
        Cut a series into windows of `window` steps that share `overlap` steps. Default: the whole
        series is one window.
    time_step : float, optional
        Model time units between two steps of the file. Default: the spacing of its time axis, which
        must then be a plain number.
    lambda1, lambda2 : float
        Weights of the observations and the dynamics in the cost (4).
    engine : str, optional
        See `pyvda.engine.get_engine`.
    resume_file : path, optional
        Where a long method keeps its state; an interrupted run goes on from it.
    report : callable(done, total), optional
        Told of progress.

    Returns
    -------
    Dataset
        `analysis`, `innovation`, `flag`, and for each window its cost and the cost's terms, the
        gradient's norm, `status` and `iterations`, and what the method adds (`state_stdev`, ...);
        the configuration as attributes.

    Raises
    ------
    InputError
        In one sentence what was found, what was expected, and the remedy.

    Examples
    --------
    >>> from pyvda import assimilate, open_observations                     # doctest: +SKIP
    >>> analysis = assimilate(open_observations("obs.nc"), model="lorenz63")  # doctest: +SKIP
    """
    if checkpoint is not None:
        if resume_file is not None:
            raise InputError("a learned model has nothing to resume; leave out resume_file")
        method, options = "learned", {"checkpoint": str(checkpoint), **options}
    chosen, checked_options = _configured(method, options)
    warm = _warm_start(warm_start, method, checked_options)
    bound: list[Options] = [checked_options] if warm is None else [checked_options, warm]
    model = _model(model, bound)
    observed = _checked(observations, variable)
    step = _time_step(observed, time_step, model)
    for one in bound:
        one.check_time_step(step)
    in_windows, is_series = _in_windows(observed, window, overlap)
    windows.check_state_size(in_windows, model.state_size, model.name)
    _check_points(in_windows, method, bound)
    lazy = in_windows[names.OBSERVATION].chunks is not None
    running = get_engine(engine)
    cost = CostSettings(step, lambda1, lambda2)
    mean = climatology(model, running).mean
    variance = windows.reference_variance(in_windows)
    known = variance or observed.attrs.get("observation_error_variance")
    unlike = _unlike_trained(checked_options, in_windows, known)

    def solve(block: xr.Dataset) -> xr.Dataset:
        batch = windows.to_batch(block, mean, variance)
        quiet = report or (lambda done, total: None)
        problem = Problem(batch, model, cost, running, known, quiet)
        if warm is not None:
            problem = _warmed(problem, warm)
        resume = {} if resume_file is None else {"checkpoint": _resume_path(resume_file, block)}
        solution = chosen.solve(problem, checked_options, **resume)
        return _labelled(block, problem, solution, with_history=not lazy)

    if not lazy:
        analysis = solve(in_windows)
    else:
        position = np.arange(in_windows.sizes[names.WINDOW])
        in_windows = in_windows.assign_coords({_POSITION: (names.WINDOW, position)})
        analysis = xr.map_blocks(
            solve, in_windows, template=_template(in_windows, checked_options, model)
        )
    if is_series:
        analysis = windows.merge(analysis, observed)
    if warm is not None:
        analysis = analysis.assign_attrs(pyvda_warm_start=warm.checkpoint, **warm.provenance())
    if unlike:
        analysis = analysis.assign_attrs(pyvda_pattern_difference=unlike)
    return _with_provenance(analysis, model, method, checked_options, cost, running)


def _configured(method: str, options: dict[str, Any]) -> tuple[Method, Any]:
    if method not in METHODS:
        raise InputError(f"unknown method {method!r}; choose one of {', '.join(METHODS)}")
    chosen = METHODS[method]
    try:
        return chosen, chosen.options(**options)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        known = ", ".join(chosen.options.model_fields)
        if first["type"] == "extra_forbidden":
            raise InputError(f"{method} has no option {name!r}; its options are {known}") from None
        raise InputError(
            f"option {name} of {method} is {first['input']!r}, but {first['msg'].lower()}"
        ) from None


def _model(given: str | Model | None, options: list[Options]) -> Model:
    """Return the model asked for, which must be the one that learned models are bound to."""
    model = get_model(given) if isinstance(given, str) else given
    for bound in (one.model() for one in options):
        if model is None or bound is None:
            model = model or bound
        elif (model.name, model.parameters) != (bound.name, bound.parameters):
            raise InputError(
                f"the checkpoint was trained for {bound.name} with parameters {bound.parameters}, "
                f"not for {model.name} with {model.parameters}; leave out model, or take another "
                "checkpoint"
            )
    return model or get_model("lorenz63")


def _warm_start(
    checkpoint: str | Path | None, method: str, options: Options
) -> LearnedOptions | None:
    """Return the learned model to start from."""
    if checkpoint is None:
        return None
    if not options.starts_from_first_guess:
        able = ", ".join(n for n, m in METHODS.items() if m.options.starts_from_first_guess)
        raise InputError(f"{method} does not start from a state; for a warm start choose {able}")
    return LearnedOptions(checkpoint=str(checkpoint))


def _warmed(problem: Problem, warm: LearnedOptions) -> Problem:
    """Return the problem with the learned analysis as first guess, where that is finite."""
    silent = replace(problem, report=lambda done, total: None)
    found = METHODS["learned"].solve(silent, warm).x
    finite = np.isfinite(found).all((1, 2), keepdims=True)
    guess = np.where(finite, found, problem.batch.first_guess)
    return replace(problem, batch=replace(problem.batch, first_guess=guess), warm=True)


def _checked(observations: xr.Dataset, variable: str | None) -> xr.Dataset:
    ds = conventions.as_float64(conventions.normalise(observations, variable))
    validation.check(ds)
    return irregular.located(ds)


def _time_step(ds: xr.Dataset, given: float | None, model: Model) -> float:
    found = given if given is not None else netcdf.time_step(ds)
    if found is None:
        raise InputError(
            "the time axis holds dates or nothing, so the step in model time units is not known; "
            f"give time_step (--time-step), for example {model.time_step} for {model.name}"
        )
    if not found > 0:
        raise InputError(
            f"the time step is {found}, expected a positive number of model time units"
        )
    return found


def _in_windows(ds: xr.Dataset, length: int | None, overlap: int) -> tuple[xr.Dataset, bool]:
    if names.WINDOW in ds.dims:
        if length is not None:
            raise InputError("the observations have windows already; leave out window (--window)")
        return ds.chunk(time=-1, state=-1) if ds[names.OBSERVATION].chunks else ds, False
    return windows.cut(ds, length or ds.sizes[names.TIME], overlap), True


def _check_points(ds: xr.Dataset, method: str, options: list[Options]) -> None:
    if names.POINT_OBSERVATION in ds and not all(one.takes_points for one in options):
        able = ", ".join(name for name, m in METHODS.items() if m.options.takes_points)
        raise InputError(
            f"{method} takes observations at the analysis times alone, but the file has some at "
            f"others ({names.POINT_OBSERVATION}); choose {able} without a warm start"
        )


def _unlike_trained(options: Options, ds: xr.Dataset, variance: float | None) -> str:
    """Warn of observations that a learned model was not trained for; return how they differ."""
    trained = options.pattern()
    if trained is None:
        return ""
    first = ds[names.OBSERVATION].isel(window=slice(0, _SAMPLE_WINDOWS))
    observed = first.transpose(*names.DIMENSIONS).notnull().compute(scheduler="synchronous")
    return patterns.warn(patterns.differences(observed.values, variance, trained), stacklevel=3)


def _resume_path(path: str | Path, block: xr.Dataset) -> Path:
    """Return the file of this block: `path` itself, or with the block's first window added."""
    first = int(block[_POSITION].values[0]) if _POSITION in block else 0
    return Path(path) if first == 0 else Path(f"{path}.{first}")


_POSITION = "window_position"
_SAMPLE_WINDOWS = 256  # enough to know the pattern of a large file


def _labelled(
    block: xr.Dataset, problem: Problem, solution: Solution, with_history: bool
) -> xr.Dataset:
    """Give the solution names, with the cost (4) of every window and its terms."""
    final = _final_cost(problem, solution)
    per_window = {**final, names.STATUS: solution.status, names.ITERATIONS: solution.iterations,
                  **solution.per_window}  # fmt: skip
    per_window, of_parameters = parameters.separated(per_window)
    analysis = windows.analysis_dataset(
        block, solution.x, per_window, None, solution.stdev, _point_innovation(problem, solution)
    )
    analysis = parameters.labelled(analysis, problem.model, of_parameters)
    if with_history and solution.history is not None:
        iteration = xr.Variable(names.ITERATION, solution.history["iteration"].astype(int),
                                names.attributes(names.ITERATION))  # fmt: skip
        analysis = analysis.assign_coords({names.ITERATION: iteration})
        for name, values in solution.history.items():
            if name != "iteration":
                full = f"history_{name}"
                analysis[full] = (names.ITERATION, values, names.attributes(full))
    return analysis.drop_vars(_POSITION, errors="ignore")


def _point_innovation(problem: Problem, solution: Solution) -> np.ndarray | None:
    """Return observation minus analysis of the data at arbitrary times, NaN where there is none."""
    points = problem.batch.points
    if points is None:
        return None
    x = np.where(np.isfinite(solution.x), solution.x, 0.0)
    said = problem.engine.observed(problem.model, problem.cost, x, points)
    difference = np.asarray(points.value) - said
    known = np.asarray(np.isfinite(solution.x).all((1, 2)))[:, None]
    return np.where((np.asarray(points.weight) > 0) & known, difference, np.nan)


def _final_cost(problem: Problem, solution: Solution) -> dict[str, np.ndarray]:
    usable = np.asarray(np.isfinite(solution.x).all((1, 2)))
    result = problem.engine.cost(
        problem.model, problem.cost, solution.x[usable],
        np.asarray(problem.batch.observation)[usable], np.asarray(problem.batch.mask)[usable],
        gradient=False, points=problem.points(usable),
    )  # fmt: skip
    values = (result.total, result.observation, result.dynamics, result.gradient_norm)
    final = {}
    for name, value in zip(_PER_WINDOW, values, strict=False):
        final[name] = np.full(len(usable), np.nan)
        final[name][usable] = value
    return final


def _template(ds: xr.Dataset, options: Options, model: Model) -> xr.Dataset:
    """Return the lazy shape of what `solve` makes of chunked windows."""
    one = ds.isel(window=slice(0, 1)).compute(scheduler="synchronous")
    outputs = (*_PER_WINDOW, *options.window_outputs())
    per_window, of_parameters = parameters.separated({name: np.zeros(1) for name in outputs})
    of_parameters = {name: np.zeros((1, len(model.parameters))) for name in of_parameters}
    per_window[names.ITERATIONS] = np.zeros(1, int)
    shape = tuple(one.sizes[d] for d in names.DIMENSIONS)
    stdev = np.zeros(shape) if options.has_stdev() else None
    points = one[names.POINT_POSITION].values if names.POINT_POSITION in one else None
    sample = windows.analysis_dataset(one, np.zeros(shape), per_window, None, stdev, points)
    sample = parameters.labelled(sample, model, of_parameters)
    lazy = ds[names.OBSERVATION].chunksizes[names.WINDOW]
    count = ds.sizes[names.WINDOW]
    data = {
        name: v.isel(window=[0] * count, drop=True).drop_vars(v.coords).chunk(window=lazy)
        for name, v in sample.data_vars.items()
    }
    coords = dict(ds.drop_vars(_POSITION).coords)
    if of_parameters:
        coords[names.PARAMETER] = sample[names.PARAMETER]
    return xr.Dataset(data, coords, sample.attrs)


def _with_provenance(
    analysis: xr.Dataset,
    model: Model,
    method: str,
    options: Options,
    cost: CostSettings,
    engine: Engine,
) -> xr.Dataset:
    configuration = {
        "method": method,
        "model": asdict(model),
        "cost": asdict(cost),
        "options": options.model_dump(),
    }
    analysis = analysis.assign_attrs(
        Conventions="CF-1.11",
        pyvda_version=pyvda.__version__,
        pyvda_engine=str(engine.info),
        pyvda_configuration=json.dumps(configuration),
        **options.provenance(),
    )
    return netcdf.append_history(
        analysis, f"pyvda {pyvda.__version__} assimilate, {method} on {model.name}"
    )
