"""One variable of the training of a network for fields: its values and their statistics."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pyvda.engine import Engine
from pyvda.engine.data import Array
from pyvda.errors import InputError
from pyvda.fields.covariance import CovarianceFile, SpaceTimeCovariance
from pyvda.fields.field import Field, Values
from pyvda.fields.interpolation_options import OptimalInterpolationOptions, season_days
from pyvda.fields.local_variance import LocalVariance
from pyvda.fields.mean import SeasonalMean, seasonal_mean
from pyvda.fields.optimal_interpolation import fit
from pyvda.progress import ProgressReport


@dataclass(frozen=True)
class Series:
    """One variable of the training.

    Attributes
    ----------
    values : (T, P)
        Observations, NaN without, and where they are values of validation.
    held : (T, P)
        Values of validation without a truth, else NaN.
    stated : (T, P)
        Error variances that the file states, 0 without.
    mean, level : SeasonalMean
        By pixel and season, and by pixel.
    season_variance : float
        Variance of the one about the other.
    local : LocalVariance
        Variance of departures from the mean.
    covariance : SpaceTimeCovariance
    scale : float
    truth : (T, P), optional
    """

    values: Array
    held: Array
    stated: Array
    mean: SeasonalMean
    level: SeasonalMean
    season_variance: float
    local: LocalVariance
    covariance: SpaceTimeCovariance
    scale: float
    truth: Array | None


def series_of(
    field: Field,
    name: str,
    values: Values,
    held: Array,
    options: OptimalInterpolationOptions,
    given: CovarianceFile | None,
    engine: Engine,
    report: ProgressReport,
    truth: Array | None,
) -> Series:
    """Return a variable with its mean and covariance, from what is not held back."""
    checks = np.where(held, values.values, np.nan)
    values = replace(values, values=np.where(held, np.nan, values.values))
    if not np.isfinite(values.values).any():
        raise InputError(f"no observation of {name} is left; withhold fewer, or choose another")
    known = values.values if truth is None else truth
    mean = seasonal_mean(known, field.days, season_days(field, options, given))
    if given is None:
        covariance = fit(field, values, mean, None, options, engine, report).covariance
    else:
        covariance = given.variables[name]
    anomaly = values.values - mean.at(field.days)
    scale = float(np.nanstd(anomaly))
    if not scale > 0:
        raise InputError(f"{name} does not differ from its mean; choose another variable")
    stated = np.zeros_like(anomaly) if values.variance is None else values.variance
    level = seasonal_mean(known, field.days, None)
    return Series(
        values.values, checks, np.where(np.isfinite(stated), stated, 0.0), mean, level,
        float((mean.at(field.days) - level.at(field.days)).var()),
        LocalVariance.of(field, lambda: [(field.days, known)], mean), covariance, scale, truth,
    )  # fmt: skip
