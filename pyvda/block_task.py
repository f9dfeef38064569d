"""Assimilation of one block of windows, as plain data that any process can run.

A `BlockTask` holds settings, the description of the model and arrays, never an engine: it is
pickled once for each worker, and the process that runs it starts an engine of its own.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr

from pyvda import cycling, names
from pyvda.cluster import Choice
from pyvda.engine import CostSettings, Engine
from pyvda.engine.interface import Array
from pyvda.gross_errors import UNKNOWN, GrossErrors
from pyvda.io.writing.analysis import POSITION, labelled, with_block_history
from pyvda.judgements.expected_error import with_expected_error
from pyvda.judgements.judge import judged_solution, known_variance
from pyvda.methods import Options, Problem, Solution, get_method
from pyvda.methods.learned import LearnedOptions
from pyvda.methods.statistics import variance_of
from pyvda.operators.observation import ObservationOperator
from pyvda.progress import OfBlocks, ProgressReport, silent
from pyvda.robust import Analyst, covering, estimated, from_result, without_gross_errors
from pyvda.settings import OBSERVATION_VARIANCE
from pyvda.state import windows

Backgrounds = Sequence[cycling.Start]

_GROSS_WINDOWS = 64  # from which the gross errors of a file are estimated
_FITS = 2.0  # standard deviations by which the good data's errors may exceed what is expected

# An engine has threads of its own, and a block is the unit of memory: one at a time in a process.
_turn = threading.Lock()


@dataclass(frozen=True)
class BlockTask:
    """Everything that the analysis of a block of windows depends on besides the observations.

    Attributes
    ----------
    method : str
    options : Options
        Options of the method.
    choice : Choice
        Which model and engine.
    cost : CostSettings
    mean : (D,), optional
        State expected without observations; None where each window has a background of its own.
    variance : float, optional
        See `windows.to_batch`.
    known_variance : float, optional
        See `Problem.observation_variance`.
    operator : ObservationOperator, optional
    warm : LearnedOptions, optional
        The learned model whose analysis is the first guess.
    state : path, optional
        File of the descent's state, for the block of the first window.
    windows : int
        Number of windows in the file.
    robust : bool
        Whether observations with gross errors are rejected first, see `pyvda.robust`.
    gross_errors : GrossErrors
        Statistics by which observations are then rejected.
    screen : str, optional
        The method that finds them, see `Options.screened_by`. Default: the task's own, as in a
        cycle, whose windows have backgrounds.
    spread : bool
        Whether the method has no spread, and gets one from `with_expected_error`.
    history : bool
        Whether the result holds the means along the iterations, see `with_block_history`.
    report : OfBlocks or ProgressReport
        Called in this process only; workers do not report.
    """

    method: str
    options: Options
    choice: Choice
    cost: CostSettings
    mean: Array | None
    variance: float | None
    known_variance: float | None
    operator: ObservationOperator | None
    warm: LearnedOptions | None
    state: str | Path | None
    windows: int
    robust: bool = False
    gross_errors: GrossErrors = UNKNOWN
    screen: str | None = None
    spread: bool = False
    history: bool = False
    report: OfBlocks | ProgressReport = silent

    def __call__(self, block: xr.Dataset, own: Backgrounds | None = None) -> xr.Dataset:
        """Return the analysis of a block in memory.

        Parameters
        ----------
        block : Dataset
            Windows, with their numbers in the file as `analysis.POSITION`.
        own : sequence of Background or Ensemble, optional
            Background of each window of the block.
        """
        with self.engine() as engine:
            block = self.screened(block, own, engine)
            problem = self.problem(block, own, engine)
            # Not for the cost (4): where its descent is stopped depends on where it starts.
            weighted = self.options.minimises_weighted_cost()
            if self.screen is not None and not weighted:
                problem = from_result(block, problem)
            more = {} if self.state is None else {"state": _state_path(self.state, block)}
            solution = cycling.solve(get_method(self.method), problem, self.options, own, **more)
            solution = covering(block, solution)
            given = own is not None
            solution = judged_solution(problem, self.options, solution, own_background=given)
            if self.spread:
                known = known_variance(problem, self.options)
                variance = variance_of(problem, known)
                solution = with_expected_error(problem, solution, variance)
            analysis = labelled(block, problem, solution)
            return with_block_history(analysis, solution) if self.history else analysis

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        """Yield the engine of this process, which no other block uses meanwhile."""
        with _turn, self.choice.engine() as engine:
            yield engine

    def screened(self, block: xr.Dataset, own: Backgrounds | None, engine: Engine) -> xr.Dataset:
        """Return a block in memory without the observations that are rejected, if any are."""
        if not self.robust:
            return block
        return without_gross_errors(block, self.analyst(block, own, engine), self.gross_errors)

    def with_gross_errors_of(self, ds: xr.Dataset) -> tuple[BlockTask, dict[str, str]]:
        """Return the task with the gross errors estimated, and the attribute that states them.

        The method of `Options.screened_by` finds them where its exact model fits the good data.
        """
        block = windows.windows_across(ds, _GROSS_WINDOWS)
        task = replace(self, screen=self.options.screened_by(self.choice.model))
        with self.engine() as engine:
            found, excess = estimated(block, task.analyst(block, None, engine))
            if task.screen is not None and not excess < _FITS:
                task = self
                found, _ = estimated(block, task.analyst(block, None, engine))
        said = {"pyvda_gross_errors": json.dumps(asdict(found))}
        return replace(task, gross_errors=found), said

    def analyst(self, block: xr.Dataset, own: Backgrounds | None, engine: Engine) -> Analyst:
        """Return the analyst of the windows of a block in memory."""
        quiet = replace(self, report=silent)
        method, options = get_method(self.method), self.options
        stated = getattr(options, OBSERVATION_VARIANCE, None)
        if self.screen is not None:
            method = get_method(self.screen)
            options = method.options(**{OBSERVATION_VARIANCE: stated})

        def chosen(windows: Array) -> Backgrounds | None:
            return None if own is None else [own[window] for window in windows]

        def problem(part: xr.Dataset, windows: Array) -> Problem:
            return quiet.problem(part, chosen(windows), engine)

        def solve(problem: Problem, windows: Array) -> Solution:
            return cycling.solve(method, problem, options, chosen(windows))

        first = problem(block.isel({names.WINDOW: slice(0, 1)}), np.arange(1))
        variance = variance_of(first, stated)
        return Analyst(problem, solve, variance, options.couples_windows())

    def problem(self, block: xr.Dataset, own: Backgrounds | None, engine: Engine) -> Problem:
        """Return the problem that a block in memory poses, see `__call__`."""
        numbers = block[POSITION].values
        expected = cycling.means(own) if self.mean is None or own is not None else self.mean
        batch = windows.to_batch(block, expected, self.variance, self.operator)
        report = self.report
        if isinstance(report, OfBlocks):
            report = report.block(int(numbers[0]), numbers.size)
        found = Problem(
            batch, self.choice.model, self.cost, engine, self.known_variance, report,
            numbers=numbers, windows=self.windows,
        )  # fmt: skip
        return found if self.warm is None else _warmed(found, self.warm)


def _warmed(problem: Problem, warm: LearnedOptions) -> Problem:
    """Return the problem with the learned analysis as first guess, where that is finite."""
    found = get_method("learned").solve(replace(problem, report=silent), warm).x
    finite = np.isfinite(found).all((1, 2), keepdims=True)
    guess = np.where(finite, found, problem.batch.first_guess)
    return replace(problem, batch=replace(problem.batch, first_guess=guess), warm=True)


def _state_path(path: str | Path, block: xr.Dataset) -> Path:
    """Return the file of this block: `path` itself, or with the block's first window added."""
    first = int(block[POSITION].values[0])
    return Path(path) if first == 0 else Path(f"{path}.{first}")
