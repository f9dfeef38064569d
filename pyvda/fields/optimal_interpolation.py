"""`oi`: optimal interpolation with a covariance in space and time, fitted to the field or given.

Each variable is estimated by itself, as its mean by pixel and season and the best linear estimate
of the departure from it (Bretherton et al. 1976), from the nearest data of each quadrant and time.
Data at points alone have one mean, or that of a map; beside a field they have the field's.

What is fitted to the whole field (`prepared`) is apart from the estimate of a stretch of times
(`estimate`), so that a field may be read part by part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field as Limits
from pydantic import model_validator
from scipy.spatial import cKDTree

from pyvda.engine import Engine
from pyvda.engine.data import Array, Selection
from pyvda.errors import InputError
from pyvda.fields import covariance as covariances
from pyvda.fields import point_estimate
from pyvda.fields.covariance import KINDS, CovarianceFile, Kind, SpaceTimeCovariance
from pyvda.fields.field import Field, Values
from pyvda.fields.fit import Fit, fit_covariance
from pyvda.fields.interpolation import interpolated
from pyvda.fields.likelihood import fit_by_likelihood
from pyvda.fields.mean import SeasonalMean, default_season_days, mean_of_parts
from pyvda.fields.options import Above, Estimate, FieldOptions, Seed
from pyvda.fields.places import Places
from pyvda.fields.point_mean import read_map
from pyvda.fields.points import DataAtPoints
from pyvda.fields.scattered import NO_TRACK, Rows
from pyvda.fields.velocity import Velocity, read_velocity
from pyvda.io.cf.units import same
from pyvda.progress import Report, silent

FIT, LIKELIHOOD = "fit", "likelihood"
_STEPS = 20
_OF_FIELDS, _OF_POINTS = (12, 1), (15, 5)  # nearest data of the own and of other groups
_GROUP_STEPS = 5.0
_FACTORS = 3
_NEIGHBOURS = 25  # points over which a local variance is averaged
_PRIOR = 10.0  # data of the usual variance that are added to each point
_SAMPLED = 30_000_000  # values, of which a covariance is fitted to a part of a longer field
_ROWS = 20_000  # of a field, that its likelihood is that of
_STRETCH = 40  # times without a break in that part
Parts = Callable[[], Iterable[tuple[Array, Array]]]


class OptimalInterpolationOptions(FieldOptions):
    """Options of optimal interpolation.

    Attributes
    ----------
    covariance : "fit", path or mapping
        Constants of the covariance: fitted to the field, or those of a file that
        `pyvda covariance` wrote.
    season_days : float, optional
        Standard deviation in time of the weights of the mean by pixel and season; 0: a mean of each
        pixel alone. Default: that of the covariance's file, else 22.5 for dates of half a year and
        more, else 0.
    nearest, nearest_other : int, optional
        Data that an estimate uses, in each quadrant: of its own time, and of each other one; of
        data at points, of its own group and of each other one. Default: 12 and 1; of data at points
        15 and 5.
    within_days, within_km : float, optional
        How far away they are at most. Default: 20 time steps; any distance.
    factors : int
        Number of terms of a fitted covariance. Default: 3, or as many as `functions`.
    functions : str or sequence of str, optional
        Function of distance of each fitted factor and, after a slash, that of time, such as
        "exponential,matern32/exponential"; one stands for all. Default: exponential.
    fit_by : {"clouds", "passes", "likelihood"}, optional
        Whether values under clouds of other times are predicted best, or data at points from other
        passes, moorings or floats; or the likelihood of the data is largest. Default: by clouds,
        where the field has gaps; data at points by likelihood.
    local_variance : bool
        Whether the variance of a field differs from point to point: data are divided by the
        standard deviation around each, which the error then has, too.
    velocity : (float, float), path or Dataset, optional
        m s-1, eastward and northward, of a flow that carries the field: two numbers, or a file of
        maps. Default: the covariance stands still.
    seed : int
        Seed of the sample that the covariance is fitted to.
    grid : path, Dataset or str, optional
        Where data at points are estimated: a file with latitude and longitude, or
        `lon0:lon1:step,lat0:lat1:step`.
    times : str, optional
        When they are estimated, `first/last/step`. Default: the grid's times, else every noon of
        the days with data.
    points : path, Dataset or a list of these, optional
        Data at points that are used beside those of a field.
    mean : path or Dataset, optional
        Map that is subtracted from data at points and added to their estimate. Default: their
        average.
    group_days : float, optional
        Width in time of the groups that data at points are put into, of each of which the nearest
        ones are used. Default: five steps of the times that are estimated.
    combined : bool
        Whether the estimate from data at points is corrected by what it differs by from others with
        shorter and longer scales, with weights learned on passes, moorings or floats that are left
        out; see `combination`. An estimate takes up to six interpolations.
    """

    covariance: Any = FIT
    season_days: Annotated[float, Limits(ge=0)] | None = None
    nearest: Annotated[int, Limits(ge=1, le=10_000)] | None = None
    nearest_other: Annotated[int, Limits(ge=0, le=10_000)] | None = None
    within_days: Annotated[float, Limits(ge=0)] | None = None
    within_km: Above | None = None
    factors: Annotated[int, Limits(ge=1, le=6)] | None = None
    functions: str | tuple[str, ...] | None = None
    fit_by: Literal["clouds", "passes", "likelihood"] | None = None
    local_variance: bool = False
    velocity: Any = None
    seed: Seed = 0
    grid: Any = None
    times: str | None = None
    points: Any = None
    mean: Any = None
    group_days: Above | None = None
    combined: bool = False

    @model_validator(mode="after")
    def _check(self) -> OptimalInterpolationOptions:
        self.kinds()
        return self

    def kinds(self) -> tuple[tuple[Kind, Kind], ...]:
        """Return the functions of distance and time of each factor that is fitted."""
        given = self.functions or "exponential"
        listed = given.split(",") if isinstance(given, str) else list(given)
        found = []
        for one in listed:
            space, _, time = one.strip().partition("/")
            pair = (space, time or "exponential")
            if not set(pair) <= set(KINDS):
                raise ValueError(
                    f"functions has {one.strip()!r}, expected one of {', '.join(KINDS)}, perhaps "
                    "with another one of time after a slash"
                )
            found.append(pair)
        if len(found) == 1:
            return tuple(found * (self.factors or _FACTORS))  # type: ignore[arg-type]
        if self.factors not in (None, len(found)):
            raise ValueError(
                f"factors is {self.factors}, but functions has {len(found)}; give one, or as many"
            )
        return tuple(found)  # type: ignore[arg-type]

    def flow(self) -> Velocity | None:
        """Return the velocity of the flow, None where the covariance stands still."""
        return None if self.velocity is None else read_velocity(self.velocity)

    def given(self) -> CovarianceFile | None:
        """Return the covariance of the file, None where it is to be fitted."""
        return None if _is_fit(self.covariance) else covariances.read(self.covariance)

    def reach_days(self, field: Field) -> float:
        """Return the largest distance in time of the data that an estimate uses."""
        return self.selection(field.days).days

    def selection(
        self, days: Array, step: float | None = None, most: tuple[int, int] = _OF_FIELDS
    ) -> Selection:
        """Return which data an estimate uses, of times with a usual step; by default `most`."""
        usual = step_of(days) if step is None else step
        reach = _STEPS * usual if self.within_days is None else self.within_days
        km = np.inf if self.within_km is None else self.within_km
        own, other = (
            usually if given is None else given
            for given, usually in zip((self.nearest, self.nearest_other), most, strict=True)
        )
        return Selection(own, other, reach * (1 + 1e-9), km)


def solve(
    field: Field,
    read: dict[str, Values],
    options: OptimalInterpolationOptions,
    engine: Engine,
    report: Report = silent,
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
    report : Report
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
    report: Report = silent,
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
    report : Report
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
    report: Report = silent,
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


class LocalVariance(NamedTuple):
    """Sums of squared departures around each point.

    Attributes
    ----------
    squares, counts : (P,)
    near : (P, K) of int
        The nearest points.
    """

    squares: Array
    counts: Array
    near: Array

    @staticmethod
    def of(field: Field, parts: Parts, mean: SeasonalMean) -> LocalVariance:
        """Return the local variance of a field's departures from its mean."""
        squares, counts = np.zeros(len(field.places)), np.zeros(len(field.places))
        for days, values in parts():
            anomaly = values - mean.at(days)
            squares += np.nansum(anomaly**2, 0)
            counts += np.isfinite(anomaly).sum(0)
        return LocalVariance(squares, counts, neighbours(field.places))

    def without(self, points: Array, squares: Array) -> LocalVariance:
        """Return the local variance less one datum of `squares` (n,) at each of `points` (n,)."""
        left, counts = self.squares.copy(), self.counts.copy()
        left[points] = np.maximum(left[points] - squares, 0.0)
        counts[points] -= 1
        return LocalVariance(left, counts, self.near)

    def scale(self, points: Array | slice = slice(None)) -> Array:
        """Return the standard deviation around points over the usual one, (n,).

        The mean square of the departures at the nearest points, drawn to the usual one by some
        data.
        """
        near = self.near[points]
        usual = self.squares.sum() / max(1.0, self.counts.sum())
        if not usual > 0:
            return np.ones(len(near))
        total = self.squares[near].sum(1) + _PRIOR * usual
        return np.asarray(np.sqrt(total / (self.counts[near].sum(1) + _PRIOR) / usual))


