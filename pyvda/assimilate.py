"""The main idea on one page: a Dataset of observations in, a Dataset of analyses out.

    observations ─ cut ▶ windows ─ to_batch ▶ Batch ─ method ▶ Solution ▶ analysis ─ merge ▶ out

A method is either classical, on a known model (`pyvda.methods`), or a trained prior and solver from
a checkpoint. Observations in memory are one block; observations in dask chunks stay lazy, and each
chunk of windows is assimilated when its results are asked for, so that memory stays bounded.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from pyvda import cycling, names
from pyvda.climate.climatology import with_climatology
from pyvda.engine import CostSettings, engine_for
from pyvda.errors import InputError
from pyvda.io import layout, model_attributes, netcdf
from pyvda.io.analysis import POSITION, labelled, template, with_provenance
from pyvda.io.datasets import expect_dataset
from pyvda.io.observations import prepared
from pyvda.learned import patterns
from pyvda.learned.description import expect_trained
from pyvda.methods import METHODS, Method, Options, Problem
from pyvda.methods.learned import LearnedOptions
from pyvda.models.model import Model
from pyvda.models.registry import resolve
from pyvda.models.without_code import expect_code
from pyvda.operators.function import FunctionOperator
from pyvda.progress import OfBlocks, heard, silent
from pyvda.settings import Settings, chosen_method, settled, takes_settings
from pyvda.state import windows


@takes_settings
def assimilate(observations: xr.Dataset, **keywords: Any) -> xr.Dataset:
    """Assimilate observations, with a known model or a learned one.

    Parameters
    ----------
    observations : Dataset
        A variable of observations `(time, state)` or `(window, time, state)` in the model's units,
        NaN where nothing was observed; perhaps its errors (standard deviations) and, in a twin
        experiment, `truth`. Dimension names and order are free as far as CF tells them apart.
        Perhaps data at arbitrary times, see `pyvda.on_grid`.
    {settings}
    **options
        Fields of the options of the method, see `pyvda.methods`.

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
    expect_dataset(observations, "the argument observations")
    settings, method_options = settled(keywords)
    method, options = chosen_method(settings, method_options)
    warm = _warm_start(settings, method, options)
    bound: list[Options] = [options] if warm is None else [options, warm]
    model = named_model(settings, bound) or model_attributes.required(observations)
    if any(one.runs_model() for one in bound):
        expect_code(model)
    if settings.climatology is not None:
        model = with_climatology(model, settings.climatology)
    observed, statistics = prepared(observations, settings.variable, model, settings.operator)
    step = netcdf.model_time_step(observed, settings.time_step, model)
    for one in bound:
        one.check_time_step(step)
    in_windows, is_series = _in_windows(observed, settings)
    windows.check_state_size(in_windows, model.state_size, model.name)
    _check_operators(in_windows, method.name, bound)
    lazy = in_windows[names.OBSERVATION].chunks is not None
    count = in_windows.sizes[names.WINDOW]
    in_windows = in_windows.assign_coords({POSITION: (names.WINDOW, np.arange(count))})
    options = options.for_problem(count, model.state_size)
    running = engine_for(model, settings.engine)
    cost = CostSettings(step, settings.lambda1, settings.lambda2)
    own = cycling.backgrounds(options, observed, count, model, cost, running)
    mean = options.expected_state(model, running) if own is None else None
    if isinstance(settings.operator, FunctionOperator):
        if own is None:
            states = options.likely_states(model, running)
        else:
            states = cycling.means(own, np.zeros(3, int))
        settings.operator.check(model.state_size, in_windows.sizes[names.CHANNEL], states)
    variance = windows.reference_variance(in_windows, statistics)
    known = variance or netcdf.stated_variance(observed)
    unlike = _unlike_trained(bound, in_windows, known, model)

    report_all = heard(settings.report)
    blocks = OfBlocks(report_all, count)

    def solve(block: xr.Dataset) -> xr.Dataset:
        numbers = block[POSITION].values
        expected = cycling.means(own, numbers) if mean is None else mean
        batch = windows.to_batch(block, expected, variance, settings.operator)
        tell = report_all
        if lazy and report_all is not silent and numbers.size:
            tell = blocks.block(int(numbers[0]), numbers.size)
        problem = Problem(batch, model, cost, running, known, tell, numbers=numbers)
        if warm is not None:
            problem = _warmed(problem, warm)
        resumed = {} if settings.state is None else {"state": _state_path(settings.state, block)}
        solution = cycling.solve(method, problem, options, own, **resumed)
        return labelled(block, problem, solution, with_history=not lazy)

    if not lazy:
        analysis = solve(in_windows)
    else:
        shape = template(in_windows, options, model)
        # Through map_blocks even coordinates in memory become results of `solve`.
        analysis = xr.map_blocks(solve, in_windows, template=shape).assign_coords(shape.coords)
    if is_series:
        analysis = windows.merge(analysis, observed)
    analysis = cycling.counted(analysis, own)
    if warm is not None:
        analysis = analysis.assign_attrs(pyvda_warm_start=warm.checkpoint, **warm.provenance())
    if unlike:
        analysis = analysis.assign_attrs(pyvda_pattern_difference=unlike)
    analysis = layout.restored(analysis)
    return with_provenance(analysis, model, method.name, options, cost, running)


