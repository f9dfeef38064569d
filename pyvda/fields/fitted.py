"""The covariances of a file's fields or points, fitted and shown, as `pyvda covariance` does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pyvda.engine import get_engine
from pyvda.engine.data import Array
from pyvda.errors import InputError
from pyvda.fields import point_estimate, target
from pyvda.fields import points as of_points
from pyvda.fields.covariance import CovarianceFile
from pyvda.fields.field import Field, opened
from pyvda.fields.fit import Fit
from pyvda.fields.interpolation_options import OptimalInterpolationOptions, check, season_days
from pyvda.fields.local_variance import local_scale
from pyvda.fields.mean import mean_of_parts
from pyvda.fields.optimal_interpolation import constants_of, fit, rows_of
from pyvda.fields.scattered import ScatteredRows, scaled
from pyvda.io.sources import sources
from pyvda.progress import ProgressReport, silent
from pyvda.validation_errors import validated

_PAIRS = 400_000
_BINS = 15


class Fitted(NamedTuple):
    """A fit and the rows whose products show it."""

    fit: Fit
    rows: ScatteredRows
    step: float


def fit_field_covariance(
    observations: Any,
    variable: str | Sequence[str] | None = None,
    *,
    engine: str | None = None,
    group: str | None = None,
    report: ProgressReport = silent,
    **options: Any,
) -> tuple[CovarianceFile, dict[str, Fitted]]:
    """Fit the covariance in space and time of each variable of a gappy field, or of points.

    Parameters
    ----------
    observations : Dataset, path, ...
        As in `pyvda.assimilate`.
    variable : str or sequence of str, optional
    engine, group : str, optional
    report : ProgressReport
    **options
        Of `OptimalInterpolationOptions`: mask, transform, season_days, factors, functions, fit_by,
        local_variance, velocity, mean, group_days, seed.

    Returns
    -------
    CovarianceFile
        What `covariance.write` writes, and the option `covariance` of `oi` takes.
    dict of Fitted
        How well each predicts values that it does not use.
    """
    checked = validated(OptimalInterpolationOptions, options, "options of the covariance")
    several = observations if isinstance(observations, list | tuple) else [observations]
    first = sources.as_dataset(several[0], "the argument observations", group=group)
    if of_points.are_points(first, variable):
        points = of_points.read(list(several), variable, transform=checked.transform, group=group)
        field = target.around(points, checked.transform)
        check(field, checked, None, points=True)
        found = {
            name: _of_points(field, name, points, checked, report) for name in points.variables
        }
        attrs = points.attrs
    else:
        if len(several) > 1:
            first = sources.as_dataset(observations, "the argument observations", group=group)
        field = opened(first, variable, mask=checked.mask, transform=checked.transform)
        running = get_engine(engine)
        found = {name: _of_field(field, name, checked, running, report) for name in field.variables}
        attrs = {name: field.ds[name].attrs for name in field.variables}
    file = CovarianceFile(
        variables={name: one.fit.covariance for name, one in found.items()},
        units={n: str(attrs[n]["units"]) for n in found if "units" in attrs[n]},
        transform=checked.transform, season_days=season_days(field, checked, None),
    )  # fmt: skip
    return file, found


def _of_field(
    field: Field,
    name: str,
    options: OptimalInterpolationOptions,
    engine: Any,
    report: ProgressReport,
) -> Fitted:
    values = field.read(name)

    def parts() -> list[tuple[Array, Array]]:
        return [(field.days, values.values)]

    mean = mean_of_parts(parts, season_days(field, options, None))
    scale = local_scale(field, parts, mean) if options.local_variance else None
    done = fit(field, values, mean, scale, options, engine, report)
    step = float(np.median(np.diff(field.days))) if len(field.days) > 1 else 1.0
    return Fitted(done, rows_of(field, values, mean, scale, None, options.seed), step)


def _of_points(
    field: Field,
    name: str,
    points: of_points.DataAtPoints,
    options: OptimalInterpolationOptions,
    report: ProgressReport,
) -> Fitted:
    constants = constants_of(field, name, points, options, None)
    rows = point_estimate.anomalies(field, name, field.read(name), points, constants).rows
    return Fitted(point_estimate.fitted(rows, constants, report), scaled(rows), constants.step)


def described(fits: Mapping[str, Fitted]) -> list[str]:
    """Return lines that show fits: the factors, and the error of values that were not used."""
    lines = []
    for name, (one, rows, _) in fits.items():
        unit = f" {rows.places.unit}".rstrip()
        lines.append(
            f"{name}: RMSE {one.rmse:.4g} at {one.count} values that were not used, "
            f"squared error / variance {one.calibration:.2f}, NLL {one.nll:.2f}"
        )
        for f in one.covariance.factors:
            functions = "" if f.space == f.time == "exponential" else f", {f.space}/{f.time}"
            lines.append(
                f"  variance {f.variance:.4g}, {f.km:.4g}{unit}, {f.days:.4g} days{functions}"
            )
        lines.append(f"  nugget {one.covariance.nugget:.4g}")
        if one.covariance.track_variance:
            lines.append(
                f"  of a pass: variance {one.covariance.track_variance:.4g}, "
                f"{one.covariance.track_km:.4g}{unit}"
            )
    return lines


class Binned(NamedTuple):
    """Mean products of departures by lag, (n,) each."""

    lag: Array
    data: Array
    model: Array


def binned(fitted: Fitted, seed: int = 0) -> tuple[Binned, Binned]:
    """Return the covariance of the data and of the fit: by distance, then by time.

    By distance are pairs within half a step of time, by time those within the first distance.

    Parameters
    ----------
    fitted : Fitted
    seed : int
        Seed of the pairs.

    Raises
    ------
    InputError
        There are fewer than two data.
    """
    rows = fitted.rows
    count = len(rows.value)
    if count < 2:
        raise InputError("a covariance is shown by pairs of data, but there is one; give more")
    rng = np.random.default_rng(seed)
    order = np.argsort(rows.days, kind="stable")
    first = rng.integers(0, count, _PAIRS)
    # Half of the pairs are of nearly the same time.
    near = np.clip(first + rng.integers(1, 200, _PAIRS), 0, count - 1)
    second = np.where(np.arange(_PAIRS) % 2, rng.integers(0, count, _PAIRS), near)
    i, j = order[first], order[second]
    i, j = i[i != j], j[i != j]
    km = np.linalg.norm(rows.places.position[i] - rows.places.position[j], axis=1)
    days = np.abs(rows.days[i] - rows.days[j])
    product = rows.value[i] * rows.value[j]
    covariance = fitted.fit.covariance
    longest = [max(rows.places.extent() / 2, 1e-3), max(float(np.ptp(rows.days)) / 2, fitted.step)]
    together = km < longest[0] / _BINS
    return (
        _binned(km, days <= fitted.step / 2, longest[0], product, covariance(km, days)),
        _binned(days, together, min(longest[1], 40 * fitted.step), product, covariance(km, days)),
    )


def _binned(lag: Array, chosen: Array, longest: float, product: Array, model: Array) -> Binned:
    edges = np.linspace(0, longest, _BINS + 1)
    index = np.digitize(lag, edges) - 1
    rows = [
        (lag[of].mean(), product[of].mean(), model[of].mean())
        for k in range(_BINS)
        if (of := chosen & (index == k)).sum() >= 30
    ]
    return Binned(*np.array(rows).reshape(-1, 3).T)


def draw_figure(fits: Mapping[str, Fitted], path: Any) -> None:
    """Draw the covariance of the data and of the fit by distance and by time, a row a variable."""
    from pyvda.plotting.style import BLACK, BLUE, new_figure, save_figure

    with new_figure() as figure:
        figure.set_size_inches(6.5, 2.4 * len(fits))
        rows = figure.subplots(len(fits), 2, squeeze=False)
        for axes, (name, fitted) in zip(rows, fits.items(), strict=True):
            in_km = fitted.rows.places.unit == "km"
            labels = ("distance (km)", "time (days)") if in_km else ("distance", "time")
            for axis, one, label in zip(axes, binned(fitted), labels, strict=True):
                axis.plot(one.lag, one.data, "o", color=BLUE, label="data")
                axis.plot(one.lag, one.model, "-", color=BLACK, label="fit")
                axis.axhline(0.0, color=BLACK, linewidth=0.6)
                axis.set(xlabel=label, ylabel=f"covariance of {name}")
            axes[0].legend()
        save_figure(figure, path)
