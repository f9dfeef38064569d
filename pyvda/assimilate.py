"""The main idea on one page: a Dataset of observations in, a Dataset of analyses out.

    observations ─ cut ▶ windows ─ to_batch ▶ Batch ─ method ▶ Solution ▶ analysis ─ merge ▶ out

A method is either classical, on a known model (`pyvda.methods`), or a trained prior and solver from
a checkpoint. Observations in memory are one block; observations in dask chunks stay lazy, and each
chunk of windows is assimilated when its results are asked for, so that memory stays bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.climate.climatology import climatology
from pyvda.engine import CostSettings, get_engine
from pyvda.errors import InputError
from pyvda.io import layout, netcdf
from pyvda.io.analysis import POSITION, labelled, template, with_provenance
from pyvda.io.observations import prepared
from pyvda.learned import patterns
from pyvda.methods import METHODS, Options, Problem
from pyvda.methods.learned import LearnedOptions
from pyvda.models.model import Model
from pyvda.models.registry import default_model, get_model
from pyvda.progress import OfBlocks, heard, silent
from pyvda.settings import Settings, configured, settled
from pyvda.state import windows


def assimilate(
    observations: xr.Dataset,
    *,
    model: str | Model | None = None,
    method: str = "fsgd",
    checkpoint: str | Path | None = None,
    warm_start: str | Path | None = None,
    variable: str | Sequence[str] | None = None,
    window: int | None = None,
    overlap: int = 0,
    block: int | None = None,
    time_step: float | None = None,
    lambda1: float = 0.01,
    lambda2: float = 1.0,
    engine: str | None = None,
    resume_file: str | Path | None = None,
    report: Callable[..., None] | None = None,
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
        `pyvda.learned.patterns.PatternWarning`.
    warm_start : path or str, optional
        A learned model whose analysis the method starts from, in place of interpolation: the
        learned solver finds the basin, the classical method the last digits.
    variable : str or sequence of str, optional
        Which variable to assimilate, or which variables make the state ("x,y,z"), by name or CF
        standard_name. Default: `observation`, else the variables that have the names and
        dimensions of the model's, else the only one over time and state.
    window, overlap : int, optional
        Cut a series into windows of `window` steps that share `overlap` steps. Default: the whole
        series is one window.
    block : int, optional
        Windows in memory at once. Default: the dask chunks of the observations, or all.
    time_step : float, optional
        Model time units between two steps of the file. Default: the spacing of its time axis, which
        must then be a plain number.
    lambda1, lambda2 : float
        Weights of the observations and the dynamics in the cost (4).
    engine : str, optional
        See `pyvda.engine.get_engine`.
    resume_file : path, optional
        Where FSGD keeps its state; an interrupted run goes on from it.
    report : callable(done, total) or callable(done, total, note), optional
        Told of progress; FSGD notes the mean cost and gradient norm of its windows.

    Returns
    -------
    Dataset
        `analysis`, `innovation`, `flag`, and for each window its cost and the cost's terms, the
        gradient's norm, `status` and `iterations`, and what the method adds (`state_stdev`, ...);
        the configuration as attributes. Of observations in memory as one block, FSGD also gives
        its cost, gradient norm and error along the iterations (`history_cost`, ...); a run in
        blocks does not, because each block has a history of its own.

    Raises
    ------
    InputError
        In one sentence what was found, what was expected, and the remedy.

    Examples
    --------
    >>> from pyvda import assimilate, open_observations                     # doctest: +SKIP
    >>> analysis = assimilate(open_observations("obs.nc"), model="lorenz63")  # doctest: +SKIP
    """
    told = settled(locals())  # the keywords above, checked
    if checkpoint is not None:
        method, options = "learned", {"checkpoint": str(checkpoint), **options}
    chosen, checked_options = configured(method, options)
    _check_resumes(resume_file, method, checked_options)
    warm = _warm_start(warm_start, method, checked_options)
    bound: list[Options] = [checked_options] if warm is None else [checked_options, warm]
    model = _model(model, bound)
    observed, statistics = prepared(observations, told.variable, model)
    step = netcdf.model_time_step(observed, told.time_step, model)
    for one in bound:
        one.check_time_step(step)
    in_windows, is_series = _in_windows(observed, told)
    windows.check_state_size(in_windows, model.state_size, model.name)
    _check_points(in_windows, method, bound)
    lazy = in_windows[names.OBSERVATION].chunks is not None
    running = get_engine(engine)
    cost = CostSettings(step, told.lambda1, told.lambda2)
    mean = climatology(model, running).mean
    variance = windows.reference_variance(in_windows, statistics)
    known = variance or netcdf.stated_variance(observed)
    unlike = _unlike_trained(bound, in_windows, known)

    report_all = heard(report)
    blocks = OfBlocks(report_all, in_windows.sizes[names.WINDOW])

    def solve(block: xr.Dataset) -> xr.Dataset:
        batch = windows.to_batch(block, mean, variance)
        numbers = block[POSITION].values if POSITION in block else None
        tell = report_all
        if report_all is not silent and numbers is not None and numbers.size:
            tell = blocks.block(int(numbers[0]), numbers.size)
        problem = Problem(batch, model, cost, running, known, tell, numbers=numbers)
        if warm is not None:
            problem = _warmed(problem, warm)
        resume = {} if resume_file is None else {"checkpoint": _resume_path(resume_file, block)}
        solution = chosen.solve(problem, checked_options, **resume)
        return labelled(block, problem, solution, with_history=not lazy)

    if not lazy:
        analysis = solve(in_windows)
    else:
        position = np.arange(in_windows.sizes[names.WINDOW])
        in_windows = in_windows.assign_coords({POSITION: (names.WINDOW, position)})
        shape = template(in_windows, checked_options, model)
        # Through map_blocks even coordinates in memory become results of `solve`.
        analysis = xr.map_blocks(solve, in_windows, template=shape).assign_coords(shape.coords)
    if is_series:
        analysis = windows.merge(analysis, observed)
    if warm is not None:
        analysis = analysis.assign_attrs(pyvda_warm_start=warm.checkpoint, **warm.provenance())
    if unlike:
        analysis = analysis.assign_attrs(pyvda_pattern_difference=unlike)
    analysis = layout.restored(analysis)
    return with_provenance(analysis, model, method, checked_options, cost, running)


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
    return model or default_model()


