"""A series in windows that are assimilated one after the other: `assimilate(..., cycle=20)`.

Each step belongs to one window. The background of a window holds at its first step: it is the
forecast over one step from the end of the analysis of the window before, so that no datum is used
twice. What else travels depends on the method: its final covariance, the members of its ensemble,
or the state alone where the method has a covariance B of its own. A window without data, or one
whose analysis or final covariance diverged, hands on its background, which the model continues.

With a state folder a window that is finished is kept, and the same call goes on after it
(`pyvda.cycle_state`). Of a lazy series the analysis is then lazy, too, and waits in that folder
(`pyvda.cycle_results`): memory is that of one window, whatever their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

from pyvda import cycling, names
from pyvda.block_task import BlockTask
from pyvda.climate.background import Background
from pyvda.climate.ensemble import Ensemble
from pyvda.cycle_results import in_file
from pyvda.cycle_state import CycleState
from pyvda.engine import Engine
from pyvda.engine.interface import Array
from pyvda.errors import EngineError
from pyvda.io.writing.analysis import POSITION, labelled
from pyvda.judgements.judge import judged_solution
from pyvda.methods import Problem, Solution, Status, get_method
from pyvda.notices import notice
from pyvda.progress import OfBlocks, silent
from pyvda.robust import covering
from pyvda.state import windows


def cycled(
    task: BlockTask,
    observed: xr.Dataset,
    length: int,
    own: Sequence[cycling.Start] | None = None,
    state: str | Path | None = None,
) -> xr.Dataset:
    """Return the analysis of a series in windows of `length` steps.

    Parameters
    ----------
    task : BlockTask
        What each window is assimilated with.
    observed : Dataset
        `observation` (time, state), perhaps lazy: a window is read when its turn comes.
    length : int
    own : sequence of one Background, Ensemble or ExpectedState, optional
        Background of the first window. Default: that of the method's options.
    state : path, optional
        Folder that keeps the windows that are finished, and the analysis of a lazy series.

    Returns
    -------
    Dataset
        As windows of a series that were merged, with `background` (time, state), the forecast from
        the background of each window, and `chi_square` (window).

    Raises
    ------
    InputError
        The series has no such windows, or the state belongs to another run.
    EngineError
        A window and the forecast of its background diverged.
    """
    each = windows.consecutive(observed, length)
    folder = None if state is None else Path(state)
    kept = CycleState(folder, task)
    waits = folder if waits_in_folder(observed, state) else None
    report, task = task.report, replace(task, report=silent, windows=len(each))
    parts: list[xr.Dataset] = []
    start = None if own is None else own[0]
    with task.engine() as engine:
        for number, steps in enumerate(each):
            block = windows.cut_out(observed, steps).load()
            block = block.assign_coords({POSITION: (names.WINDOW, [number])})
            one = replace(task, options=task.options.for_first_window()) if not number else task
            part, start = _window(one, block, start, kept, engine)
            if waits is not None:
                part = in_file(part, waits / f"analysis-{number:05}.npz")
            parts.append(part)
            if not isinstance(report, OfBlocks):
                report(number + 1, len(each))
    sizes = [steps.stop - steps.start for steps in each]
    number_of = np.repeat(np.arange(len(each), dtype=np.int32), sizes)
    label = xr.Variable(names.TIME, number_of, names.attributes(names.WINDOW_NUMBER))
    analysis = windows.joined(parts, observed).assign_coords({names.WINDOW_NUMBER: label})
    if names.FINAL_ENSEMBLE in analysis:  # how many analyses led to the last of them
        analysis[names.FINAL_ENSEMBLE].attrs.update(parts[-1][names.FINAL_ENSEMBLE].attrs)
    return analysis


def waits_in_folder(observed: xr.Dataset, state: str | Path | None) -> bool:
    """Tell whether the analysis of a cycle stays in its folder until it is written."""
    return state is not None and observed[names.OBSERVATION].chunks is not None


def _window(
    task: BlockTask, block: xr.Dataset, start: cycling.Start | None, kept: CycleState,
    engine: Engine,
) -> tuple[xr.Dataset, cycling.Start | None]:  # fmt: skip
    """Return the analysis of one window and the background of the next."""
    own = None if start is None else [start]
    block = task.screened(block, own, engine)
    problem = task.problem(block, own, engine)
    options, model, cost = task.options, task.choice.model, task.cost
    number, steps = int(block[POSITION].values[0]), block.sizes[names.TIME]

    def solved() -> Solution:
        if start is not None and not problem.has_observations()[0]:
            return _unobserved(problem, start, task)
        return cycling.solve(get_method(task.method), problem, options, own)

    solution = kept.of_window(number, problem, start, solved)
    mean = start.mean if start is not None else task.mean
    if mean is None:
        raise ValueError("neither the task nor the window has a background")
    first_guess = engine.run(model, cost, np.ascontiguousarray(mean[None]), steps)
    solution = covering(block, solution)
    solution = judged_solution(problem, options, solution, own_background=own is not None)
    analysis = cycling.counted(labelled(block, problem, solution), own)
    analysis = _with_background(analysis, first_guess, problem)
    observed = bool(problem.has_observations()[0])
    analysed = bool(np.isfinite(solution.x).all()) and solution.status[0] != Status.DIVERGED
    covariance = solution.per_window.get(names.FINAL_COVARIANCE, solution.x)
    if start is None and not observed:
        return analysis, None
    if analysed and np.isfinite(covariance).all():
        return analysis, cycling.following(analysis, options, model, cost, engine)
    if start is None or not np.isfinite(first_guess).all():
        raise EngineError(
            f"window {number} diverged, and so does the forecast of its background, so that the "
            "cycle cannot go on; see that the observations have the units of the model, or give a "
            "background and its covariance"
        )
    what = "has no finite covariance at its end" if analysed else "diverged"
    notice(f"window {number} {what}: the next one starts from the forecast of its background")
    return analysis, cycling.later(start, steps, options, model, cost, engine)


def _with_background(analysis: xr.Dataset, x: Array, problem: Problem) -> xr.Dataset:
    """Add the trajectory from the background, (1, T, D), and chi-square of the window."""
    units = analysis[names.ANALYSIS].attrs.get("units")
    attributes = names.attributes(names.BACKGROUND) | ({} if units is None else {"units": units})
    analysis[names.BACKGROUND] = (names.DIMENSIONS, x, attributes)
    if names.OBJECTIVE in analysis:
        data = problem.data()
        J = analysis[names.OBJECTIVE].values
        ratio = np.where(data > 0, 2 * J / np.maximum(data, 1), np.nan)
        attributes = names.attributes(names.CHI_SQUARE)
        analysis[names.CHI_SQUARE] = (names.WINDOW, ratio, attributes)
    return analysis


def _unobserved(problem: Problem, start: cycling.Start, task: BlockTask) -> Solution:
    """Return the forecast of the background and its spread, for a window without data."""
    shape = np.shape(problem.batch.observation)
    x, stdev = np.empty(shape), np.full(shape, np.nan)
    now = start
    for t in range(shape[1]):
        if t:
            now = cycling.later(now, 1, task.options, problem.model, problem.cost, problem.engine)
        x[0, t] = now.mean
        if isinstance(now, Ensemble):
            stdev[0, t] = now.members.std(0, ddof=1)
        elif isinstance(now, Background):
            stdev[0, t] = np.sqrt(np.diag(np.linalg.inv(now.precision)))
    per_window = {name: np.full(1, np.nan) for name in task.options.window_outputs()}
    if names.MINIMUM_OBJECTIVE in per_window:
        count = getattr(task.options, "count", 0)
        per_window[names.MINIMUM_OBJECTIVE] = np.full((1, count), np.nan)
        per_window[names.MINIMUM_STATE] = np.full((1, count, shape[2]), np.nan)
    if isinstance(now, Background) and names.FINAL_COVARIANCE in per_window:
        per_window[names.FINAL_COVARIANCE] = np.linalg.inv(now.precision)[None]
    if isinstance(now, Ensemble) and names.FINAL_ENSEMBLE in per_window:
        per_window[names.FINAL_ENSEMBLE] = now.members[None]
    return Solution(
        x, np.array([int(Status.NO_OBSERVATIONS)]), np.zeros(1, int),
        stdev=stdev if task.options.has_stdev() else None, per_window=per_window,
    )  # fmt: skip
