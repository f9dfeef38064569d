"""The uncertainty of an analysis of incremental 4D-Var, and an ensemble at the end of its window.

The covariance of the control is the inverse of the Hessian A of J, from which errors are drawn; or
the whole analysis is repeated with other observations and backgrounds.

References
----------
G. Desroziers and S. Ivanov, Q. J. R. Meteorol. Soc. 127 (2001), 1433-1452.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from pyvda.climate.ensemble import Ensemble
from pyvda.engine.interface import Array
from pyvda.methods.incremental_cost import ControlCost
from pyvda.methods.inner_loop import Directions, Ritz
from pyvda.methods.outer_loops import ControlMinimum, minimised
from pyvda.methods.trajectory import Trajectory

if TYPE_CHECKING:
    from pyvda.methods.incremental import IncrementalOptions

_SHORT = 256  # components of a control whose columns are all propagated
_RUNS_OF_DRAW = 4  # of tangent linear and adjoint, about, that conjugate gradients take
_OF_MATRIX = 5  # arrays like the Hessian, for its eigenvectors
_MOST_DIRECTIONS = 500  # of draws by conjugate gradients
_DRAW_TOLERANCE = 0.1  # of a component, in as many as data change
# Of the factor on the variance of members: degrees of freedom that its expectation 1 is worth, and
# its least and largest value.
_PRIOR, _LEAST, _MOST = 10.0, 0.5, 2.0


def uncertainty(
    cost: ControlCost, found: ControlMinimum, random: np.random.Generator
) -> tuple[Array, Array]:
    """Return the standard deviation (T, D) and the members at the last step, (N, D).

    NaN where the minimum is not finite.
    """
    options, x = cost.options, found.x
    if not np.isfinite(x).all():
        return np.full_like(x, np.nan), np.full((options.ensemble, x.shape[1]), np.nan)
    if options.ensemble and options.ensemble_of == "analyses":
        return _analyses(cost, found, random)
    count = max(options.members, options.ensemble)
    stdev, ends = _draws(cost, found, count, random)
    last = x[cost.data.length - 1]
    return stdev, last + ends - ends.mean(0) if options.ensemble else ends


def _analyses(
    cost: ControlCost, found: ControlMinimum, random: np.random.Generator
) -> tuple[Array, Array]:
    """Return the spread of an ensemble of 4D-Vars and its members at the last step, (N, D).

    Each has observations and a background with errors drawn from R and B, or the background of its
    own member; a member that diverged is left out, and the minimum stands for it.
    """
    options, given = cost.options, cost.options.background
    last = cost.data.length - 1
    if isinstance(given, Ensemble) and len(given.members) == options.ensemble:
        perturbation = np.sqrt(options.inflation) * (given.members - given.mean)
    else:
        perturbation = cost.control.B.sample(random, options.ensemble)
    variance, count = np.zeros_like(found.x), 0
    ends = np.tile(found.x[last], (options.ensemble, 1))
    for i, shift in enumerate(perturbation):
        observed = cost.data.perturbed(random)
        one = minimised(replace(cost, mean=cost.mean + shift, data=observed), options, near=found)
        if np.isfinite(one.x).all():
            variance += (one.x - found.x) ** 2
            count, ends[i] = count + 1, one.x[last]
    return np.sqrt(variance / max(count, 1)), found.x[last] + ends - ends.mean(0)


def _draws(
    cost: ControlCost, found: ControlMinimum, members: int, random: np.random.Generator
) -> tuple[Array, Array]:
    """Return the posterior standard deviation (T, D) and errors of the last step, (ensemble, D).

    The errors are those of runs of the model, which do not grow beyond it as linearised ones do.
    The covariance of the control is A⁻¹. A short control is propagated by all columns of A^−½, and
    the standard deviation is exact. Otherwise it is that of draws: A^−½ ξ where all eigenvectors of
    A are affordable, and ξ + A⁻¹ Gᵀ (ε − G ξ) by conjugate gradients where they are not, with
    G = R^−½ H M S.
    """
    x, rank, size = found.trajectory, cost.control.rank, cost.options.ensemble
    variance, ends = np.zeros_like(found.x), np.zeros((size, cost.data.size))
    if rank <= _SHORT:
        known, normal = _pairs(cost, x), random.standard_normal((size, rank))
        columns = known.power(np.eye(rank), -0.5)
        for begin in range(0, rank, cost.plan.together):
            _add_squares(cost, columns[begin : begin + cost.plan.together], x, variance, 1)
        return np.sqrt(variance), _run(cost, found, normal @ columns)
    draw, increments = _drawing(cost, x, members, random)
    for begin in range(0, members, cost.plan.together):
        count = min(cost.plan.together, members - begin)
        drawn = draw(count)
        _add_squares(cost, drawn, x, variance, members)
        kept = ends[begin : begin + count]  # the draws after those of the ensemble are not
        kept[:] = _run(cost, found, drawn[: len(kept)])
    if _is_of_members(cost.options):
        ends *= np.sqrt(_factor(found.control, increments))
    return np.sqrt(variance), ends


def _is_of_members(options: IncrementalOptions) -> bool:
    """Tell whether B is made from members alone, without a covariance or a factor of the user's."""
    of_members = isinstance(options.background, Ensemble)
    return of_members and options.covariance is None and options.inflation == 1


