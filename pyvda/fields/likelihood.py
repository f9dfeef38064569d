"""Fit the constants of a covariance by the likelihood of small sets of data.

The data of a set lie around one of them, within a distance and a time that differ from set to set;
sets count as independent (a composite likelihood, Varin, Reid and Firth 2011), and each has the
exact Gaussian density of its data. This needs no gaps, and takes data at any points.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyvda.engine.data import Array
from pyvda.errors import InputError
from pyvda.fields.covariance import Factor, Kind, SpaceTimeCovariance, shape, slope
from pyvda.fields.fit import Fit, minimised
from pyvda.fields.scattered import NO_TRACK, ScatteredRows, scaled
from pyvda.progress import ProgressReport, silent

_SETS, _DATA = 48, 80
_LEAST = 40  # data
_PRIOR_DEVIATION = 2.5  # of the logarithm of a constant, around where the search starts
_REACHES = (0.05, 0.2, 0.5)  # of the extent, and of the longest time, of a set
_LONGEST = 40.0  # groups
_TRACK_KM = 20.0

NOT_DEFINITE = (
    "no covariance of these functions is positive definite for the data; choose functions that are "
    "less smooth than gaussian"
)


def fit_by_likelihood(
    rows: ScatteredRows,
    width: float,
    *,
    kinds: Sequence[tuple[Kind, Kind]] = (("exponential", "exponential"),) * 3,
    tracks: bool = True,
    seed: int = 0,
    iterations: int = 40,
    report: ProgressReport = silent,
) -> Fit:
    """Fit a sum of factors, a nugget, and the error that data of a pass share.

    Parameters
    ----------
    rows : ScatteredRows
        `noise` is that which the file states, to which the nugget is added.
    width : float
        Days, the unit of the times that the search starts from.
    kinds : sequence of (space, time)
        Functions of each factor.
    tracks : bool
        Whether data of a pass share an error.
    seed : int
        Seed of the sets.
    iterations : int
        Maximum number of iterations of the minimisation.
    report : ProgressReport

    Returns
    -------
    Fit
        Its scores are those of each datum of the sets predicted from the others of its set.

    Raises
    ------
    InputError
        There are fewer than 40 data, or they do not differ.
    """
    over = scaled(rows)
    total = variance_of(over)
    extent = max(rows.places.extent(), 1e-3)
    sets = _sets(rows, extent, width, seed)
    unit = rows.places.deviations()[sets] ** -2
    km, days, same, noise, value = _arrays(over, sets)
    tracks = tracks and bool(same.sum() > same.shape[0] * same.shape[1])
    start = start_of(total, extent, width, len(kinds), tracks)

    def objective(logs: Array) -> tuple[float, Array]:
        covariance = covariance_of(logs, kinds, tracks)
        found = _solved(covariance, km, days, same, noise + covariance.nugget * unit)
        if found is None:
            return 1e3, np.zeros_like(logs)
        inverse, log_root = found
        solved = (inverse @ value[..., None])[..., 0]
        # tr(A⁻¹ dA) / 2 - yᵀ A⁻¹ dA A⁻¹ y / 2
        weight = 0.5 * (inverse - solved[..., None] * solved[:, None])
        gradient = derivatives_of(covariance, weight, km, days, same, unit, tracks)
        away = (logs - start) / _PRIOR_DEVIATION
        likelihood = log_root + 0.5 * (value * solved).sum() + 0.5 * (away**2).sum()
        return float(likelihood) / value.size, (gradient + away / _PRIOR_DEVIATION) / value.size

    best = covariance_of(minimised(objective, start, 7.0, iterations, report), kinds, tracks)
    found = _solved(best, km, days, same, noise + best.nugget * unit)
    if found is None:
        raise InputError(NOT_DEFINITE)
    # Each datum from the others of its set: error (A⁻¹ y)ᵢ / (A⁻¹)ᵢᵢ, of variance 1 / (A⁻¹)ᵢᵢ.
    spread = 1 / np.diagonal(found[0], axis1=1, axis2=2)
    error = (found[0] @ value[..., None])[..., 0] * spread
    return Fit.of(best, error / np.sqrt(unit), spread / unit)


def derivatives_of(
    covariance: SpaceTimeCovariance, weight: Array, km: Array, days: Array, same: Array,
    unit: Array, tracks: bool,
) -> Array:  # fmt: skip
    """Return those of a weighted sum of covariances of data by the logarithms as of `start_of`.

    Parameters
    ----------
    covariance : SpaceTimeCovariance
    weight, km, days : (S, n, n + m)
        From n data to themselves and to m points, which have no errors.
    same : (S, n, n) of bool
        Whether two data are of one pass.
    unit : (S, n)
        What the nugget is multiplied by, see `passes._Sets`.
    tracks : bool
        Whether the data of a pass share an error.
    """
    size = km.shape[1]
    own = weight[:, :, :size]
    nugget = covariance.nugget * np.vdot(unit, np.diagonal(own, axis1=1, axis2=2))
    behind = []
    if tracks:
        s = km[:, :, :size] / covariance.track_km
        shared = covariance.track_variance * own * same * shape("exponential", s)
        behind = [shared.sum(), np.vdot(shared, slope("exponential", s))]
    return np.array([nugget, *covariance.derivatives(km, days, weight), *behind])


def variance_of(rows: ScatteredRows) -> float:
    """Return the variance of data that a covariance is fitted to.

    Raises
    ------
    InputError
        There are fewer than 40 data, or they do not differ.
    """
    if len(rows.value) < _LEAST:
        raise InputError(
            f"a covariance cannot be fitted to {len(rows.value)} data, expected at least {_LEAST}; "
            "give one in a file (covariance)"
        )
    total = float(rows.value.var())
    if not total > 0:
        raise InputError(
            "the data do not differ from their mean, so that there is no covariance to fit; choose "
            "another variable"
        )
    return total


def _sets(rows: ScatteredRows, extent: float, width: float, seed: int) -> Array:
    """Return the data of each set, (S, n) of int."""
    rng = np.random.default_rng(seed)
    count = len(rows.value)
    size = min(_DATA, count)
    longest = min(_LONGEST * width, max(np.ptp(rows.days), width))
    found = np.empty((_SETS, size), int)
    for s in range(_SETS):
        reach = _REACHES[s % len(_REACHES)]
        scale = [extent * reach, longest * _REACHES[(s // len(_REACHES)) % len(_REACHES)]]
        centre = rng.integers(count)
        km = np.linalg.norm(rows.places.position - rows.places.position[centre], axis=1)
        days = np.abs(rows.days - rows.days[centre])
        away = np.maximum(km / scale[0], days / scale[1])
        inside = np.flatnonzero(away <= 1)
        if len(inside) >= size:
            found[s] = rng.choice(inside, size, replace=False)
        else:
            found[s] = np.argsort(away)[:size]
    return found


def _arrays(rows: ScatteredRows, sets: Array) -> tuple[Array, ...]:
    """Return km, days, whether of the same pass (S, n, n); noise and value (S, n)."""
    position, time, track = rows.places.position[sets], rows.days[sets], rows.track[sets]
    if rows.velocity.size:  # where all data of a set are at the time of its first
        position = position + rows.velocity[sets] * (time[:, :1] - time)[..., None]
    km = np.linalg.norm(position[:, :, None] - position[:, None], axis=-1)
    same = (track[:, :, None] == track[:, None]) & (track != NO_TRACK)[:, :, None]
    return km, np.abs(time[:, :, None] - time[:, None]), same, rows.noise[sets], rows.value[sets]


def _solved(
    covariance: SpaceTimeCovariance, km: Array, days: Array, same: Array, noise: Array
) -> tuple[Array, float] | None:
    """Return inverse covariances of the sets' data and the logarithm of their roots' determinants.

    `noise` has the nugget. None if a covariance is not positive definite.
    """
    matrix = covariance(km, days)
    if covariance.track_variance:
        matrix += covariance.track_variance * same * shape("exponential", km / covariance.track_km)
    diagonal = np.arange(km.shape[1])
    matrix[:, diagonal, diagonal] += noise
    try:
        root = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return None
    return np.linalg.inv(matrix), float(np.log(np.diagonal(root, axis1=1, axis2=2)).sum())


def start_of(total: float, extent: float, width: float, factors: int, tracks: bool) -> Array:
    """Return logarithms of nugget, then variance, km and days of each factor, then of passes."""
    known = [(0.5, 0.1, 15.0), (0.3, 0.3, 5.0), (0.1, 0.03, 3.0)]
    known += [(0.1, 0.02 * 3.0**k, 5.0 * 2.0**k) for k in range(factors)]
    rows = [(v * total, part * extent, steps * width) for v, part, steps in known[:factors]]
    behind = [0.03 * total, _TRACK_KM] if tracks else []
    return np.log([0.05 * total, *(number for row in rows for number in row), *behind])


def covariance_of(
    logs: Array, kinds: Sequence[tuple[Kind, Kind]], tracks: bool
) -> SpaceTimeCovariance:
    """Return the covariance of logarithms as of `start_of`."""
    numbers = np.exp(logs)
    rows = numbers[1 : 1 + 3 * len(kinds)].reshape(-1, 3).tolist()
    shared = {"track_variance": float(numbers[-2]), "track_km": float(numbers[-1])}
    return SpaceTimeCovariance(
        factors=tuple(
            Factor(variance=v, km=km, days=days, space=space, time=time)
            for (v, km, days), (space, time) in zip(rows, kinds, strict=True)
        ),
        nugget=float(numbers[0]),
        **(shared if tracks else {}),
    )
