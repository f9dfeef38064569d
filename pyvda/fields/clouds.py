"""Values withheld in the shape of real gaps: the clouds of one time laid over another.

Single withheld pixels have neighbours, and tell nothing of the error under a cloud.
"""

from __future__ import annotations

import numpy as np

from pyvda.engine.data import Array
from pyvda.errors import InputError

_LEAST_COVER = 0.05  # of the points that are ever observed: a time with less has too little to hide
_LEAST_HIDDEN, _MOST_HIDDEN = 0.1, 0.9  # of the observations of a time
_TRIES = 50


def under_other_clouds(
    observed: Array,
    seed: int,
    times: int | None = None,
    *,
    remedy: str,
    avoid: Array | None = None,
) -> Array:
    """Return the points hidden by gaps of other times, (T, P) of bool.

    Parameters
    ----------
    observed : (T, P) of bool
    seed : int
    times : int, optional
        Maximum number of times. Default: all that have enough observations.
    remedy : str
        What to do where no gap can be laid over another time, for the error message.
    avoid : (T,) of bool, optional
        Times of which nothing is hidden.

    Raises
    ------
    InputError
        No time has gaps that hide between a tenth and nine tenths of another's observations.
    """
    rng = np.random.default_rng(seed)
    count = observed.sum(1)
    ever = max(1, int(observed.any(0).sum()))
    enough = count >= max(5, _LEAST_COVER * ever)
    if avoid is not None:
        enough &= ~avoid
    hidden = np.zeros_like(observed)
    donors = np.flatnonzero(count > 0)
    done = 0
    for t in rng.permutation(np.flatnonzero(enough)):
        for donor in rng.choice(donors, min(_TRIES, len(donors)), replace=False):
            cloud = observed[t] & ~observed[donor]
            if _LEAST_HIDDEN * count[t] <= cloud.sum() <= _MOST_HIDDEN * count[t]:
                hidden[t] = cloud
                done += 1
                break
        if done == times:
            break
    if not done:
        raise InputError(
            "no gap of one time can be laid over another: no two times have sufficiently different "
            f"points observed; {remedy}"
        )
    return hidden
