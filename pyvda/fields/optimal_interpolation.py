"""`oi`: optimal interpolation with a covariance in space and time, fitted to the field or given.

Each variable is estimated by itself, as its mean by pixel and season and the best linear estimate
of the departure from it (Bretherton et al. 1976), from the nearest data of each quadrant and time.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field as Limits

from pyvda.engine import Engine
from pyvda.engine.data import Array, Selection
from pyvda.errors import InputError
from pyvda.fields import covariance as covariances
from pyvda.fields.covariance import CovarianceFile, SpaceTimeCovariance
from pyvda.fields.field import Field, Values
from pyvda.fields.fit import Fit, fit_covariance
from pyvda.fields.interpolation import interpolated
from pyvda.fields.mean import SeasonalMean, default_season_days, seasonal_mean
from pyvda.fields.options import Above, Estimate, FieldOptions, Seed
from pyvda.io.cf.units import same
from pyvda.progress import Report, silent

FIT = "fit"
_STEPS = 20


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
    nearest, nearest_other : int
        Data that an estimate uses, in each quadrant: of its own time, and of each other one.
    within_days, within_km : float, optional
        How far away they are at most. Default: 20 time steps; any distance.
    factors : int
        Of the covariance, where it is fitted.
    seed : int
        Of the sample that it is fitted to.
    """

    covariance: Any = FIT
    season_days: Annotated[float, Limits(ge=0)] | None = None
    nearest: Annotated[int, Limits(ge=1, le=10_000)] = 12
    nearest_other: Annotated[int, Limits(ge=0, le=10_000)] = 1
    within_days: Annotated[float, Limits(ge=0)] | None = None
    within_km: Above | None = None
    factors: Annotated[int, Limits(ge=1, le=6)] = 3
    seed: Seed = 0

    def given(self) -> CovarianceFile | None:
        """Return the covariance of the file, None where it is to be fitted."""
        return None if _is_fit(self.covariance) else covariances.read(self.covariance)

    def selection(self, days: Array) -> Selection:
        """Return which data an estimate uses."""
        step = float(np.median(np.diff(days))) if len(days) > 1 else 1.0
        reach = _STEPS * step if self.within_days is None else self.within_days
        km = np.inf if self.within_km is None else self.within_km
        return Selection(self.nearest, self.nearest_other, reach * (1 + 1e-9), km)


def solve(
    field: Field,
    read: dict[str, Values],
    options: OptimalInterpolationOptions,
    engine: Engine,
    report: Report = silent,
    *,
    where: Array | None = None,
) -> dict[str, Estimate]:
    """Return the estimate of each variable.

    Parameters
    ----------
    field : Field
    read : dict of Values
        Of each variable, NaN also where data are withheld.
    options : OptimalInterpolationOptions
    engine : Engine
    report : Report
    where : (T, P) of bool, optional
        Where to estimate. Default: everywhere.

    Raises
    ------
    InputError
        The file has no covariance of a variable, or one in other units; see `fit_covariance`.
    """
    given = options.given()
    check(field, options, given)
    return {
        name: _estimated(field, name, values, options, given, engine, report, where)
        for name, values in read.items()
    }


def check(field: Field, options: OptimalInterpolationOptions, given: CovarianceFile | None) -> None:
    """Raise InputError unless the options go with the field."""
    if given is None:
        return
    for name in ("factors", "seed"):
        if name in options.model_fields_set:
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


def mean_of(
    field: Field, values: Array, options: OptimalInterpolationOptions, given: CovarianceFile | None
) -> SeasonalMean:
    """Return the mean of a variable by pixel and season."""
    return seasonal_mean(values, field.days, season_days(field, options, given))


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
    options: OptimalInterpolationOptions,
    engine: Engine,
    report: Report = silent,
) -> Fit:
    """Fit the covariance of a variable; see `fit_covariance`."""
    return fit_covariance(
        engine, values.values, mean, field.days, field.places, variance=values.variance,
        factors=options.factors, seed=options.seed, report=report,
    )  # fmt: skip


def _estimated(
    field: Field,
    name: str,
    values: Values,
    options: OptimalInterpolationOptions,
    given: CovarianceFile | None,
    engine: Engine,
    report: Report,
    where: Array | None,
) -> Estimate:
    mean = mean_of(field, values.values, options, given)
    covariance: SpaceTimeCovariance
    found: dict[str, Any] = {"season_days": mean.days}
    if given is None:
        fitted = fit(field, values, mean, options, engine, report)
        covariance = fitted.covariance
        found |= {"fit": {"rmse": fitted.rmse, "calibration": fitted.calibration,
                          "nll": fitted.nll, "values": fitted.count}}  # fmt: skip
    else:
        covariance = given.variables[name]
    stated = np.zeros_like(values.values) if values.variance is None else values.variance
    noise = np.where(np.isfinite(values.values), stated, 0.0) + covariance.nugget
    at = mean.at(field.days)
    anomaly = values.values - at
    selection = options.selection(field.days)
    arrays = [np.full_like(anomaly, np.nan) for _ in range(4)]
    for block, part in interpolated(
        engine, anomaly, noise, field.days, field.places, covariance, selection, where
    ):
        for whole, one in zip(arrays, part, strict=True):
            whole[block] = one
        report(block.stop, len(anomaly), f"optimal interpolation of {name}")
    value, variance, km, days = arrays
    return Estimate(
        value + at, np.sqrt(np.maximum(variance, 0.0)), noise, km, days,
        found | {"covariance": covariance.as_dict()},
    )  # fmt: skip


def _is_fit(given: Any) -> bool:
    return isinstance(given, str) and given == FIT
