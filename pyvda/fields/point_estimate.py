"""Optimal interpolation of one variable from data at points, and optionally those of a field."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from pyvda.engine import Engine
from pyvda.engine.data import Array, Interpolated, Selection
from pyvda.fields import target
from pyvda.fields.combination import corrected, learned
from pyvda.fields.covariance import Kind, SpaceTimeCovariance
from pyvda.fields.field import Field, Values
from pyvda.fields.fit import Fit
from pyvda.fields.likelihood import fit_by_likelihood
from pyvda.fields.mean import SeasonalMean, seasonal_mean
from pyvda.fields.options import Estimate, PointEstimate
from pyvda.fields.passes import LEAST_PASSES, count_passes, fit_by_passes
from pyvda.fields.places import Places
from pyvda.fields.point_mean import MeanMap
from pyvda.fields.points import DataAtPoints
from pyvda.fields.scattered import NO_TRACK, ScatteredRows, interpolated_at, joined
from pyvda.fields.velocity import Velocity
from pyvda.progress import ProgressReport, silent

PASSES = "passes"
Correction = Callable[[ScatteredRows, Places, Array, Interpolated], Interpolated]
"""Changes an interpolation of data at places and times."""


class Constants(NamedTuple):
    """Constants of an estimate from points.

    Attributes
    ----------
    covariance : SpaceTimeCovariance, optional
        None: it is fitted.
    kinds : sequence of (space, time)
        Functions of the factors that are fitted.
    fit_by : {"passes", "likelihood"}, optional
        What the fit goes by; see `fitted`. Default: passes where there are `LEAST_PASSES`.
    seed : int
        Seed of the fit.
    season_days : float, optional
        Width in time of the mean of the field beside the points.
    mean : MeanMap, optional
        Mean of points without a field.
    velocity : Velocity, optional
        Velocity of the flow that carries the field.
    selection : Selection
    width : float
        Days of a group of data.
    step : float
        Step of the estimated times.
    combined : bool
        Whether the estimate is corrected by interpolations with other constants.
    weights : sequence of float, optional
        Those of the corrections. None: learned from the data.
    """

    covariance: SpaceTimeCovariance | None
    kinds: Sequence[tuple[Kind, Kind]]
    fit_by: str | None
    seed: int
    season_days: float | None
    mean: MeanMap | None
    velocity: Velocity | None
    selection: Selection
    width: float
    step: float
    combined: bool = False
    weights: Sequence[float] | None = None


class Anomalies(NamedTuple):
    """Departures of all data from the mean, and the mean where it is asked for.

    Attributes
    ----------
    rows : ScatteredRows
        Data; `noise` is the error variance that the files state.
    grid : (T, P)
        Mean on the grid.
    points : (N,)
        Mean at the points, of which not all have a datum.
    """

    rows: ScatteredRows
    grid: Array
    points: Array


def estimated(
    engine: Engine,
    field: Field,
    name: str,
    values: Values,
    points: DataAtPoints,
    constants: Constants,
    *,
    where: Array | None = None,
    at_points: Array | None = None,
    correction: Correction | None = None,
    report: ProgressReport = silent,
) -> Estimate:
    """Return the estimate of a variable on the grid and at the points.

    Parameters
    ----------
    engine : Engine
    field : Field
    name : str
    values : Values
        Those of the field, NaN everywhere where there are points alone.
    points : DataAtPoints
    constants : Constants
    where : (T, P) of bool, optional
        Where to estimate. Default: everywhere.
    at_points : (N,) of bool, optional
        At which points to estimate. Default: at all.
    correction : callable(rows, places, days, interpolated), optional
        Changes the interpolation, such as a network does.
    report : ProgressReport

    Raises
    ------
    InputError
        See `fit_by_passes`, `fit_by_likelihood`, `learned`, `interpolated_at`.
    """
    days = points.days(target.origin(field))
    found = anomalies(field, name, values, points, constants)
    configuration: dict[str, Any] = {}
    covariance = constants.covariance
    if covariance is None:
        fit = fitted(found.rows, constants, report)
        covariance = fit.covariance
        configuration["fit"] = fit.scores()
    rows = found.rows._replace(noise=found.rows.noise + covariance.nugget)
    grid_places, own_places = (varying(one, constants) for one in (field.places, points.places))
    weights = weights_of(engine, rows, covariance, constants, report)
    if constants.combined:
        configuration["weights"] = weights.tolist()
    shape = values.values.shape
    times, grid_points = np.nonzero(np.ones(shape, bool) if where is None else where)
    rest = np.flatnonzero(np.ones(len(days), bool) if at_points is None else at_points)

    def asked(places: Places, point: Array, when: Array) -> Interpolated:
        def interpolated(covariance: SpaceTimeCovariance, selection: Selection) -> Interpolated:
            return interpolated_at(
                engine, rows, places, point, when, covariance, selection, constants.width, report
            )

        found = corrected(interpolated, covariance, constants.selection, weights)
        return found if correction is None else correction(rows, places.at(point), when, found)

    on_grid = asked(grid_places, grid_points, field.days[times])
    along = asked(own_places.at(rest), np.arange(len(rest)), days[rest])
    parts = np.full((4, *shape), np.nan)
    parts[:, times, grid_points] = on_grid
    at = np.full((2, len(days)), np.nan)
    at[:, rest] = along.value + found.points[rest], along.variance
    noise = covariance.nugget + covariance.track_variance
    stated = points.values[name].variance
    return Estimate(
        parts[0] + found.grid, np.sqrt(np.maximum(parts[1], 0.0)), np.full(shape, noise),
        parts[2], parts[3], configuration | {"covariance": covariance.as_dict()},
        PointEstimate(
            at[0], np.sqrt(np.maximum(at[1], 0.0)),
            noise + (np.zeros(len(days)) if stated is None else stated),
        ),
    )  # fmt: skip


def fitted(rows: ScatteredRows, constants: Constants, report: ProgressReport = silent) -> Fit:
    """Fit a covariance to departures from the mean; see `fit_by_passes`, `fit_by_likelihood`."""
    how: dict[str, Any] = {"kinds": constants.kinds, "seed": constants.seed, "report": report}
    by_passes = constants.fit_by == PASSES
    if constants.fit_by is None:
        by_passes = count_passes(rows) >= LEAST_PASSES
    if by_passes:
        return fit_by_passes(rows, constants.step, constants.width, **how)
    return fit_by_likelihood(rows, constants.step, **how)


def weights_of(
    engine: Engine,
    rows: ScatteredRows,
    covariance: SpaceTimeCovariance,
    constants: Constants,
    report: ProgressReport = silent,
) -> Array:
    """Return the weights of corrections by other interpolations, none where these are not used.

    Parameters
    ----------
    engine : Engine
    rows : ScatteredRows
        With the variance of their errors, the nugget included.
    covariance : SpaceTimeCovariance
    constants : Constants
    report : ProgressReport

    Raises
    ------
    InputError
        See `combination.learned`.
    """
    if not constants.combined:
        return np.zeros(0)
    if constants.weights is not None:
        return np.asarray(constants.weights)
    return learned(
        engine, rows, covariance, constants.selection, constants.width, constants.seed, report
    )


def anomalies(
    field: Field, name: str, values: Values, points: DataAtPoints, constants: Constants
) -> Anomalies:
    """Return the departures of the data of field and points from their mean.

    Beside a field its mean by pixel and season is that of the points, too, at the nearest pixel;
    else the mean is that of the map, and the average of the data around it.
    """
    of_points = points.values[name]
    days = points.days(target.origin(field))
    there = np.isfinite(of_points.values)
    stated = np.zeros(len(days)) if of_points.variance is None else of_points.variance
    t, p = np.nonzero(np.isfinite(values.values))
    if len(t):
        mean: SeasonalMean = seasonal_mean(values.values, field.days, constants.season_days)
        grid = mean.at(field.days)
        at_points = mean.pairs(
            days, cKDTree(field.places.position).query(points.places.position)[1]
        )
    else:
        grid = np.zeros(values.values.shape)
        at_points = np.zeros(len(days))
        if constants.mean is not None:
            grid = grid + constants.mean(field.places)
            at_points = constants.mean(points.places)
        level = (of_points.values - at_points)[there].mean()
        grid, at_points = grid + level, at_points + level
    flow = constants.velocity or _still
    rows = ScatteredRows(
        varying(points.places, constants), days, of_points.values - at_points, stated, points.track,
        flow(points.places),
    ).at(there)  # fmt: skip
    if len(t):
        error = np.zeros(len(t)) if values.variance is None else values.variance[t, p]
        rows = joined(
            ScatteredRows(
                varying(field.places.at(p), constants), field.days[t], (values.values - grid)[t, p],
                error, np.full(len(t), NO_TRACK), flow(field.places)[p],
            ), rows,
        )  # fmt: skip
    return Anomalies(rows, grid, at_points)


def varying(places: Places, constants: Constants) -> Places:
    """Return places with the standard deviation that the maps of the mean have around each."""
    if constants.mean is None or constants.mean.deviation is None:
        return places
    return replace(places, deviation=constants.mean.deviation_at(places))


def _still(places: Places) -> Array:
    return np.zeros((len(places), 0))
