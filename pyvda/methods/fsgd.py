"""Fixed-step gradient descent (FSGD) of the weak-constraint cost, eq. (5), in long runs.

The engine runs the iterations in pieces. Between two pieces the cost is recorded, converged and
diverged windows are removed, the state is saved when a save is due, and Ctrl-C takes effect: the
engine works in the run's own memory, which holds a consistent state only between two pieces.
An iteration depends on the past only through the state, and the options alone determine where the
pieces end, so that an interrupted and resumed run gives the same bits as an uninterrupted one.
"""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from pyvda.climate.library import is_low_dimensional
from pyvda.engine.interface import Array
from pyvda.methods.descent_state import DescentState, fingerprint
from pyvda.methods.problem import Options, Problem, Solution, Status
from pyvda.methods.stable_step import stable_steps
from pyvda.models.model import Model
from pyvda.progress import wants_notes
from pyvda.signals import interrupt_deferred

HISTORY_POINTS = 60
_RISEN = 100  # times its first cost: a window that costs more at the end has diverged


class FSGDOptions(Options):
    """Options of FSGD.

    Attributes
    ----------
    iterations : int
        Maximum number of iterations of each window.
    step : float, optional
        α of eq. (5). Default: 0.15 (T - 1) D / max(λ₂, λ₁), or less where few data or a steep model
        make the curvature large (`pyvda.methods.stable_step`).
    tolerance : float, optional
        Stop a window when its gradient norm has fallen below this fraction of the first.
    check_every : int
        Iterations between two tests of convergence and divergence.
    precision : {"float64", "float32"}
        Floating-point type of the computation.
    """

    starts_from_first_guess: ClassVar[bool] = True
    takes_points: ClassVar[bool] = True
    takes_channels: ClassVar[bool] = True
    resumes: ClassVar[bool] = True

    iterations: int = Field(20_000, ge=0, le=10**12)
    step: float | None = Field(None, gt=0)
    tolerance: float | None = Field(None, gt=0)
    check_every: int = Field(500, ge=1, le=10**12)
    precision: Literal["float64", "float32"] = "float64"

    def without_effect(self, model: Model, *, warm: bool, channels: bool) -> dict[str, str]:
        """Return the options that have no effect, and why."""
        if self.iterations:
            return {}
        why = "it would have no effect, since iterations is 0; leave it out, or give iterations"
        return dict.fromkeys(("step", "tolerance", "check_every"), why)

    def minimises_weighted_cost(self) -> bool:
        """Tell whether the analysis depends on the weights λ₁ and λ₂ of the cost (4)."""
        return True

    def screened_by(self, model: Model) -> str | None:
        """Return the strong constraint, of models whose library has its starts."""
        return "strong-constraint" if is_low_dimensional(model) else None


