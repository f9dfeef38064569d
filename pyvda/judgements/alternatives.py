"""Other states that the data of a window cannot exclude, and the spread that covers them.

A minimum's Hessian says how uncertain the state is in that minimum only. Where the data are few, or
leave a long stretch to the model, other states fit as well. Two ways to find them are cheap: the
mirror image of the analysis, which is a solution of a model that is invariant under a change of
signs, and, for a low-dimensional model, the members of its library weighed by their likelihood. For
any analysis xₐ the expected squared error is, over the posterior distribution p with mean m,

    E|x - xₐ|² = E|x - m|² + |m - xₐ|².
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pyvda.climate.climatology import climatology
from pyvda.climate.library import EVERY, LEAD, LOW_DIMENSIONAL, Library, library
from pyvda.engine.interface import Array
from pyvda.methods.problem import Problem
from pyvda.methods.statistics import chi_square_limit

_FEW = 3  # data for each component of the state, below which the library is asked
# Share of the climatological variance that the stated one reaches at some step, from which the
# linearised spread of an exact model is too small; and of a model with errors, which are not those
# of the library.
_LONG, _LONG_WITH_ERRORS = 0.07, 0.25
_MEMBERS = 120_000  # as of strong-constraint 4D-Var, so that both use the same file
# Pieces of the library, members in each, and the effective sample size that is enough there: a
# small library will do where many members fit. The last is the whole library, for few data only.
_PIECES = ((256, 4, 20.0), (256, 20, 5.0), (0, 0, 5.0))


def mirrored(problem: Problem, x: Array, precision: Array) -> tuple[Array, Array]:
    """Return how much more the mirror image costs, (W,), and its difference from x over x, (D,).

    The model is invariant under the change of signs, and so is its climatology, so that only the
    data tell the two apart: Σ 2 x y / R over the components that change their sign. Infinite for
    a model without such a symmetry.
    """
    signs = problem.model.mirror_signs
    if signs is None:
        return np.full(len(x), np.inf), np.zeros(x.shape[2])
    odd = np.flatnonzero(np.array(signs) < 0)
    window, step, place = np.nonzero(precision[..., odd])
    at = (window, step, odd[place])
    with np.errstate(over="ignore", invalid="ignore"):
        y = np.asarray(problem.batch.observation)[at].astype(float)
        more = 2 * np.bincount(window, precision[at] * x[at] * y, minlength=len(x))
    return np.where(np.isfinite(more), more, np.inf), np.where(np.array(signs) < 0, -2.0, 0.0)


def has_library(problem: Problem) -> bool:
    """Tell whether the model has a library and its members can be compared with all data."""
    batch = problem.batch
    size = problem.model.state_size
    return size <= LOW_DIMENSIONAL and batch.points is None and batch.channels is None


def few(problem: Problem) -> Array:
    """Return whether a window has so few data that other states may fit them, (W,) bool."""
    return np.asarray(problem.data() <= _FEW * problem.model.state_size)


def undecided(problem: Problem, stdev: Array, climatological: Array, *, exact: bool) -> Array:
    """Return the windows, by number, whose data may leave other states: few data, or a long gap.

    Parameters
    ----------
    stdev : (W, T, D)
        As the method states it.
    climatological : (D,)
        Variance.
    exact : bool
        Whether the method takes the model to be exact.
    """
    limit = _LONG if exact else _LONG_WITH_ERRORS
    with np.errstate(over="ignore", invalid="ignore"):
        share = (np.square(stdev) @ np.ones(stdev.shape[2])).max(1) / climatological.sum()
    return np.flatnonzero((few(problem) | ~(share < limit)) & problem.has_observations())


def expected_square(
    problem: Problem, x: Array, precision: Array, chosen: Array
) -> tuple[Array, Array]:
    """Return E(x - xₐ)² over the posterior from the library, and for which windows it is known.

    Parameters
    ----------
    x : (W, T, D)
        The analysis xₐ, of any method.
    precision : (W, T, D)
        One over the error variance of each datum, 0 where nothing is observed.
    chosen : (n,) int
        Windows.

    Returns
    -------
    square : (n, T, D)
    known : (n,) bool
        Whether enough members fit the data, and fit them as well as they should.
    """
    model, steps = problem.model, x.shape[1]
    lead = LEAD if model.climatology is None else 0
    shelf = library(model, problem.engine, problem.cost.time_step, steps, _MEMBERS, lead)
    square = np.full((len(chosen), *x.shape[1:]), np.nan)
    known = np.zeros(len(chosen), bool)
    observation = np.asarray(problem.batch.observation, float)
    deviation = np.sqrt(climatology(model, problem.engine).variance)
    loose = few(problem)[chosen]
    stages = _PIECES if model.climatology is None else _PIECES[-1:]
    for count, each, enough in stages:
        # Many data leave few members of a small library, or none of the whole one.
        tried = ~known & (loose | (each > _PIECES[0][1]) | (len(stages) == 1))
        left = np.flatnonzero(tried)
        if not len(left):
            continue
        rows = chosen[left]
        found = problem.engine.posterior_mean(
            model, problem.cost, observation[rows], precision[rows],
            pieces(shelf, count, each, steps) if count else shelf,
            noise=np.zeros((0, x.shape[2])), enough=0.0, spread=deviation,
        )  # fmt: skip
        fits = found.misfit <= chi_square_limit((precision[rows] > 0).sum((1, 2)))
        taken = fits & (found.effective >= enough)
        lost = 1 - 1 / np.maximum(found.effective[taken], 2.0)
        of_mean = found.stdev[taken] ** 2 / lost[:, None, None]
        square[left[taken]] = of_mean + (found.mean[taken] - x[rows[taken]]) ** 2
        known[left[taken]] = True
    return square, known


def pieces(shelf: Library, count: int, each: int, steps: int) -> Library:
    """Return a library of `count` short pieces, with `each` members, of the trajectories.

    The pieces lie as far apart as they can, so that their members differ.
    """
    trajectories, length, size = shelf.states.shape
    short = shelf.lead + EVERY * (each - 1) + steps
    a_trajectory = max(1, min(count // trajectories, length // EVERY))
    if short > length:
        return shelf
    first = np.linspace(0, length - short, a_trajectory).astype(int)
    cut = np.stack([shelf.states[:, at : at + short] for at in first], axis=1)
    return replace(shelf, states=np.ascontiguousarray(cut.reshape(-1, short, size)))