def neighbours(places: Places) -> Array:
    """Return the nearest points of each, itself among them, (P, K) of int."""
    count = min(_NEIGHBOURS, len(places))
    return cKDTree(places.position).query(places.position, count)[1].reshape(len(places), -1)


def local_scale(field: Field, parts: Parts, mean: SeasonalMean) -> Array:
    """Return the standard deviation around each point over the usual one, (P,)."""
    return LocalVariance.of(field, parts, mean).scale()


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
    return point_estimate.Constants(
        None if given is None else given.variables[name], options.kinds(), options.fit_by,
        options.seed, season_days(field, options, given),
        None if options.mean is None else read_map(options.mean, name, units), options.flow(),
        options.selection(field.days, step, _OF_POINTS), width, step, options.combined,
    )  # fmt: skip


def check(
    field: Field,
    options: OptimalInterpolationOptions,
    given: CovarianceFile | None,
    points: bool = False,
) -> None:
    """Raise InputError unless the options go with the field."""
    if points and options.fit_by == "clouds":
        raise InputError("fit_by is clouds, but data at points have none; leave it out")
    if not points and options.fit_by == point_estimate.PASSES:
        raise InputError("fit_by is passes, but a field has none; leave it out")
    if not points and options.combined:
        raise InputError(
            "combined would have no effect: it is for data at points, whose passes are left out; "
            "leave it out"
        )
    if points and options.local_variance:
        raise InputError(
            "local_variance would have no effect: data at points have the same variance "
            "everywhere; leave it out"
        )
    if given is None:
        return
    for name in ("factors", "functions", "fit_by", "seed"):
        if name in options.model_fields_set and getattr(options, name) is not None:
            raise InputError(
                f"{name} is {getattr(options, name)}, but the covariance is given and not fitted; "
                f"leave out {name} or covariance"
            )
    if given.transform != field.transform.name:
        raise InputError(
            f"the covariance is that of a field with transform {given.transform or 'none'}, but "
            f"transform is {field.transform.name or 'none'}; give the same"
        )
    for name in field.variables:
        if name not in given.variables:
            raise InputError(
                f"the covariance has no variable {name}, only {', '.join(given.variables)}; fit it "
                "(pyvda covariance), or rename the variable"
            )
        units, theirs = str(field.ds[name].attrs.get("units", "")), given.units.get(name)
        if theirs is not None and not same(units, theirs):
            raise InputError(
                f"the covariance of {name} is that of a field in {theirs!r}, but {name} is in "
                f"{units!r}; convert the field, or fit the covariance again"
            )