def solve(
    problem: Problem,
    options: FSGDOptions,
    *,
    state: Path | None = None,
    save_seconds: float = 60.0,
) -> Solution:
    """Descend from the first guess of every window that has observations.

    A window whose cost is a hundred times its first at the end has diverged, too.

    Parameters
    ----------
    problem : Problem
    options : FSGDOptions
    state : path, optional
        Written every `save_seconds`, at the end, and on Ctrl-C (a second Ctrl-C stops at once,
        without saving). If the file exists the run resumes from it.

    Raises
    ------
    InputError
        The state belongs to another problem or other options, or is damaged.
    """
    dtype = np.dtype(options.precision)
    observation = np.asarray(problem.batch.observation, dtype)
    mask = np.asarray(problem.batch.mask, dtype)
    x = np.array(problem.batch.first_guess, dtype)
    windows = len(x)
    alpha = stable_steps(problem) if options.step is None else np.full(windows, options.step)

    run = DescentState(
        key=fingerprint(problem, options, alpha),
        x=x,
        active=problem.has_observations(),
        diverged=np.zeros(windows, bool),
        first_norm=np.full(windows, np.nan),
        iterations=np.zeros(windows, int),
        history=np.empty((0, 4)),
    )
    if state is not None and state.exists():
        run = run.resumed_from(state)
    history_at = _history_points(options.iterations)
    stops = _stops(options, history_at)
    saved_at = time.monotonic()

    watched = wants_notes(problem.report)

    def visit(done: int) -> str:
        """Deactivate diverged and converged windows; return a note of the means over the rest."""
        run.diverged |= ~np.isfinite(run.x).all((1, 2))
        run.active &= ~run.diverged
        note = ""
        if watched or done in history_at or options.tolerance is not None:
            usable = ~run.diverged
            cost = problem.engine.cost(
                problem.model, problem.cost, run.x[usable], observation[usable], mask[usable],
                gradient=False, points=problem.points(usable),
            )  # fmt: skip
            if done == 0:
                run.first_norm[usable] = cost.gradient_norm
            means = (_mean(cost.total), _mean(cost.gradient_norm))
            note = "cost {:.4g}, gradient {:.2e}".format(*means) if watched else ""
            if options.tolerance is not None:
                limit = options.tolerance * run.first_norm[usable]
                run.active[np.flatnonzero(usable)[cost.gradient_norm <= limit]] = False
            if done in history_at:
                row = [done, *means, _mean_square_error(problem, run.x, usable)]
                run.history = np.vstack([run.history, row])
        return note

    whole = True
    try:
        with interrupt_deferred() as hear_interrupt:
            if run.done < 0:
                visit(0)
                run.done = 0
            for start, stop in pairwise(stops):
                if stop <= run.done:
                    continue
                whole = False
                for step in np.unique(alpha[run.active]):
                    alike = run.active & (alpha == step)
                    chosen = slice(None) if alike.all() else np.flatnonzero(alike)
                    some = run.x[chosen]  # run.x itself while all windows are active
                    run.x[chosen] = problem.engine.descend(
                        problem.model, problem.cost, some, observation[chosen], mask[chosen],
                        step=float(step), iterations=stop - start, out=some,
                        points=problem.points(chosen),
                    )  # fmt: skip
                    run.iterations[chosen] += stop - start
                note = visit(stop)
                run.done = stop
                whole = True
                problem.report(stop, options.iterations, note)
                hear_interrupt()
                if state is not None and time.monotonic() - saved_at > save_seconds:
                    run.save(state)
                    saved_at = time.monotonic()
                if not run.active.any():
                    break
    finally:
        if state is not None and run.done >= 0 and whole:
            run.save(state)

    run.diverged |= _risen(problem, run)
    status = np.where(run.active, Status.ITERATION_LIMIT, Status.CONVERGED)
    status[~problem.has_observations()] = Status.NO_OBSERVATIONS
    status[run.diverged] = Status.DIVERGED
    names = ("iteration", "cost", "gradient_norm", "r_score")
    history = dict(zip(names, run.history.T, strict=True))
    if problem.batch.truth is None:
        del history["r_score"]
    return Solution(run.x.astype(float), status, run.iterations, history=history)


def _risen(problem: Problem, run: DescentState) -> Array:
    """Return which windows ended with a cost far above that of their first guess, (W,) bool."""
    rows = np.flatnonzero(problem.has_observations() & ~run.diverged & (run.iterations > 0))

    def cost(x: Array) -> Array:
        observation, mask = (
            np.asarray(array, x.dtype)[rows]
            for array in (problem.batch.observation, problem.batch.mask)
        )
        return problem.engine.cost(
            problem.model, problem.cost, x[rows], observation, mask, gradient=False,
            points=problem.points(rows),
        ).total  # fmt: skip

    found = np.zeros(len(run.x), bool)
    first = np.array(problem.batch.first_guess, run.x.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        # The cost of a perfect first guess is rounding, which may rise.
        scale = np.abs(first[rows]).max((1, 2), initial=0.0).astype(float)
        rounding = (np.finfo(first.dtype).eps * scale) ** 2
        found[rows] = cost(run.x) > _RISEN * (cost(first) + rounding)
    return found


def _mean(values: Array) -> float:
    """Return the mean, NaN if all windows have diverged."""
    with np.errstate(over="ignore"):  # windows on their way to divergence
        return float(values.mean()) if values.size else np.nan


def _mean_square_error(problem: Problem, x: Array, usable: Array) -> float:
    if problem.batch.truth is None:
        return np.nan
    with np.errstate(over="ignore"):
        return _mean((x[usable] - np.asarray(problem.batch.truth)[usable]) ** 2)


def _history_points(iterations: int) -> set[int]:
    """Return about HISTORY_POINTS iterations at equal ratios, including the first and the last."""
    points = np.geomspace(1, max(iterations, 1), HISTORY_POINTS).round().astype(int)
    return {0, iterations, *(int(p) for p in points if p <= iterations)}


def _stops(options: FSGDOptions, history_at: set[int]) -> list[int]:
    checks = range(0, options.iterations, options.check_every)
    return sorted(history_at | set(checks))
