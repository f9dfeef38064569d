"""Parameters that all windows have in common, by rounds of one Gaussian for all of them.

A round minimises every window with a Gaussian around the last round's parameters as their prior,
and adds up what the windows say (`control.common`). What a window says is exact to second order
around its own minimum; the Gaussian is narrow, so that the minimum lies where the window is asked,
and the common parameters are those of the one large problem. The last round holds the parameters,
and the states follow.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pyvda.engine.data import Minima
from pyvda.engine.interface import Array
from pyvda.methods.control import Common, Prior, common, moved, with_all_windows, with_common
from pyvda.names import Status

_ROUNDS = 10
_STILL = 3e-3  # standard deviations by which the common parameters may still move
# Times the precision of the common parameters. With more, the windows' slopes, which are what is
# left of a minimum's tolerance, would be lost; the last round needs no slopes.
_NARROW, _HELD = 30.0, 1e6


def in_common(
    found: Minima,
    prior: Prior,
    size: int,
    limit: Array,
    minimise: Callable[[Array, Prior], Minima],
) -> Minima:
    """Return the minima with the parameters that suit all windows best, one for each window.

    Windows that did not converge, or whose objective is above `limit`, have no say.

    Parameters
    ----------
    found : Minima
        With parameters of each window's own, from any number of starts.
    prior : Prior
        With which they were found.
    size : int
        Of the state, D.
    limit : (W,)
        Objective above which a window is in doubt.
    minimise : function
        Of starting controls (W, S, C) and a prior.

    Returns
    -------
    Minima
        (W, 1, ...). The Hessians count what the other windows say of the parameters; iterations are
        those of all rounds.
    """
    before = Common(prior.mean[size:], prior.precision[size:, size:])
    best, iterations = _best(found), found.iterations.sum(1)
    used, known = prior, before
    for _ in range(_ROUNDS):
        say = (best.status[:, 0] == Status.CONVERGED) & (best.objective[:, 0] <= limit)
        last, known = known, common(best.control[say, 0], best.hessian[say, 0], used, before)
        shift = known.mean - last.mean
        if used is not prior and shift @ known.precision @ shift < _STILL**2:
            break
        used = with_common(prior, known.mean, _NARROW * known.precision)
        best = minimise(_there(best, used.mean, size), used)
        iterations += best.iterations[:, 0]
    # From every start's minimum: with these parameters another one may be the lowest.
    held = with_common(prior, known.mean, _HELD * known.precision)
    starts = (_there(best, held.mean, size), _there(found, held.mean, size))
    at_last = minimise(np.concatenate(starts, axis=1), held)
    iterations += at_last.iterations.sum(1)
    best = _best(at_last)
    best.control[:, 0, size:] = known.mean
    hessian = with_all_windows(best.hessian[:, 0], known.precision)[:, None]
    return best._replace(hessian=hessian, iterations=iterations[:, None])


def _there(found: Minima, mean: Array, size: int) -> Array:
    """Return controls (W, S, C) where the minima lead with the parameters of the prior's mean."""
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
