"""Paired comparison of two methods on the same windows.

The difficulty of a window affects all methods alike, so the intervals of two means say little about
which method is better; the interval of the mean difference does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pyvda.engine.interface import Array
from pyvda.scores import Score, summarise

KEY = "r_scores"


def in_a_line(values: Array) -> str:
    """Return the scores of windows as one string for JSON, four digits each."""
    return " ".join(f"{value:.4g}" for value in values)


def difference(one: dict[str, Any], other: dict[str, Any]) -> Score | None:
    """Return the mean of the R-scores of `one` less those of `other`, with its 95 % interval.

    Both are entries of tables or benchmarks that hold the scores of the same windows under `KEY`;
    the result is None if one does not, or if their numbers differ. Windows that diverged in either
    are ignored.
    """
    scores = [np.array([float(v) for v in entry.get(KEY, "").split()]) for entry in (one, other)]
    if not len(scores[0]) or len(scores[0]) != len(scores[1]):
        return None
    return summarise(scores[0] - scores[1])


def verdict(found: Score | None) -> str:
    """Return "better", "worse" or "no difference shown" for the first of two entries."""
    if found is None or not (found.high < 0 or found.low > 0):
        return "no difference shown"
    return "better" if found.high < 0 else "worse"