def step_of(days: Array) -> float:
    """Return the usual step of times, 1 without one."""
    return float(np.median(np.diff(days))) if len(days) > 1 else 1.0


def season_days(
    field: Field, options: OptimalInterpolationOptions, given: CovarianceFile | None
) -> float | None:
    """Return the standard deviation in time of the mean's weights, None for a constant mean."""
    chosen = options.season_days
    if chosen is None and given is not None:
        return given.season_days
    if chosen is None:
        return default_season_days(field.days, field.dated)
    return chosen or None


def fit(
    field: Field,
    values: Values,
    mean: SeasonalMean,
    scale: Array | None,
    options: OptimalInterpolationOptions,
    engine: Engine,
    report: Report = silent,
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
) -> Rows:  # fmt: skip
    """Return some of the departures of a field from its mean, a row each."""
    t, p = np.nonzero(np.isfinite(values.values))
    chosen = np.random.default_rng(seed).permutation(len(t))[:_ROWS]
    t, p = t[chosen], p[chosen]
    local = np.ones(len(field.places)) if scale is None else scale
    stated = np.zeros(len(t)) if values.variance is None else values.variance[t, p]
    return Rows(
        field.places.at(p), field.days[t],
        (values.values[t, p] - mean.pairs(field.days[t], p)) / local[p], stated / local[p] ** 2,
        np.full(len(t), NO_TRACK), np.zeros((len(t), 0)) if velocity is None else velocity[p],
    )  # fmt: skip


def _is_fit(given: Any) -> bool:
    return isinstance(given, str) and given == FIT
