"""Options of optimal interpolation, and whether they go with a field."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field as Limits
from pydantic import model_validator

from pyvda.engine.data import Array, Selection
from pyvda.errors import InputError
from pyvda.fields import covariance as covariances
from pyvda.fields import point_estimate
from pyvda.fields.covariance import KINDS, CovarianceFile, Kind
from pyvda.fields.field import Field
from pyvda.fields.mean import default_season_days
from pyvda.fields.options import Above, FieldOptions, Seed
from pyvda.fields.velocity import Velocity, read_velocity
from pyvda.io.cf.units import same

FIT = "fit"
_STEPS = 20
OF_FIELDS, OF_POINTS = (12, 1), (15, 5)  # nearest data of the own and of other groups
_FACTORS = 3


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
        where the field has gaps, else by likelihood; by passes where data at points have ten.
    local_variance : bool
        Whether the variance of a field differs from point to point: data are divided by the
        standard deviation around each, which the error then has, too. For data at points it is that
        of the maps over time that `mean` gives; the nugget then is the same everywhere.
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
        self, days: Array, step: float | None = None, most: tuple[int, int] = OF_FIELDS
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
    if points and options.local_variance and options.mean is None:
        raise InputError(
            "local_variance would have no effect: data at points have the same variance "
            "everywhere unless maps over time say how it varies; give these (mean), or leave it out"
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


def _is_fit(given: Any) -> bool:
    return isinstance(given, str) and given == FIT