def named_model(settings: Settings, options: list[Options]) -> Model | None:
    """Return the model that was named or that learned models are bound to; None: neither."""
    given = settings.model
    model = None if given is None else resolve(given)
    for bound in (one.model() for one in options):
        if model is None or bound is None:
            model = model or bound
        else:
            expect_trained(model, bound)
    return model


def _warm_start(settings: Settings, method: Method, options: Options) -> LearnedOptions | None:
    """Return the learned model to start from."""
    if settings.warm_start is None:
        return None
    if not options.starts_from_first_guess:
        able = ", ".join(n for n, m in METHODS.items() if m.options.starts_from_first_guess)
        raise InputError(
            f"{method.name} does not start from a state; for a warm start choose {able}"
        )
    return LearnedOptions(checkpoint=str(settings.warm_start))


def _warmed(problem: Problem, warm: LearnedOptions) -> Problem:
    """Return the problem with the learned analysis as first guess, where that is finite."""
    found = METHODS["learned"].solve(replace(problem, report=silent), warm).x
    finite = np.isfinite(found).all((1, 2), keepdims=True)
    guess = np.where(finite, found, problem.batch.first_guess)
    return replace(problem, batch=replace(problem.batch, first_guess=guess), warm=True)


def _in_windows(ds: xr.Dataset, settings: Settings) -> tuple[xr.Dataset, bool]:
    """Return windows, in dask chunks where blocks were asked for, and whether it was a series."""
    ds, is_series = windows.in_windows(ds, settings.window, settings.overlap)
    blocks = settings.block or ds[names.OBSERVATION].chunksizes.get(names.WINDOW)
    if blocks is not None:
        # Variables in memory, such as a truth, must have the same chunks.
        chunks = {names.WINDOW: blocks, names.TIME: -1, names.STATE: -1}
        ds = ds.assign(
            {
                name: v.chunk({dim: n for dim, n in chunks.items() if dim in v.dims})
                for name, v in ds.data_vars.items()
                if names.WINDOW in v.dims
            }
        )
    return ds, is_series


def _check_operators(ds: xr.Dataset, method: str, options: list[Options]) -> None:
    if names.CHANNEL_OBSERVATION in ds and not all(one.takes_channels for one in options):
        able = ", ".join(name for name, m in METHODS.items() if m.options.takes_channels)
        raise InputError(
            f"{method} takes linear observation operators alone, but this one is a function; "
            f"choose {able or 'a linear one'} without a warm start"
        )
    if names.POINT_OBSERVATION in ds and not all(one.takes_points for one in options):
        able = ", ".join(name for name, m in METHODS.items() if m.options.takes_points)
        raise InputError(
            f"{method} takes observations at the analysis times alone, but the file has some at "
            f"others ({names.POINT_OBSERVATION}); choose {able} without a warm start"
        )


def _unlike_trained(
    options: list[Options], ds: xr.Dataset, variance: float | None, model: Model
) -> str:
    """Warn of observations or a model unlike those of the training; say how, of observations."""
    trained = [pattern for one in options if (pattern := one.pattern()) is not None]
    if not trained:
        return ""
    first = ds[names.OBSERVATION].isel(window=slice(0, _SAMPLE_WINDOWS))
    observed = first.transpose(*names.DIMENSIONS).notnull().compute(scheduler="synchronous")
    found = [patterns.differences(observed.values, variance, pattern) for pattern in trained]
    for pattern in trained:
        patterns.warn_of_source(model, pattern)
    unlike = dict.fromkeys(text for texts in found for text in texts)
    return patterns.warn(list(unlike))


def _state_path(path: str | Path, block: xr.Dataset) -> Path:
    """Return the file of this block: `path` itself, or with the block's first window added."""
    first = int(block[POSITION].values[0])
    return Path(path) if first == 0 else Path(f"{path}.{first}")


_SAMPLE_WINDOWS = 256  # enough to know the pattern of a large file