def _factor(control: Array, increments: list[float]) -> float:
    """Return the factor on the variance of members that are the next window's B.

    Right backgrounds are changed by their data as much as draws are by simulated ones, in the norm
    of B⁻¹: |v|² has the expectation tr(I − A⁻¹), the degrees of freedom for signal (Desroziers and
    Ivanov 2001). Where it was more, B was too small.
    """
    ratio = (float(control @ control) + _PRIOR) / (float(np.mean(increments)) + _PRIOR)
    return float(np.clip(ratio, _LEAST, _MOST))


def _run(cost: ControlCost, found: ControlMinimum, errors: Array) -> Array:
    """Return errors of the control (n, rank), propagated to the last step, (n, D).

    Zero where the run of the model diverges.
    """
    last, ends = cost.data.length - 1, np.zeros((len(errors), cost.data.size))
    for end, error in zip(ends, errors, strict=True):
        there = cost.trajectory(found.control + error, cost.data.steps).at(last)
        if np.isfinite(there).all():
            end[:] = there - found.x[last]
    return ends


def _drawing(
    cost: ControlCost, x: Trajectory, members: int, random: np.random.Generator
) -> tuple[Callable[[int], Array], list[float]]:
    """Return a function of n that draws controls of the covariance A⁻¹, (n, rank).

    Beside it comes a list, to which each draw adds the square of its change by simulated data, or
    which has the mean of these squares. All eigenvectors are computed where that takes no more runs
    than conjugate gradients would for `members` draws.
    """
    rank, count, room = cost.control.rank, cost.data.count, cost.plan.controls
    runs, held = (count, 2 * count) if count < rank else (2 * rank, _OF_MATRIX * rank)
    if runs <= _RUNS_OF_DRAW * members and held <= room:
        known = _pairs(cost, x)
        mean = float((1 - 1 / known.values).sum())
        return lambda n: known.power(random.standard_normal((n, rank)), -0.5), [mean]
    directions = Directions(min(room // 2, _MOST_DIRECTIONS), rank)
    product, most = partial(cost.curvature, x=x), cost.options.inner_iterations
    limit = _DRAW_TOLERANCE * np.sqrt(min(rank, count))

    squares: list[float] = []

    def one() -> Array:
        # A draw of the prior, and its analysis with a draw of the data's errors.
        prior = random.standard_normal(rank)
        right = cost.innovation(random.standard_normal(count), prior, x)
        change = directions.solve(product, right, most, limit)
        squares.append(float(change @ change))
        return prior + change

    return lambda n: np.stack([one() for _ in range(n)]), squares


def _pairs(cost: ControlCost, x: Trajectory) -> Ritz:
    """Return all eigenpairs of A above 1: in the space of the data or of the control.

    Conjugate gradients would find one vector of each multiple eigenvalue.
    """
    rank, count = cost.control.rank, cost.data.count
    if count < rank:
        return Ritz.of_rows(np.stack([cost.back(e, x) for e in _units(count)]))
    return Ritz.of_matrix(np.stack([cost.curvature(e, x) for e in _units(rank)]))


def _units(size: int) -> Iterator[Array]:
    """Yield the unit vectors (size,)."""
    for i in range(size):
        e = np.zeros(size)
        e[i] = 1.0
        yield e


def _add_squares(cost: ControlCost, w: Array, x: Trajectory, to: Array, count: int) -> None:
    """Add to `to` (T, D) the mean squares of perturbations."""
    for first, there in cost.perturbations(w, x):
        begin = first + (first > 0)  # a step that two segments share counts once
        to[begin : first + there.shape[1]] += (there[:, begin - first :] ** 2).sum(0) / count
