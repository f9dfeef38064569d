"""The time between two steps of a file, in model time units."""

from __future__ import annotations

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.io.cf import times
from pyvda.io.quality import validation
from pyvda.models.model import Model
from pyvda.notices import notice

# From 1900 to 2100.
_DATES_AS_NUMBERS = {
    "days of MATLAB's datenum": (693962, 767011),
    "Julian days": (2415020, 2488070),
    "seconds since 1970": (1e8, 4.2e9),
    "milliseconds since 1970": (1e11, 4.2e12),
}


def time_step(ds: xr.Dataset) -> float | None:
    """Return the step of a plain-number time, in model time units; None for dates or no times.

    Numbers with units such as "hours since 2000-01-01" are dates.

    The step is that with the fewest digits among those that the rounding of the coordinate's type
    leaves open, so that a file written with steps of 0.01 gives 0.01 and not its neighbour.
    """
    if names.TIME not in ds.coords or times.are_dates(ds[names.TIME]):
        return None
    time = ds[names.TIME].values
    step = float(validation.elapsed(time)[-1] / (len(time) - 1))
    digits = 6 if time.dtype.itemsize < 8 else 12
    if time.dtype.kind != "f":
        return float(f"{step:.{digits}g}")
    rounding = float(np.spacing(np.abs(time[[0, -1]]).max())) / (len(time) - 1)
    rounded = [float(f"{step:.{n}g}") for n in range(1, digits)]
    close = [one for one in rounded if abs(one - step) <= rounding]
    return close[0] if close else float(f"{step:.{digits}g}")


def model_time_step(
    ds: xr.Dataset, given: float | None, model: Model, *, usual: bool = False
) -> float:
    """Return the step in model time units: `given`, else that of the time axis.

    Parameters
    ----------
    ds : Dataset
    given : float, optional
    model : Model
    usual : bool, optional
        Take the model's usual step where the time axis does not say it.

    Raises
    ------
    InputError
        When nothing says it, it is not positive, or the time axis only counts the steps, or has a
        unit of physical time, and the model's usual step is another.
    """
    found = given if given is not None else time_step(ds)
    if found is None and usual:
        found = model.time_step
    if found is None and _is_uneven(ds):
        found = model.time_step
        notice(
            "the times are months or years apart, which are not equally long; each is one step of "
            f"{model.name}, {found:g} model time units; time_step (--time-step) gives another"
        )
    if found is None:
        raise InputError(
            "the time axis holds dates or nothing, so the step in model time units is not known; "
            f"give time_step (--time-step), for example {model.time_step} for {model.name}"
        )
    if not 0 < found < np.inf:
        raise InputError(
            f"the time step is {found}, expected a positive number of model time units"
        )
    unit = times.physical_unit(ds[names.TIME]) if names.TIME in ds.coords else None
    if given is None and found != model.time_step and unit is not None:
        raise InputError(
            f"the time axis has steps of {found:g} {unit}, but the usual step of {model.name} is "
            f"{model.time_step:g} model time units; give time_step={model.time_step:g} "
            f"(--time-step {model.time_step:g}), or {found:g} if model time is in this unit"
        )
    like = None if given is not None or found == model.time_step else _like_dates(ds)
    if like is not None:
        raise InputError(
            f"the times are numbers such as {ds[names.TIME].values[0]:.10g} without a unit, like "
            f"{like}, with steps of {found:g}, but the usual step of {model.name} is "
            f"{model.time_step:g} model time units; give time_step={model.time_step:g} "
            f"(--time-step {model.time_step:g}), or {found:g} if that is meant"
        )
    if given is None and found != model.time_step and _counts_steps(ds):
        time = ds[names.TIME].values
        raise InputError(
            f"the time axis counts its steps ({time[0]:g}, {time[1]:g}, ...), which would be a "
            f"step of {found:g} model time units, but the usual step of {model.name} is "
            f"{model.time_step:g}; give time_step={model.time_step:g} (--time-step "
            f"{model.time_step:g}), or {found:g} if that is meant"
        )
    return found


def _is_uneven(ds: xr.Dataset) -> bool:
    """Tell whether times count months or years, or are dates of different numbers of days."""
    if names.TIME not in ds.coords:
        return False
    if times.counts_months(ds[names.TIME]):
        return True
    dated = times.dates(ds[names.TIME])
    if times.months_between(dated) is None:
        return False
    return len(np.unique(np.diff(validation.elapsed(dated)))) > 1


def _like_dates(ds: xr.Dataset) -> str | None:
    """Return what dates of our time numbers without a unit may be, None for other numbers."""
    if names.TIME not in ds.coords or times.are_dates(ds[names.TIME]):
        return None
    ends = ds[names.TIME].values[[0, -1]].astype(float)
    return next(
        (
            what
            for what, (low, high) in _DATES_AS_NUMBERS.items()
            if low <= ends[0] and ends[1] < high
        ),
        None,
    )


def _counts_steps(ds: xr.Dataset) -> bool:
    """Tell whether the time axis looks like an index: 0, 1, 2, ..., or integers one apart."""
    if names.TIME not in ds.coords:
        return False
    time = ds[names.TIME].values
    if time.dtype.kind not in "fiu" or not np.all(np.diff(time.astype(float)) == 1):
        return False
    return time.dtype.kind in "iu" or bool(time[0] == 0)
