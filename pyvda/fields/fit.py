"""Fit the constants of a covariance to a field by cross-validation under displaced clouds.

The hidden values of a sample are estimated from the nearest data that are left, and the constants
minimise their mean negative log likelihood, Gaussian up to 4 standard deviations and with the tails
of an exponential beyond, so that rare outliers do not decide.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from pyvda.engine import Engine
from pyvda.engine.data import Array, Selection
from pyvda.errors import InputError
from pyvda.fields.clouds import under_other_clouds
from pyvda.fields.covariance import Factor, Kind, SpaceTimeCovariance
from pyvda.fields.interpolation import field_data, targets
from pyvda.fields.mean import SeasonalMean
from pyvda.fields.places import Places
from pyvda.progress import ProgressReport, silent

_GAUSSIAN_UP_TO = 4.0  # standard deviations
_PRIOR_DEVIATION = 2.5  # of the logarithm of a constant, around where the search starts
_OWN, _OTHER = 6, 1  # data in a quadrant, while fitting
_LEAST = 20


@dataclass(frozen=True)
class Fit:
    """A fitted covariance and how well it predicts what was hidden.

    Attributes
    ----------
    covariance : SpaceTimeCovariance
    rmse : float
        Root mean square error of the sample's hidden values, in units of what is estimated.
    calibration : float
        Mean squared error over estimated variance, 1 if that is right.
    nll : float
        Mean Gaussian negative log likelihood.
    count : int
        Values in the sample.
    """

    covariance: SpaceTimeCovariance
    rmse: float
    calibration: float
    nll: float
    count: int

    @staticmethod
    def of(covariance: SpaceTimeCovariance, error: Array, spread: Array) -> Fit:
        """Return the scores of errors with estimated variances, `spread`, of any shape."""
        return Fit(
            covariance, float(np.sqrt((error**2).mean())), float((error**2 / spread).mean()),
            float(0.5 * (np.log(2 * np.pi * spread) + error**2 / spread).mean()), error.size,
        )  # fmt: skip

    def scores(self) -> dict[str, float]:
        """Return the scores as plain data."""
        return {"rmse": self.rmse, "calibration": self.calibration, "nll": self.nll,
                "values": self.count}  # fmt: skip


def fit_covariance(
    engine: Engine,
    values: Array,
    mean: SeasonalMean,
    days: Array,
    places: Places,
    *,
    variance: Array | None = None,
    scale: Array | None = None,
    velocity: Array | None = None,
    kinds: Sequence[tuple[Kind, Kind]] = (("exponential", "exponential"),) * 3,
    sample: int = 1500,
    seed: int = 0,
    iterations: int = 40,
    report: ProgressReport = silent,
) -> Fit:
    """Fit a sum of factors and a nugget.

    Parameters
    ----------
    engine : Engine
    values : (T, P)
        NaN where nothing was observed.
    mean : SeasonalMean
    days : (T,)
    places : Places
    variance : (T, P), optional
        Variance of the errors that the file states, to which the nugget is added.
    scale : (P,), optional
        Local standard deviation over the usual one, by which anomalies are divided.
    velocity : (P, 3), optional
        km a day, of a flow that carries the field.
    kinds : sequence of (space, time)
        Functions of each factor.
    sample : int
        Hidden values that are estimated.
    seed : int
        Seed of clouds and sample.
    iterations : int
        Maximum number of iterations of the minimisation.
    report : ProgressReport

    Raises
    ------
    InputError
        There are too few data, or no gaps to lay over other times.
    """
    there = np.isfinite(values)
    hidden = under_other_clouds(
        there, seed,
        remedy="give the covariance in a file (--covariance), such as pyvda covariance writes of a "
        "field with gaps",
    )  # fmt: skip
    t, p = np.nonzero(hidden)
    if len(t) < _LEAST:
        raise InputError(
            f"a covariance cannot be fitted to {len(t)} values under clouds of other times, "
            f"expected at least {_LEAST}; give one in a file (covariance)"
        )
    chosen = np.random.default_rng(seed).permutation(len(t))[:sample]
    chosen = chosen[np.lexsort((t[chosen], p[chosen]))]
    t, p = t[chosen], p[chosen]
    local = np.ones(values.shape[1]) if scale is None else scale
    anomaly = (values - mean.at(days)) / local
    truth = (values[t, p] - mean.without_own(days[t], p, values[t, p])) / local[p]
    stated = np.zeros_like(values) if variance is None else variance / local**2
    step = float(np.median(np.diff(days))) if len(days) > 1 else 1.0
    selection = Selection(_OWN, _OTHER, 10.01 * step, np.inf)
    data = field_data(anomaly, np.where(there, stated, 0.0), days, places, hidden, velocity)
    asked = targets(places, t, p, days)
    own_error = stated[t, p]

    def predicted(covariance: SpaceTimeCovariance) -> tuple[Array, Array, Array]:
        """Return errors and their variances, and the derivatives of the estimates."""
        found, derivatives = engine.interpolation_derivatives(
            data._replace(noise=data.noise + covariance.nugget), asked, selection,
            covariance.rows(),
        )  # fmt: skip
        spread = found.variance + covariance.nugget + own_error
        return truth - found.value, spread, derivatives

    total = float(np.nanvar(anomaly))
    if not total > 0:
        raise InputError(
            "the field does not differ from its mean, so that there is no covariance to fit; "
            "choose another variable"
        )
    start = _start(total, max(places.extent(), 1e-3), step, len(kinds))

    def objective(logs: Array) -> tuple[float, Array]:
        covariance = _covariance(logs, kinds)
        error, spread, derivatives = predicted(covariance)
        if not (np.isfinite(error).all() and (spread > 0).all()):
            return 1e3, np.zeros_like(logs)
        value, by_error, by_spread = unlikeliness(error, spread)
        slope = by_spread @ derivatives[:, 1] - by_error @ derivatives[:, 0]
        slope[0] = covariance.nugget * (slope[0] + by_spread.sum())
        away = (logs - start) / _PRIOR_DEVIATION
        prior = 0.5 * float((away**2).sum()) / len(error)
        return value + prior, slope + away / _PRIOR_DEVIATION / len(error)

    found = minimised(objective, start, 6.0, iterations, report, tolerance=1e-6)
    best = _covariance(found, kinds)
    return Fit.of(best, *predicted(best)[:2])


def minimised(
    objective: Callable[[Array], tuple[float, Array]],
    start: Array,
    reach: float,
    iterations: int,
    report: ProgressReport,
    *,
    tolerance: float = 1e-7,
) -> Array:
    """Return the logarithms of the constants that minimise a function of them, (n,).

    The function returns its value and its gradient. By L-BFGS-B, within `reach` of the logarithms
    where the search starts, until the function falls by less than a relative `tolerance`.
    Evaluations are reported.
    """
    most, calls = 2 * iterations, itertools.count(1)

    def reported(logs: Array) -> tuple[float, Array]:
        report(min(next(calls), most), most, "fit of the covariance")
        return objective(logs)

    done = minimize(
        reported, start, jac=True, method="L-BFGS-B",
        bounds=[(one - reach, one + reach) for one in start],
        options={"maxiter": iterations, "ftol": tolerance, "maxfun": most},
    )  # fmt: skip
    report(most, most, "fit of the covariance")
    return np.asarray(done.x)


def unlikeliness(error: Array, spread: Array) -> tuple[float, Array, Array]:
    """Return the mean negative log likelihood of errors, up to a constant, with longer tails.

    Parameters
    ----------
    error, spread : (n,)
        Errors and their variances.

    Returns
    -------
    float, (n,), (n,)
        And its derivatives by both.
    """
    far = np.abs(error) / np.sqrt(spread)
    near = np.minimum(far, _GAUSSIAN_UP_TO)
    value = 0.5 * (np.log(spread) + near * (2 * far - near)).mean()
    by_error = near * np.sign(error) / np.sqrt(spread)
    by_spread = 0.5 * (1 - near * far) / spread
    return float(value), by_error / len(error), by_spread / len(error)


def _start(total: float, extent: float, step: float, factors: int) -> Array:
    """Return logarithms of nugget, then variance, km and days of each factor."""
    known = [(0.4, 0.3, 20.0), (0.4, 0.4, 1.0), (0.1, 0.04, 3.0)]
    known += [(0.1, 0.02 * 3.0**k, 5.0 * 2.0**k) for k in range(factors)]
    rows = [(v * total, part * extent, steps * step) for v, part, steps in known[:factors]]
    return np.log([0.05 * total, *(number for row in rows for number in row)])


def _covariance(logs: Array, kinds: Sequence[tuple[Kind, Kind]]) -> SpaceTimeCovariance:
    numbers = np.exp(logs)
    rows = numbers[1:].reshape(len(kinds), 3).tolist()
    return SpaceTimeCovariance(
        factors=tuple(
            Factor(variance=v, km=km, days=days, space=space, time=time)
            for (v, km, days), (space, time) in zip(rows, kinds, strict=True)
        ),
        nugget=float(numbers[0]),
    )
