"""Parameters that all windows share, estimated in rounds.

A round minimises every window with a Gaussian around the previous round's parameters as their
prior, and combines the windows' information on them (`control.common`). That information is exact
to second order around the window's own minimum. The Gaussian is narrow, so that this minimum lies
close to the common parameters, and the rounds converge to the solution of the joint problem of all
windows. The last round holds the parameters fixed, and the states adjust.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pyvda.engine.data import Minima
from pyvda.engine.interface import Array
from pyvda.methods.control import Common, Prior, common, moved, with_all_windows, with_common
from pyvda.names import Status
from pyvda.notices import notice

_ROUNDS = 10
_STILL = 3e-3  # standard deviations that the common parameters may move in the last round
# Factors on the precision of the common parameters. With a larger _NARROW the windows' slopes would
# vanish in the tolerance of their minima; the last round needs no slopes.
_NARROW, _HELD = 30.0, 1e6


def in_common(
    found: Minima,
    prior: Prior,
    size: int,
    limit: Array,
    minimise: Callable[[Array, Prior], Minima],
) -> Minima:
    """Return the minimum of each window with the parameters that fit all windows best.

    Windows that did not converge, or whose objective is above `limit`, are excluded.

    Parameters
    ----------
    found : Minima
        Minima with separate parameters for each window, from any number of starts.
    prior : Prior
        The prior with which `found` was minimised.
    size : int
        D, the size of the state.
    limit : (W,)
        Objective above which a window is doubtful.
    minimise : callable(controls, prior)
        Minimises every window from starting controls (W, S, C).

    Returns
    -------
    Minima
        (W, 1, ...). The Hessians include the other windows' information on the parameters;
        iterations are summed over all rounds.
    """
    before = Common(prior.mean[size:], prior.precision[size:, size:])
    best, iterations = _best(found), found.iterations.sum(1)
    used, known = prior, before
    for _ in range(_ROUNDS):
        counted = (best.status[:, 0] == Status.CONVERGED) & (best.objective[:, 0] <= limit)
        last, known = (
            known,
            common(best.control[counted, 0], best.hessian[counted, 0], used, before),
        )
        shift = known.mean - last.mean
        if used is not prior and shift @ known.precision @ shift < _STILL**2:
            break
        used = with_common(prior, known.mean, _NARROW * known.precision)
        best = minimise(_there(best, used.mean, size), used)
        iterations += best.iterations[:, 0]
    if not counted.any():
        notice(
            f"none of {len(counted)} windows fits its data well enough to count for the shared "
            "parameters, which stay what they were before; give the parameters a wider prior "
            "(parameter_stdev), or correct the error of the observations"
        )
    # Start from the minima of all starts: with these parameters another one may be the lowest.
    held = with_common(prior, known.mean, _HELD * known.precision)
    starts = (_there(best, held.mean, size), _there(found, held.mean, size))
    at_last = minimise(np.concatenate(starts, axis=1), held)
    iterations += at_last.iterations.sum(1)
    best = _best(at_last)
    best.control[:, 0, size:] = known.mean
    hessian = with_all_windows(best.hessian[:, 0], known.precision)[:, None]
    return best._replace(hessian=hessian, iterations=iterations[:, None])


def _there(found: Minima, mean: Array, size: int) -> Array:
    """Return the controls of the minima, (W, S, C), moved to the parameters in `mean`, (C,)."""
    size_of_all = found.control.shape
    control = found.control.reshape(-1, size_of_all[2])
    hessian = found.hessian.reshape(len(control), *found.hessian.shape[2:])
    finite = np.isfinite(control).all(1) & np.isfinite(hessian).all((1, 2))
    starts = np.broadcast_to(mean, control.shape).copy()
    starts[finite] = moved(control[finite], hessian[finite], mean[size:])
    starts[~np.isfinite(starts).all(1)] = mean
    return starts.reshape(size_of_all)


def _best(found: Minima) -> Minima:
    """Return the lowest minimum of each window, (W, 1, ...)."""
    rows = np.arange(len(found.objective))
    start = np.where(np.isfinite(found.objective), found.objective, np.inf).argmin(1)
    return Minima(*(values[rows, start][:, None] for values in found))
