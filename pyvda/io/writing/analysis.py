"""Contents of an analysis file: the labelled solution, costs, status and configuration."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr

import pyvda
from pyvda import names
from pyvda.engine import CostSettings, Engine
from pyvda.io import netcdf
from pyvda.io.writing import optional_outputs
from pyvda.methods import Options, Problem, Solution
from pyvda.models.model import Model
from pyvda.models.without_code import has_code
from pyvda.state import windows

__all__ = ["labelled", "template", "with_block_history", "with_history", "with_provenance"]

# While blocks are processed: the index of a window in the file, and the history of each block.
POSITION = "window_position"
HISTORY, _BLOCK = "history_of_block", "block_of_windows"
_NO_TRAJECTORY = 1e6  # mean squared residual of the model, in mean squares of the state
_PER_WINDOW = (names.COST, names.COST_OBSERVATION, names.COST_DYNAMICS, names.GRADIENT_NORM,
               names.STATUS, names.ITERATIONS, names.DOUBTS, names.FIT)  # fmt: skip


def labelled(block: xr.Dataset, problem: Problem, solution: Solution) -> xr.Dataset:
    """Return the solution as a Dataset, with the cost (4) of every window and its terms."""
    final = _final_cost(problem, solution)
    status = _status(problem, solution, final)
    per_window = {**final, names.STATUS: status, names.ITERATIONS: solution.iterations,
                  **solution.per_window}  # fmt: skip
    per_window, more = optional_outputs.separated(per_window)
    analysis = windows.analysis_dataset(
        block, solution.x, per_window,
        stdev=solution.stdev, point_innovation=_point_innovation(problem, solution),
        channel_innovation=_channel_innovation(problem, solution),
    )  # fmt: skip
    analysis = optional_outputs.labelled(analysis, problem.model, more)
    return analysis.drop_vars(POSITION, errors="ignore")


def with_block_history(analysis: xr.Dataset, solution: Solution) -> xr.Dataset:
    """Return the analysis of a block with the variable HISTORY, (1,).

    Its value is the number of windows that have an analysis (float) and `Solution.history` (dict),
    or None for a method without a history.
    """
    history = np.empty(1, object)
    if solution.history is not None:
        finite = np.isfinite(solution.x).all((1, 2)).sum()
        history[0] = (max(1.0, float(finite)), solution.history)
    return analysis.assign({HISTORY: (_BLOCK, history)})


def with_history(analysis: xr.Dataset, units: str | None = None) -> xr.Dataset:
    """Return the analysis with the means over all windows along the iterations.

    Parameters
    ----------
    analysis : Dataset
        With the variable HISTORY of all blocks, in the order of the windows. Blocks that ended
        early stay at their last values.
    units : str, optional
        Units of the state.
    """
    histories = [one for one in analysis[HISTORY].values if one is not None]
    analysis = analysis.drop_vars(HISTORY)
    if not histories:
        return analysis
    longest = max((history for _, history in histories), key=lambda h: len(h["iteration"]))
    iteration = xr.Variable(names.ITERATION, longest["iteration"].astype(int),
                            names.attributes(names.ITERATION))  # fmt: skip
    analysis = analysis.assign_coords({names.ITERATION: iteration})
    count = len(iteration)
    weights = [weight for weight, _ in histories]
    for name in longest:
        if name != "iteration":
            rows = [history[name] for _, history in histories]
            rows = [np.pad(row, (0, count - len(row)), mode="edge") for row in rows]
            mean = rows[0] if len(rows) == 1 else np.average(rows, axis=0, weights=weights)
            full = f"history_{name}"
            analysis[full] = (names.ITERATION, mean, names.attributes(full, units))
    return analysis


def _status(problem: Problem, solution: Solution, final: dict[str, np.ndarray]) -> np.ndarray:
    """Return the status of each window, DIVERGED where the model leaves the analysis at once.

    With a time step that is far too long a descent may come to its end although a step of the model
    leads from each analysed state to a multiple of its size, so that there is no trajectory.
    """
    weight = problem.cost.lambda2
    if weight <= 0:
        return solution.status
    x = np.asarray(solution.x)
    size = np.einsum("wtd,wtd->w", x, x) / max(1, x[0].size)
    lost = final[names.COST_DYNAMICS] / weight > _NO_TRAJECTORY * size
    return np.where(lost, names.Status.DIVERGED, solution.status)


def template(
    ds: xr.Dataset, options: Options, model: Model, *, stdev: bool, history: bool = False
) -> xr.Dataset:
    """Return a lazy Dataset with the variables and shapes of the analysis of chunked windows.

    With `stdev`, `state_stdev` is one of them, with `history` the variable HISTORY.
    """
    one = _unread(ds.isel(window=slice(0, 1)))
    outputs = (*_PER_WINDOW, *options.window_outputs())
    per_window, more = optional_outputs.separated({name: np.zeros(1) for name in outputs})
    sizes = {
        names.PARAMETER: len(model.parameters),
        names.MINIMUM: getattr(options, "count", 0),
        names.STATE: model.state_size,
        names.STATE_ROW: model.state_size,
        names.STATE_COLUMN: model.state_size,
        names.MEMBER: getattr(options, "members", 0),
    }
    more = {
        name: np.zeros((1, *(sizes[d] for d in names.OUTPUT_DIMENSIONS[name]))) for name in more
    }
    per_window[names.ITERATIONS] = np.zeros(1, int)
    per_window[names.DOUBTS] = np.zeros(1, int)
    shape = tuple(one.sizes[d] for d in names.DIMENSIONS)
    spread = np.zeros(shape) if stdev else None
    points = one[names.POINT_POSITION].values if names.POINT_POSITION in one else None
    channels = one[names.CHANNEL_OBSERVATION].values if names.CHANNEL_OBSERVATION in one else None
    sample = windows.analysis_dataset(
        one, np.zeros(shape), per_window,
        stdev=spread, point_innovation=points, channel_innovation=channels,
    )  # fmt: skip
    sample = optional_outputs.labelled(sample, model, more)
    blocks = ds[names.OBSERVATION].chunksizes[names.WINDOW]
    data = {name: _repeated(v.variable, blocks) for name, v in sample.data_vars.items()}
    if history:
        data[HISTORY] = xr.Variable(_BLOCK, da.empty(len(blocks), dtype=object, chunks=1))
    coords = dict(ds.drop_vars(POSITION).coords)
    if names.PARAMETER in sample.coords:
        coords[names.PARAMETER] = sample[names.PARAMETER]
    return xr.Dataset(data, coords, sample.attrs)


def _unread(ds: xr.Dataset) -> xr.Dataset:
    """Return `ds` with zeros in place of lazy values."""
    return ds.assign(
        {
            name: (array.dims, np.zeros(array.shape, array.dtype), array.attrs)
            for name, array in ds.variables.items()
            if array.chunks is not None
        }
    )


def _repeated(one: xr.Variable, blocks: tuple[int, ...]) -> xr.Variable:
    """Return a lazy variable of all windows, shaped like that of one window."""
    rest = one.shape[1:]
    data = da.empty((sum(blocks), *rest), dtype=one.dtype, chunks=(blocks, *rest))
    return xr.Variable(one.dims, data, one.attrs)


def with_provenance(
    analysis: xr.Dataset,
    model: Model,
    method: str,
    options: Options,
    cost: CostSettings,
    engine: Engine,
    run: dict[str, Any],
) -> xr.Dataset:
    """Add the provenance of the analysis: versions, the configuration, a line of history."""
    configuration = {
        "method": method,
        "model": model.as_dict() | _source(model),
        "cost": asdict(cost),
        "options": options.model_dump(),
        "run": run,
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


def _source(model: Model) -> dict[str, str]:
    """Return the digest of the source of a user's own model, which its name does not determine."""
    digest = None if model.is_registered else model.source_digest
    return {"source": digest} if digest else {}


