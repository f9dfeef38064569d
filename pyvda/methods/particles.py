"""The posterior mean from members of a background: a particle filter over cycled windows.

Members of an ensemble, or draws from a Gaussian or the climatology, are run through a window and
weighted by the likelihood of its observations. At the last of these, where their distribution is
the narrowest, members are resampled by their weights, and a little noise makes copies differ: the
regularised particle filter of Musso, Oudjane and Le Gland (2001). The next window starts from them,
so that what all earlier data say is kept without a Gaussian in between.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pyvda.engine.interface import Array
from pyvda.methods.problem import Problem

_NUMBERS = 1 << 23  # of trajectories that are in memory together


class Weighed(NamedTuple):
    """The members of a window, weighted by the likelihood of its observations.

    Attributes
    ----------
    mean, stdev : (T, D)
        Moments of the weighted members, in the state's units; the deviation is the biased one,
        see `posterior_mean.unbiased`.
    weights : (N,)
        They sum to one; NaN where every member diverges.
    members : (N, D)
        At the last step with an observation, in the state's units; NaN of those that diverge.
    left : int
        Steps from there to the end of the window.
    misfit : float
        Half the weighted sum of squared deviations of the likeliest member, Σ p (x - y)² / 2.
    """

    mean: Array
    stdev: Array
    weights: Array
    members: Array
    left: int
    misfit: float

    @property
    def effective(self) -> float:
        """Return the effective sample size, 1 / Σ w²."""
        return float(1 / (self.weights**2).sum())


def weigh(problem: Problem, members: Array, observation: Array, precision: Array) -> Weighed:
    """Run members through a window and weight them by the likelihood of its observations.

    Parameters
    ----------
    problem : Problem
        Its model, engine and time step.
    members : (N, D)
        At the first step, in the state's units.
    observation, precision : (T, D)
        In the state's units and one over their square; precision 0 where nothing is observed.

    Returns
    -------
    Weighed
        Members that diverge have weight 0.
    """
    steps, size = observation.shape
    seen = precision > 0
    count = max(1, _NUMBERS // (steps * size))
    half, there, last = np.empty(len(members)), np.empty_like(members), _last(seen)
    # Sums of weights and of weighted first and second powers, relative to the least misfit so far.
    least, total, first, second = np.inf, 0.0, np.zeros((steps, size)), np.zeros((steps, size))
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(members), count):
            part = slice(start, start + count)
            x = problem.engine.run(
                problem.model, problem.cost, np.ascontiguousarray(members[part]), steps
            )
            departure = x[:, seen] - observation[seen]
            found = 0.5 * (departure**2 @ precision[seen])
            good = np.isfinite(x).all((1, 2)) & np.isfinite(found)
            half[part] = np.where(good, found, np.inf)
            there[part] = np.where(good[:, None], x[:, last], np.nan)
            if not good.any():
                continue
            x, found = x[good], found[good]
            before, least = least, min(least, float(found.min()))
            shrunk = np.exp(least - before)
            weight = np.exp(least - found)
            total = total * shrunk + weight.sum()
            first = first * shrunk + np.tensordot(weight, x, 1)
            second = second * shrunk + np.tensordot(weight, x**2, 1)
        weights = np.exp(least - half) / total if np.isfinite(least) else np.full(len(half), np.nan)
        mean = first / total if total else np.full((steps, size), np.nan)
        stdev = np.sqrt(np.maximum(second / total - mean**2, 0.0)) if total else mean
    return Weighed(mean, stdev, weights, there, steps - 1 - last, least)


def _last(seen: Array) -> int:
    return int(np.flatnonzero(seen.any(1))[-1])


def resampled(
    problem: Problem, found: Weighed, count: int, kernel: float, random: np.random.Generator
) -> Array:
    """Return equally likely members at the last step, (`count`, D).

    Systematic resampling, and Gaussian noise of the members' covariance times h², at the last step
    with an observation; then the model. h is `kernel` times the optimal bandwidth for a Gaussian
    density, (4 / ((D + 2) n))^(1 / (D + 4)) with n the effective sample size (Silverman 1986,
    equation 4.14): the fewer members carry the weight, the more they are spread. The covariance is
    (1 - 1/n) of the resampled members' and 1/n of that of all, so that copies of a single one part
    too. Members that diverge after that step are replaced by others.
    """
    size = found.members.shape[1]
    if not np.isfinite(found.weights).all():
        return np.full((count, size), np.nan)
    edges = np.cumsum(found.weights)
    at = (np.arange(count) + random.uniform()) / count * edges[-1]
    members = found.members[np.minimum(np.searchsorted(edges, at), len(edges) - 1)]
    usable = found.members[np.isfinite(found.members).all(1)]
    share = 1 / found.effective
    values, vectors = np.linalg.eigh((1 - share) * _scatter(members) + share * _scatter(usable))
    noise = random.standard_normal(members.shape) * np.sqrt(np.maximum(values, 0))
    bandwidth = kernel * (4 / ((size + 2) * found.effective)) ** (1 / (size + 4))
    start = np.ascontiguousarray(members + bandwidth * (noise @ vectors.T))
    x = problem.engine.run(problem.model, problem.cost, start, found.left + 1)[:, -1]
    good = np.flatnonzero(np.isfinite(x).all(1))
    if 0 < len(good) < count:
        lost = np.setdiff1d(np.arange(count), good)
        x[lost] = x[random.choice(good, len(lost))]
    return np.asarray(x)


def _scatter(members: Array) -> Array:
    departure = members - members.mean(0)
    return np.asarray(departure.T @ departure / len(members))
