"""Fit the constants of a covariance to data at points by cross-validation on whole passes.

Data of one pass lie closer together than the passes do, and have the errors that they share: the
likelihood of all of them is decided by what one pass has at short distances, and a map between the
passes is not the better for it. So some data of a pass are estimated from those of others, the
nearest of the same time and of the times around, and the constants minimise the mean negative log
likelihood of their errors; see `fit.unlikeliness`. Moorings and floats are passes, too.

The errors of a pass have much in common, so that a pass counts as one datum against the prior of
the constants. At distances shorter than those between passes, the errors of data cannot be
separated from the field; the prior of their variances is narrower than that of other constants.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pyvda.engine.data import Array
from pyvda.errors import InputError
from pyvda.fields.covariance import Kind, SpaceTimeCovariance, shape
from pyvda.fields.fit import Fit, minimised, unlikeliness
from pyvda.fields.likelihood import (
    NOT_DEFINITE,
    covariance_of,
    derivatives_of,
    start_of,
    variance_of,
)
from pyvda.fields.scattered import NO_TRACK, ScatteredRows, scaled
from pyvda.progress import ProgressReport, silent

LEAST_PASSES = 10
_SETS, _LEAST_SETS, _TARGETS, _DATA = 300, 50, 4, 60
_SPREAD = 4  # times as many data of the pass as targets, among which these are
_TIMES_AROUND = 4.0  # groups before and after
_PRIOR_DEVIATION = 2.5  # of the logarithm of a constant, around where the search starts
_PRIOR_OF_ERRORS = 1.0  # the same, of the variances of the errors of data


def fit_by_passes(
    rows: ScatteredRows,
    step: float,
    width: float,
    *,
    kinds: Sequence[tuple[Kind, Kind]] = (("exponential", "exponential"),) * 3,
    seed: int = 0,
    iterations: int = 40,
    report: ProgressReport = silent,
) -> Fit:
    """Fit a sum of factors, a nugget, and the error that data of a pass share.

    Parameters
    ----------
    rows : ScatteredRows
        `noise` is that which the file states, to which the nugget is added.
    step : float
        Days, the unit of the times that the search starts from.
    width : float
        Days of a group, within which data count as of the same time.
    kinds : sequence of (space, time)
        Functions of each factor.
    seed : int
        Seed of the sets.
    iterations : int
        Maximum number of iterations of the minimisation.
    report : ProgressReport

    Returns
    -------
    Fit
        Its scores are those of data that are estimated from other passes.

    Raises
    ------
    InputError
        There are fewer than 10 passes or 40 data, or these do not differ.
    """
    total = variance_of(scaled(rows))
    passes = count_passes(rows)
    if passes < LEAST_PASSES:
        raise InputError(
            f"a covariance cannot be fitted by passes that are left out, since there are {passes}, "
            f"expected at least {LEAST_PASSES}; let fit_by be likelihood, or give one in a file "
            "(covariance)"
        )
    sets = _sets(rows, width, seed)
    start = start_of(total, max(rows.places.extent(), 1e-3), step, len(kinds), True)
    deviation = np.full(len(start), _PRIOR_DEVIATION)
    deviation[[0, -2]] = _PRIOR_OF_ERRORS

    def objective(logs: Array) -> tuple[float, Array]:
        covariance = covariance_of(logs, kinds, True)
        found = _estimated(sets, covariance)
        if found is None:
            return 1e3, np.zeros_like(logs)
        counted = sets.counted
        value, by_error, by_spread = unlikeliness(found.error[counted], found.spread[counted])
        slopes = np.zeros((2, *counted.shape))
        slopes[:, counted] = by_error, by_spread
        away = (logs - start) / deviation
        gradient = _gradient(sets, covariance, found, *slopes)
        return (
            value + 0.5 * float((away**2).sum()) / passes,
            gradient + away / deviation / passes,
        )

    best = covariance_of(minimised(objective, start, 7.0, iterations, report), kinds, True)
    found = _estimated(sets, best)
    if found is None:
        raise InputError(NOT_DEFINITE)
    local = sets.unit[:, sets.km.shape[1] :][sets.counted] ** -0.5
    return Fit.of(best, found.error[sets.counted] * local, found.spread[sets.counted] * local**2)


def count_passes(rows: ScatteredRows) -> int:
    """Return the number of passes, moorings and floats."""
    return len(np.unique(rows.track[rows.track != NO_TRACK]))


class _Sets(NamedTuple):
    """Data, and targets of another pass, S sets of n and m; the targets come last.

    Attributes
    ----------
    km, days : (S, n, n + m)
        From the data to the data and to the targets.
    same : (S, n, n) of bool
        Whether two data are of one pass.
    noise, value : (S, n + m)
        Over the standard deviation of the field around each.
    unit : (S, n + m)
        What the nugget is multiplied by: 1 over the square of that.
    counted : (S, m) of bool
        False for targets that are there twice, since the pass has fewer data.
    """

    km: Array
    days: Array
    same: Array
    noise: Array
    value: Array
    unit: Array
    counted: Array


def _sets(rows: ScatteredRows, width: float, seed: int) -> _Sets:
    rng = np.random.default_rng(seed)
    of_passes = np.flatnonzero(rows.track != NO_TRACK)
    largest = int(np.unique(rows.track[of_passes], return_counts=True)[1].max())
    size = min(_DATA, len(rows.value) - largest)
    count = min(_SETS, max(_LEAST_SETS, len(of_passes) // _TARGETS))
    chosen = np.empty((count, size + _TARGETS), int)
    counted = np.ones((count, _TARGETS), bool)
    for s in range(count):
        centre = rng.choice(of_passes)
        own = rows.track == rows.track[centre]
        apart = np.abs(rows.days - rows.days[centre])
        reach = apart <= (0.5 + _TIMES_AROUND) * width
        near = reach | own if (reach & ~own).sum() >= size else np.ones_like(own)
        near = np.flatnonzero(near)
        position = rows.places.position[near]
        if rows.velocity.size:
            position = position + rows.velocity[near] * (rows.days[centre] - rows.days[near, None])
        km = np.linalg.norm(position - rows.places.position[centre], axis=1)
        near = near[np.argsort(km, kind="stable")]
        mine = near[own[near]][: _SPREAD * _TARGETS]
        targets = rng.permutation(mine)[:_TARGETS]
        counted[s, len(targets) :] = False
        near = near[~own[near]]
        # Half of the data are of the same time, where there are as many; far ones come last.
        order = np.where(apart[near] <= width / 2, 0, np.where(reach[near], 1, 2))
        half = near[order == 0][: size // 2]
        rest = near[~np.isin(near, half)]
        rest = rest[np.lexsort((np.arange(len(rest)), order[~np.isin(near, half)] != 1))]
        data = np.concatenate([half, rest])[:size]
        chosen[s] = np.concatenate([data, np.resize(targets, _TARGETS)])
    position, days = rows.places.position[chosen], rows.days[chosen]
    if rows.velocity.size:  # where all data of a set are at the time of its first
        position = position + rows.velocity[chosen] * (days[:, :1] - days)[..., None]
    km = np.linalg.norm(position[:, :size, None] - position[:, None], axis=-1)
    track = rows.track[chosen[:, :size]]
    same = (track[:, :, None] == track[:, None]) & (track != NO_TRACK)[:, :, None]
    over = scaled(rows)
    return _Sets(
        km, np.abs(days[:, :size, None] - days[:, None]), same, over.noise[chosen],
        over.value[chosen], rows.places.deviations()[chosen] ** -2, counted,
    )  # fmt: skip


class _Estimates(NamedTuple):
    """Errors of the targets and their variances (S, m), and A⁻¹ times values and covariances."""

    error: Array
    spread: Array
    values: Array
    weights: Array


def _estimated(sets: _Sets, covariance: SpaceTimeCovariance) -> _Estimates | None:
    """Return the estimates of the targets; None if a covariance is not positive definite."""
    size = sets.km.shape[1]
    field = covariance(sets.km, sets.days)
    cross = field[:, :, size:]
    own = sets.km[:, :, :size] / covariance.track_km
    matrix = covariance.track_variance * sets.same * shape("exponential", own)
    matrix += field[:, :, :size]
    noise = sets.noise + covariance.nugget * sets.unit
    diagonal = np.arange(size)
    matrix[:, diagonal, diagonal] += noise[:, :size]
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return None
    both = np.concatenate([sets.value[:, :size, None], cross], -1)
    solved = np.linalg.solve(matrix, both)
    values, weights = solved[..., 0], solved[..., 1:]
    error = sets.value[:, size:] - (values[..., None] * cross).sum(1)
    total = covariance.variance + covariance.track_variance
    return _Estimates(
        error, total + noise[:, size:] - (weights * cross).sum(1), values, weights
    )  # fmt: skip


def _gradient(
    sets: _Sets, covariance: SpaceTimeCovariance, found: _Estimates, by_error: Array,
    by_spread: Array,
) -> Array:  # fmt: skip
    """Return the derivatives of a function of errors and variances by the logarithms.

    With u = A⁻¹ y and w = A⁻¹ c, the error changes by wᵀ dA u - dcᵀ u and the variance by
    dc₀ - 2 wᵀ dc + wᵀ dA w.
    """
    u, w = found.values[..., None], found.weights
    a, b = by_error[:, None], by_spread[:, None]
    weight = np.concatenate([(a * w).sum(-1)[:, :, None] * u.swapaxes(1, 2)
                             + (b * w) @ w.swapaxes(1, 2), -a * u - 2 * b * w], -1)  # fmt: skip
    size = sets.km.shape[1]
    unit, of_targets = sets.unit[:, :size], sets.unit[:, size:]
    gradient = derivatives_of(covariance, weight, sets.km, sets.days, sets.same, unit, True)
    total = by_spread.sum()
    gradient[0] += covariance.nugget * np.vdot(by_spread, of_targets)
    gradient[1:-2:3] += total * covariance.rows()[:, 0]
    gradient[-2] += covariance.track_variance * total
    return gradient
