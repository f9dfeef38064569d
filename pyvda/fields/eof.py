"""`eof`: reconstruction by empirical orthogonal functions, as DINEOF does it.

Gaps of the anomalies begin as zero and are replaced by a truncated decomposition, again and again,
until they stay (Beckers and Rixen 2003). The number of modes is that with the least error on
values under clouds of other times. A diffusion in time smooths the modes (Alvera-Azcárate et al.
2009), and their amplitudes are those of the smoothed matrix, as in DINEOF's program: less is left
of what does not last. The error is that of the optimal interpolation whose covariance the modes are
(Beckers, Barth and Alvera-Azcárate 2006). Several variables are decomposed together, each over its
own standard deviation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field as Limits
from scipy.linalg import eigh, solve_banded
from scipy.sparse.linalg import svds

from pyvda.engine import Engine
from pyvda.engine.data import Array
from pyvda.errors import InputError
from pyvda.fields.clouds import under_other_clouds
from pyvda.fields.field import Field, Values
from pyvda.fields.mean import default_season_days, seasonal_mean
from pyvda.fields.options import Estimate, FieldOptions, Seed
from pyvda.progress import ProgressReport, silent

_WORSE = 3  # numbers of modes in a row that do not lower the error: the search ends
_LONG = 30  # times, from which on a filter is the default
_HALVINGS = 12  # of the interval of the logarithm of a variance
_STEPS = 10  # of the diffusion that filters
_LANCZOS = 1000  # from so many times and points on; fewer have a small matrix of products


class EOFOptions(FieldOptions):
    """Options of the reconstruction by empirical orthogonal functions.

    Attributes
    ----------
    modes : int, optional
        Number of modes. Default: chosen on values under clouds of other times.
    most_modes : int
        Largest number that is tried.
    filter_days : float, optional
        Standard deviation of the filter in time, (2 alpha numit)^½ of DINEOF's settings; 0: none.
        Default: two time steps of a series of 30 and more, else none.
    season_days : float, optional
        Width in time of the mean by pixel and season, as for `oi`.
    iterations : int
        At most, for each number of modes.
    tolerance : float
        The values in the gaps have come to rest when their root mean square change is below this
        fraction of the standard deviation.
    seed : int
        Seed of the clouds.
    """

    modes: Annotated[int, Limits(ge=1)] | None = None
    most_modes: Annotated[int, Limits(ge=1)] = 20
    filter_days: Annotated[float, Limits(ge=0)] | None = None
    season_days: Annotated[float, Limits(ge=0)] | None = None
    iterations: Annotated[int, Limits(ge=1)] = 100
    tolerance: Annotated[float, Limits(gt=0)] = 1e-3
    seed: Seed = 0


@dataclass(frozen=True)
class Modes:
    """A truncated decomposition: patterns (P, K) times their standard deviation, and (T, K)."""

    patterns: Array
    times: Array

    @property
    def product(self) -> Array:
        """The reconstructed matrix, (P, T)."""
        return self.patterns @ self.times.T


def decomposed(matrix: Array, modes: int, smooth: Array | None) -> Modes:
    """Return the leading modes of a matrix (P, T), by Lanczos' method where there are many times.

    With `smooth` (T, T), those in time are the right singular vectors of the smoothed matrix, and
    the amplitudes its singular values; the shape of a pattern is from the matrix itself.
    """
    filtered = matrix if smooth is None else matrix @ smooth.T
    if filtered.shape[1] < max(_LANCZOS, modes + 2):
        last = filtered.shape[1] - 1
        squares, times = eigh(filtered.T @ filtered, subset_by_index=(last - modes + 1, last))
        squares, times = squares[::-1], times[:, ::-1]
    else:
        start = np.ones(min(filtered.shape))
        _, singular, vh = svds(filtered, modes, v0=start, return_singular_vectors="vh")
        squares, times = singular[::-1] ** 2, vh[::-1].T
    return _modes(matrix, squares, times, smooth)


def _modes(matrix: Array, squares: Array, times: Array, smooth: Array | None) -> Modes:
    """Return modes of given right singular vectors (T, K) and squared singular values (K,)."""
    patterns = matrix @ times
    if smooth is not None:
        least = np.finfo(float).tiny
        patterns *= np.sqrt(np.maximum(squares, 0) / np.maximum((patterns**2).sum(0), least))
    return Modes(patterns, times)


def filled(
    matrix: Array,
    there: Array,
    modes: int,
    smooth: Array | None,
    iterations: int,
    tolerance: float,
) -> tuple[Array, Modes]:
    """Return the matrix (P, T) with its gaps replaced, and the modes that do.

    Parameters
    ----------
    matrix : (P, T)
        With a first guess in the gaps.
    there : (P, T) of bool
    modes : int
    smooth : (T, T), optional
    iterations : int
    tolerance : float
        Limit of the root mean square change of the values in the gaps.
    """
    gaps = ~there
    found = decomposed(matrix, modes, smooth)
    count = max(1, int(gaps.sum()))
    for _ in range(iterations):
        change = (found.product - matrix) * gaps
        matrix = matrix + change
        found = _advanced(matrix, found, smooth)
        if np.sqrt(np.vdot(change, change) / count) < tolerance:
            break
    return matrix, decomposed(matrix, modes, smooth)


def _advanced(matrix: Array, modes: Modes, smooth: Array | None) -> Modes:
    """Return the modes of a matrix that has changed little, after one step of a power iteration."""
    filtered = matrix if smooth is None else matrix @ smooth.T
    times = np.linalg.qr(filtered.T @ (filtered @ modes.times))[0]
    if smooth is None:  # any basis of the same space has the same product
        return Modes(matrix @ times, times)
    projected = filtered @ times
    squares, turned = eigh(projected.T @ projected)
    return _modes(matrix, squares[::-1], times @ turned[:, ::-1], smooth)


def solve(
    field: Field,
    read: dict[str, Values],
    options: EOFOptions,
    engine: Engine,
    report: ProgressReport = silent,
    *,
    where: Array | None = None,
) -> dict[str, Estimate]:
    """Return the estimate of each variable.

    Parameters
    ----------
    field : Field
    read : dict of Values
        Values of each variable, NaN also where data are withheld.
    options : EOFOptions
    engine : Engine
        Not used: the decomposition is SciPy's.
    report : ProgressReport
    where : (T, P) of bool, optional
        Not used: the whole field is reconstructed.

    Raises
    ------
    InputError
        There are fewer times or points than modes, or no clouds to choose their number by.
    """
    chosen = options.season_days
    season = default_season_days(field.days, field.dated) if chosen is None else chosen or None
    means = {n: seasonal_mean(v.values, field.days, season).at(field.days) for n, v in read.items()}
    anomalies = {name: values.values - means[name] for name, values in read.items()}
    scales = {name: float(np.nanstd(one)) or 1.0 for name, one in anomalies.items()}
    matrix = np.concatenate([anomalies[n].T / scales[n] for n in read])
    there = np.isfinite(matrix)
    matrix = np.where(there, matrix, 0.0)
    limit = min(matrix.shape) - 1
    if limit < 1:
        raise InputError(
            f"there are {matrix.shape[1]} times of {matrix.shape[0]} points, of which there are no "
            "modes, expected at least two of both; choose the method oi"
        )
    if (options.modes or 1) > limit:
        raise InputError(
            f"modes is {options.modes or 1}, but {matrix.shape[1]} times of {matrix.shape[0]} "
            f"points have at most {max(limit, 0)}; choose fewer, or the method oi"
        )
    width = _filter_days(field.days) if options.filter_days is None else options.filter_days
    smooth = diffusion(field.days, width)
    trials = _tried(matrix, there, smooth, options, limit, report)
    best = min(trials, key=lambda trial: trial.error)
    modes, errors = best.number, [float(np.sqrt(trial.error)) for trial in trials]
    # As in the trials, the gaps are filled by one mode first, and then by more.
    whole = matrix
    for number in [trial.number for trial in trials if trial.number <= modes]:
        whole, found = filled(whole, there, number, smooth, options.iterations, options.tolerance)
    product = found.product
    residual = float(((product - matrix)[there] ** 2).mean())
    noise = _noise(best, residual)
    variance = _of_modes(found, there, noise) + residual
    result, row = {}, 0
    for name in read:
        rows = slice(row, row + anomalies[name].shape[1])
        row = rows.stop
        result[name] = Estimate(
            product[rows].T * scales[name] + means[name],
            np.sqrt(variance[rows].T) * scales[name],
            np.zeros(anomalies[name].shape),
            configuration={
                "modes": modes,
                "errors": errors,
                "season_days": season,
                "filter_days": width,
            },
        )
    return result


@dataclass(frozen=True)
class Trial:
    """A number of modes, fitted without values that are hidden under clouds of other times.

    Attributes
    ----------
    number : int
    error : float
        Mean squared error of the hidden values.
    modes : Modes
    left, hidden : (P, T) of bool
        Values that were used, and those that were not.
    squares : (n,)
        Squared errors of the hidden values, in the order of `hidden`.
    """

    number: int
    error: float
    modes: Modes
    left: Array
    hidden: Array
    squares: Array


def _tried(
    matrix: Array,
    there: Array,
    smooth: Array | None,
    options: EOFOptions,
    limit: int,
    report: ProgressReport,
) -> list[Trial]:
    """Return trials of increasing numbers of modes, until more of them do not help."""
    count = there.shape[1]
    hidden = under_other_clouds(
        there.T, options.seed, max(1, count // 10),
        remedy="use the method oi with a covariance (--covariance), which needs no gaps",
    ).T  # fmt: skip
    left = there & ~hidden
    truth = matrix[hidden]
    trial = np.where(left, matrix, 0.0)
    tried = [options.modes] if options.modes else range(1, min(options.most_modes, limit) + 1)
    found: list[Trial] = []
    for number in tried:
        report(number, max(tried), "number of modes")
        trial, modes = filled(trial, left, number, smooth, options.iterations, options.tolerance)
        squares = (modes.product[hidden] - truth) ** 2
        found.append(Trial(number, float(squares.mean()), modes, left, hidden, squares))
        best = min(range(len(found)), key=lambda n: found[n].error)
        if len(found) - 1 - best >= _WORSE:
            break
    return found


def _filter_days(days: Array) -> float:
    """Return the standard deviation of the filter in time where none is given."""
    return 2 * float(np.median(np.diff(days))) if len(days) >= _LONG else 0.0


def diffusion(days: Array, deviation: float) -> Array | None:
    """Return the matrix (T, T) of a diffusion in time, whose rows have the sum 1.

    Backward Euler steps of ∂f/∂t = ∂²f/∂x² over a "time" of deviation²/2, between times of any
    distance, without a flux through the ends.
    """
    if deviation == 0:
        return None
    step = np.diff(days)
    width = np.concatenate((step[:1], (step[:-1] + step[1:]) / 2, step[-1:]))
    flux = deviation**2 / 2 / _STEPS / step
    bands = np.zeros((3, len(days)))
    bands[0, 1:] = -flux / width[:-1]
    bands[2, :-1] = -flux / width[1:]
    bands[1] = 1 - np.append(bands[0, 1:], 0) - np.append(0, bands[2, :-1])
    found = np.eye(len(days))
    for _ in range(_STEPS):
        found = solve_banded((1, 1), bands, found)
    return np.asarray(found)


def _noise(trial: Trial, residual: float) -> float:
    """Return the error variance r of a datum in `_of_modes`.

    Errors of neighbouring data are not independent: r is raised until the squared errors of hidden
    values over their variance, that of the modes and what they leave out, have the mean 1.
    """
    times = np.flatnonzero(trial.hidden.any(0))
    within = trial.hidden[:, times]

    def ratio(noise: float) -> float:
        variance = _of_modes(trial.modes, trial.left[:, times], noise)[within] + residual
        return float((trial.squares / variance).mean())

    low = np.log(max(residual, 1e-12))
    high = low + np.log(1e6)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if ratio(np.exp(middle)) > 1:
            low = middle
        else:
            high = middle
    return float(np.exp(high))


def _of_modes(modes: Modes, there: Array, noise: float) -> Array:
    """Return the variance of the error of the modes' part, (P, T).

    L (I + Lᵀ L / r)⁻¹ Lᵀ over the points that are observed, where L Lᵀ is the covariance of the
    modes and r the error variance of a datum. `there` may be that of other times than the modes'.
    """
    scale = modes.patterns / np.sqrt(len(modes.times))
    found = np.empty(there.shape)
    for t in range(there.shape[1]):
        seen = scale[there[:, t]]
        inner = np.eye(scale.shape[1]) + seen.T @ seen / noise
        root = np.linalg.solve(np.linalg.cholesky(inner), scale.T)
        found[:, t] = (root**2).sum(0)
    return found
