"""Two methods on the same windows: their difference window by window, and whether it is clear.

How hard a window is moves the scores of all methods together, so that intervals of two means say
little of which is better; that of the mean difference does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pyvda.engine.interface import Array
from pyvda.scores import Score, summarise

KEY = "r_scores"


def in_a_line(values: Array) -> str:
    """Return scores of windows as they are kept in JSON: four digits each, one line for all."""
    return " ".join(f"{value:.4g}" for value in values)


def difference(one: dict[str, Any], other: dict[str, Any]) -> Score | None:
    """Return the mean of the R-scores of `one` less those of `other`, with its 95 % interval.

    Entries of tables and benchmarks that hold the scores of the same windows under `KEY`; None
    where one does not, or theirs are not as many. Windows that diverged in either are left out.
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
