"""`oi`: optimal interpolation with a covariance in space and time, fitted to the field or given.

Each variable is estimated by itself, as its mean by pixel and season and the best linear estimate
of the departure from it (Bretherton et al. 1976), from the nearest data of each quadrant and time.
Data at points alone have one mean, or that of a map; beside a field they have the field's.

What is fitted to the whole field (`prepared`) is apart from the estimate of a stretch of times
(`estimate`), so that a field may be read part by part.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from pyvda.engine import Engine
from pyvda.engine.data import Array
from pyvda.fields import point_estimate
from pyvda.fields.covariance import CovarianceFile, SpaceTimeCovariance
from pyvda.fields.field import Field, Values
from pyvda.fields.fit import Fit, fit_covariance
from pyvda.fields.interpolation import interpolated
from pyvda.fields.interpolation_options import (
    OF_POINTS,
    OptimalInterpolationOptions,
    check,
    season_days,
    step_of,
)
from pyvda.fields.likelihood import fit_by_likelihood
from pyvda.fields.local_variance import Parts, local_scale
from pyvda.fields.mean import SeasonalMean, mean_of_parts
from pyvda.fields.options import Estimate
from pyvda.fields.point_mean import read_map
from pyvda.fields.points import DataAtPoints
from pyvda.fields.scattered import NO_TRACK, ScatteredRows
from pyvda.progress import ProgressReport, silent

LIKELIHOOD = "likelihood"
_GROUP_STEPS = 5.0
_SAMPLED = 30_000_000  # values, of which a covariance is fitted to a part of a longer field
_ROWS = 20_000  # of a field, that its likelihood is that of
_STRETCH = 40  # times without a break in that part


def solve(
    field: Field,
    read: dict[str, Values],
    options: OptimalInterpolationOptions,
    engine: Engine,
    report: ProgressReport = silent,
    *,
    where: Array | None = None,
    points: DataAtPoints | None = None,
    at_points: Array | None = None,
) -> dict[str, Estimate]:
    """Return the estimate of each variable.

    Parameters
    ----------
    field : Field
    read : dict of Values
        Values of each variable, NaN also where data are withheld.
    options : OptimalInterpolationOptions
    engine : Engine
    report : ProgressReport
    where : (T, P) of bool, optional
        Where to estimate. Default: everywhere.
    points : DataAtPoints, optional
        Data at points, NaN also where they are withheld.
    at_points : (N,) of bool, optional
        At which of their places to estimate. Default: at all.

    Raises
    ------
    InputError
        The file has no covariance of a variable, or one in other units; see `fit_covariance`.
    """
    given = options.given()
    check(field, options, given, points is not None)
    if points is not None:
        return {
            name: point_estimate.estimated(
                engine, field, name, values, points,
                constants_of(field, name, points, options, given), where=where,
                at_points=at_points, report=report,
            )
            for name, values in read.items()
        }  # fmt: skip
    found = {}
    for name, values in read.items():
        parts: Parts = partial(list, [(field.days, values.values)])
        known = prepared(field, name, parts, values, options, given, engine, report)
        found[name] = estimate(field, name, values, known, options, engine, report, where=where)
    return found


class Prepared(NamedTuple):
    """Statistics of the whole field that an estimate needs.

    Attributes
    ----------
    mean : SeasonalMean
    scale : (P,) or None
        Local standard deviation over the usual one.
    covariance : SpaceTimeCovariance
        Covariance of departures from the mean, over `scale`.
    configuration : dict
        The constants, as plain data.
    """

    mean: SeasonalMean
    scale: Array | None
    covariance: SpaceTimeCovariance
    configuration: dict[str, Any]


def prepared(
    field: Field,
    name: str,
    parts: Parts,
    sample: Values | None,
    options: OptimalInterpolationOptions,
    given: CovarianceFile | None,
    engine: Engine,
    report: ProgressReport = silent,
) -> Prepared:
    """Return the mean of a variable, its local variance and its covariance.

    Parameters
    ----------
    field : Field
        With the times of `sample`.
    name : str
    parts : callable
        As in `mean_of_parts`.
    sample : Values, optional
        What a covariance is fitted to; not used where one is given.
    options : OptimalInterpolationOptions
    given : CovarianceFile, optional
    engine : Engine
    report : ProgressReport
    """
    season = season_days(field, options, given)
    mean = mean_of_parts(parts, season)
    scale = local_scale(field, parts, mean) if options.local_variance else None
    found: dict[str, Any] = {"season_days": season}
    if given is not None:
        covariance = given.variables[name]
    elif sample is None:
        raise TypeError("a covariance that is not given is fitted to a sample")
    else:
        fitted = fit(field, sample, mean, scale, options, engine, report)
        covariance = fitted.covariance
        found |= {"fit": fitted.scores()}
    return Prepared(mean, scale, covariance, found | {"covariance": covariance.as_dict()})


def estimate(
    field: Field,
    name: str,
    values: Values,
    known: Prepared,
    options: OptimalInterpolationOptions,
    engine: Engine,
    report: ProgressReport = silent,
    *,
    where: Array | None = None,
    step: float | None = None,
) -> Estimate:
    """Return the estimate of a variable at the times of the field.

    Parameters
    ----------
    step : float, optional
        Usual step of the times, where the field is a part of another. Default: the field's own.
    """
    stated = np.zeros_like(values.values) if values.variance is None else values.variance
    local = np.ones(values.values.shape[1]) if known.scale is None else known.scale
    noise = np.where(np.isfinite(values.values), stated, 0.0) / local**2 + known.covariance.nugget
    at = known.mean.at(field.days)
    anomaly = (values.values - at) / local
    selection = options.selection(field.days, step)
    flow = options.flow()
    arrays = [np.full_like(anomaly, np.nan) for _ in range(4)]
    for block, part in interpolated(
        engine, anomaly, noise, field.days, field.places, known.covariance, selection, where,
        None if flow is None else flow(field.places),
    ):  # fmt: skip
        for whole, one in zip(arrays, part, strict=True):
            whole[block] = one
        report(block.stop, len(anomaly), f"optimal interpolation of {name}")
    value, variance, km, days = arrays
    return Estimate(
        value * local + at, np.sqrt(np.maximum(variance, 0.0)) * local, noise * local**2, km, days,
        known.configuration,
    )  # fmt: skip


def sampled(field: Field) -> Array:
    """Return the times to whose values a covariance is fitted, by index.

    All of a short field; of a longer one stretches without a break, evenly spread.
    """
    times = len(field.days)
    if times * len(field.places) <= _SAMPLED:
        return np.arange(times)
    stretch = min(_STRETCH, times)
    count = max(1, _SAMPLED // (stretch * len(field.places)))
    starts = np.linspace(0, times - stretch, count).round().astype(int)
    return np.unique(starts[:, None] + np.arange(stretch))


def constants_of(
    field: Field,
    name: str,
    points: DataAtPoints,
    options: OptimalInterpolationOptions,
    given: CovarianceFile | None,
) -> point_estimate.Constants:
    """Return the constants of an estimate from points."""
    units = str(points.attrs[name].get("units", ""))
    step = step_of(field.days)
    width = options.group_days or _GROUP_STEPS * step
    mean = None
    if options.mean is not None:
        mean = read_map(options.mean, name, units, varying=options.local_variance)
    return point_estimate.Constants(
        None if given is None else given.variables[name], options.kinds(), options.fit_by,
        options.seed, season_days(field, options, given), mean, options.flow(),
        options.selection(field.days, step, OF_POINTS), width, step, options.combined,
    )  # fmt: skip


def fit(
    field: Field,
    values: Values,
    mean: SeasonalMean,
    scale: Array | None,
    options: OptimalInterpolationOptions,
    engine: Engine,
    report: ProgressReport = silent,
) -> Fit:
    """Fit the covariance of a variable; see `fit_covariance` and `fit_by_likelihood`."""
    flow = options.flow()
    velocity = None if flow is None else flow(field.places)
    there = np.isfinite(values.values)
    complete = bool((there == there.any(0)).all())
    if options.fit_by == LIKELIHOOD or (options.fit_by is None and complete):
        rows = rows_of(field, values, mean, scale, velocity, options.seed)
        return fit_by_likelihood(
            rows, step_of(field.days), kinds=options.kinds(), tracks=False, seed=options.seed,
            report=report,
        )  # fmt: skip
    return fit_covariance(
        engine, values.values, mean, field.days, field.places, variance=values.variance,
        scale=scale, velocity=velocity, kinds=options.kinds(), seed=options.seed, report=report,
    )  # fmt: skip


def rows_of(
    field: Field, values: Values, mean: SeasonalMean, scale: Array | None, velocity: Array | None,
    seed: int,
) -> ScatteredRows:  # fmt: skip
    """Return some of the departures of a field from its mean, a row each."""
    t, p = np.nonzero(np.isfinite(values.values))
    chosen = np.random.default_rng(seed).permutation(len(t))[:_ROWS]
    t, p = t[chosen], p[chosen]
    local = np.ones(len(field.places)) if scale is None else scale
    stated = np.zeros(len(t)) if values.variance is None else values.variance[t, p]
    return ScatteredRows(
        field.places.at(p), field.days[t],
        (values.values[t, p] - mean.pairs(field.days[t], p)) / local[p], stated / local[p] ** 2,
        np.full(len(t), NO_TRACK), np.zeros((len(t), 0)) if velocity is None else velocity[p],
    )  # fmt: skip
