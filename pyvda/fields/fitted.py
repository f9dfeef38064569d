"""The covariances of a file's fields, fitted and described, as `pyvda covariance` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyvda.engine import get_engine
from pyvda.fields.covariance import CovarianceFile
from pyvda.fields.field import opened
from pyvda.fields.fit import Fit
from pyvda.fields.optimal_interpolation import (
    OptimalInterpolationOptions,
    fit,
    mean_of,
    season_days,
)
from pyvda.io.sources import sources
from pyvda.progress import Report, silent
from pyvda.validation_errors import validated


def fit_field_covariance(
    observations: Any,
    variable: str | Sequence[str] | None = None,
    *,
    engine: str | None = None,
    group: str | None = None,
    report: Report = silent,
    **options: Any,
) -> tuple[CovarianceFile, dict[str, Fit]]:
    """Fit the covariance in space and time of each variable of a gappy field.

    Parameters
    ----------
    observations : Dataset, path, ...
        As in `pyvda.assimilate`.
    variable : str or sequence of str, optional
    engine, group : str, optional
    report : Report
    **options
        Of `OptimalInterpolationOptions`: mask, transform, season_days, factors, seed.

    Returns
    -------
    CovarianceFile
        What `covariance.write` writes, and the option `covariance` of `oi` takes.
    dict of Fit
        How well each predicts values under clouds of other times.
    """
    checked = validated(OptimalInterpolationOptions, options, "options of the covariance")
    ds = sources.as_dataset(observations, "the argument observations", group=group)
    field = opened(ds, variable, mask=checked.mask, transform=checked.transform)
    running = get_engine(engine)
    fits = {}
    for name in field.variables:
        values = field.read(name)
        mean = mean_of(field, values.values, checked, None)
        fits[name] = fit(field, values, mean, checked, running, report)
    units = {n: str(field.ds[n].attrs["units"]) for n in fits if "units" in field.ds[n].attrs}
    found = CovarianceFile(
        variables={name: one.covariance for name, one in fits.items()}, units=units,
        transform=checked.transform, season_days=season_days(field, checked, None),
    )  # fmt: skip
    return found, fits


def described(fits: dict[str, Fit]) -> list[str]:
    """Return lines that show fits: the factors, and the error under clouds."""
    lines = []
    for name, one in fits.items():
        lines.append(
            f"{name}: RMSE {one.rmse:.4g} at {one.count} values under clouds of other times, "
            f"squared error / variance {one.calibration:.2f}, NLL {one.nll:.2f}"
        )
        lines += [
            f"  variance {f.variance:.4g}, {f.km:.4g} km, {f.days:.4g} days"
            for f in one.covariance.factors
        ]
        lines.append(f"  nugget {one.covariance.nugget:.4g}")
    return lines