def _point_innovation(problem: Problem, solution: Solution) -> np.ndarray | None:
    """Return observation minus analysis of the data at arbitrary times, NaN without a datum."""
    points = problem.batch.points
    if points is None:
        return None
    x = np.where(np.isfinite(solution.x), solution.x, 0.0)
    predicted = problem.engine.observed(problem.model, problem.cost, x, points)
    difference = np.asarray(points.value) - predicted
    known = np.asarray(np.isfinite(solution.x).all((1, 2)))[:, None]
    return np.where((np.asarray(points.weight) > 0) & known, difference, np.nan)


def _channel_innovation(problem: Problem, solution: Solution) -> np.ndarray | None:
    """Return observation minus function of the analysis, NaN without an observation."""
    channels = problem.batch.channels
    if channels is None:
        return None
    x = np.where(np.isfinite(solution.x), solution.x, 0.0)
    difference = np.asarray(channels.value) - channels.predicted(x)
    known = np.asarray(np.isfinite(solution.x).all((1, 2)))[:, None, None]
    return np.where((np.asarray(channels.weight) > 0) & known, difference, np.nan)


def _final_cost(problem: Problem, solution: Solution) -> dict[str, np.ndarray]:
    finite = np.asarray(np.isfinite(solution.x).all((1, 2)))
    if not has_code(problem.model):
        return dict.fromkeys(_PER_WINDOW[:4], np.full(len(finite), np.nan))
    usable = slice(None) if finite.all() else finite  # a slice copies nothing
    result = problem.engine.cost(
        problem.model, problem.cost, solution.x[usable],
        np.asarray(problem.batch.observation)[usable], np.asarray(problem.batch.mask)[usable],
        gradient=False, points=problem.points(usable),
    )  # fmt: skip
    values = (result.total, result.observation, result.dynamics, result.gradient_norm)
    final = {}
    for name, value in zip(_PER_WINDOW, values, strict=False):
        final[name] = np.full(len(finite), np.nan)
        final[name][usable] = value
    return final