def _check_resumes(file: str | Path | None, method: str, options: Options) -> None:
    if file is not None and not options.resumes:
        able = ", ".join(name for name, m in METHODS.items() if m.options.resumes)
        raise InputError(
            f"{method} has nothing to resume: it keeps no state in a file; leave out resume_file "
            f"(--checkpoint FILE), or choose {able}"
        )


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
    found = METHODS["learned"].solve(replace(problem, report=silent), warm).x
    finite = np.isfinite(found).all((1, 2), keepdims=True)
    guess = np.where(finite, found, problem.batch.first_guess)
    return replace(problem, batch=replace(problem.batch, first_guess=guess), warm=True)


def _in_windows(ds: xr.Dataset, told: Settings) -> tuple[xr.Dataset, bool]:
    """Return the windows, with dask chunks if they are worked off in blocks; were they a series?"""
    ds, is_series = windows.in_windows(ds, told.window, told.overlap)
    blocks = told.block or ds[names.OBSERVATION].chunksizes.get(names.WINDOW)
    if blocks is not None:
        # All variables in the same blocks, those in memory (a truth), too.
        chunks = {names.WINDOW: blocks, names.TIME: -1, names.STATE: -1}
        ds = ds.assign(
            {
                name: v.chunk({dim: n for dim, n in chunks.items() if dim in v.dims})
                for name, v in ds.data_vars.items()
                if names.WINDOW in v.dims
            }
        )
    return ds, is_series


def _check_points(ds: xr.Dataset, method: str, options: list[Options]) -> None:
    if names.POINT_OBSERVATION in ds and not all(one.takes_points for one in options):
        able = ", ".join(name for name, m in METHODS.items() if m.options.takes_points)
        raise InputError(
            f"{method} takes observations at the analysis times alone, but the file has some at "
            f"others ({names.POINT_OBSERVATION}); choose {able} without a warm start"
        )


def _unlike_trained(options: list[Options], ds: xr.Dataset, variance: float | None) -> str:
    """Warn of observations that learned models were not trained for; return how they differ."""
    trained = [pattern for one in options if (pattern := one.pattern()) is not None]
    if not trained:
        return ""
    first = ds[names.OBSERVATION].isel(window=slice(0, _SAMPLE_WINDOWS))
    observed = first.transpose(*names.DIMENSIONS).notnull().compute(scheduler="synchronous")
    found = [patterns.differences(observed.values, variance, pattern) for pattern in trained]
    unlike = dict.fromkeys(text for texts in found for text in texts)  # said once
    return patterns.warn(list(unlike), stacklevel=3)


def _resume_path(path: str | Path, block: xr.Dataset) -> Path:
    """Return the file of this block: `path` itself, or with the block's first window added."""
    first = int(block[POSITION].values[0]) if POSITION in block else 0
    return Path(path) if first == 0 else Path(f"{path}.{first}")


_SAMPLE_WINDOWS = 256  # enough to know the pattern of a large file
