"""Whether one estimate is better than another, by their errors at the same values.

Errors at one time, or along one pass, are not independent: groups of values are drawn, not values.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pyvda.engine.data import Array

_RESAMPLES = 2000
_LEVEL = 0.95


class Ratio(NamedTuple):
    """Ratio of the root mean squares of two kinds of errors, and its interval by bootstrap."""

    ratio: float
    low: float
    high: float


def ratio_of_errors(groups: Array, squares: Array, others: Array, seed: int) -> Ratio:
    """Return the root mean square of errors over that of others at the same values.

    Parameters
    ----------
    groups : (n,) of int
        Time, or pass, of each value.
    squares, others : (n,)
        Squared errors.
    seed : int

    Examples
    --------
    >>> ratio_of_errors(np.array([3, 3, 7]), np.full(3, 1.0), np.full(3, 4.0), 0)
    Ratio(ratio=0.5, low=0.5, high=0.5)
    """
    known, index = np.unique(groups, return_inverse=True)
    of_groups = [np.bincount(index, one) for one in (squares, others)]
    rng = np.random.default_rng(seed)
    picked = rng.integers(0, len(known), (_RESAMPLES, len(known)))
    sampled = np.sqrt(of_groups[0][picked].sum(1) / of_groups[1][picked].sum(1))
    low, high = np.quantile(sampled, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Ratio(float(np.sqrt(squares.sum() / others.sum())), float(low), float(high))
