"""Fields larger than memory: the estimate of one block of times after the other.

What a method needs of the whole file, which is read block by block, is its plan: mean, local
variance and covariance of `oi`; a network on the grid of its training needs nothing. Each block of
the analysis is then a task that reads its times and those within reach. The result does not depend
on the blocks, and memory is bounded by one of them with its neighbours.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import dask.array
import numpy as np
import xarray as xr
from dask.delayed import delayed

from pyvda.cluster import Choice
from pyvda.engine import Engine, get_engine
from pyvda.engine.data import Array
from pyvda.errors import InputError
from pyvda.fields import optimal_interpolation as oi
from pyvda.fields import output
from pyvda.fields.field import Field, Values
from pyvda.fields.interpolation_options import OptimalInterpolationOptions, check, step_of
from pyvda.fields.optimal_interpolation import Prepared
from pyvda.fields.options import Estimate, FieldOptions
from pyvda.fields.withheld import withheld_of
from pyvda.io.quality.error_variables import is_error_of_another
from pyvda.io.quality.quality_flags import is_flag
from pyvda.notices import Notice
from pyvda.progress import ProgressReport, silent

VALUES = 10_000_000  # of a block and the times within its reach, where no size is given


class Plan(Protocol):
    """The preparation of a method before its blocks: plain data, sent to each process."""

    @property
    def name(self) -> str:
        """Name of the method."""

    @property
    def reach(self) -> float:
        """Days before and after a time whose data its estimate uses."""

    def configuration(self) -> dict[str, Any]:
        """Return the record of each variable for the file, as plain data."""

    def estimates(
        self, field: Field, read: dict[str, Values], engine: Engine, where: Array
    ) -> dict[str, Estimate]:
        """Return the estimates of a part of the times, where they are asked for, (T, P)."""


@dataclass(frozen=True)
class OfInterpolation:
    """The plan of `oi`."""

    known: dict[str, Prepared]
    options: OptimalInterpolationOptions
    step: float
    reach: float
    name: str = "oi"

    def configuration(self) -> dict[str, Any]:
        """Return the constants of each variable."""
        return {name: one.configuration for name, one in self.known.items()}

    def estimates(
        self, field: Field, read: dict[str, Values], engine: Engine, where: Array
    ) -> dict[str, Estimate]:
        """See `optimal_interpolation.estimate`."""
        return {
            name: oi.estimate(
                field, name, values, self.known[name], self.options, engine, where=where,
                step=self.step,
            )
            for name, values in read.items()
        }  # fmt: skip


@dataclass(frozen=True)
class _Task:
    """Everything that all blocks share; sent to each process once."""

    field: Field  # without Dataset
    plan: Plan
    options: FieldOptions
    choice: Choice


def default_block(field: Field, reach: float, workers: int = 1) -> int:
    """Return the times of a block, from the size of the field and the number of workers.

    `reach` is that of a plan, in days.
    """
    reach = int(2 * reach / step_of(field.days))
    fitting = VALUES // max(1, len(field.places)) - reach
    return int(np.clip(fitting, 1, -(-len(field.days) // (2 * workers if workers > 1 else 1))))


def of_interpolation(
    field: Field,
    options: OptimalInterpolationOptions,
    block: int,
    engine: str | None,
    report: ProgressReport = silent,
) -> OfInterpolation:
    """Return the plan of `oi`, from passes over the file.

    Raises
    ------
    InputError
        What is withheld is no variable of the file; or see `optimal_interpolation.solve`.
    """
    check_withheld(field, options)
    given = options.given()
    check(field, options, given)
    running = get_engine(engine)
    bounds = [*range(0, len(field.days), block), len(field.days)]
    known = {}
    for name in field.variables:
        part, sample = field, None
        if given is None:
            part, sample = _sample(field, name, options)

        def parts(name: str = name) -> Iterator[tuple[Array, Array]]:
            for start, stop in itertools.pairwise(bounds):
                one = field.between(start, stop)
                report(stop, len(field.days), f"mean of {name}")
                yield one.days, _read(one, name, options).values

        known[name] = oi.prepared(part, name, parts, sample, options, given, running, report)
    step = step_of(field.days)
    return OfInterpolation(known, options, step, options.reach_days(field))


def check_withheld(field: Field, options: FieldOptions) -> None:
    """Raise InputError unless what is withheld is a variable of the file."""
    if options.withhold is not None and not (
        isinstance(options.withhold, str) and options.withhold in field.ds.variables
    ):
        raise InputError(
            "of a field in blocks only a variable of its own file can be withheld; add it to the "
            "file, or leave out block (--block)"
        )


def lazily(
    field: Field,
    options: FieldOptions,
    plan: Plan,
    block: int,
    engine: str | None,
    configuration: dict[str, Any],
) -> xr.Dataset:
    """Return the analysis of a field as lazy variables.

    Parameters
    ----------
    field : Field
    options : FieldOptions
    plan : Plan
    block : int
        Times of a block.
    engine : str, optional
    configuration : dict
        Plain data that the file records.

    Raises
    ------
    InputError
        What is withheld is no variable of the file.
    """
    check_withheld(field, options)
    bounds = [*range(0, len(field.days), block), len(field.days)]
    reach = plan.reach
    small = replace(field, ds=xr.Dataset())
    task = delayed(_Task(small, plan, options, Choice.here(None, engine)), pure=False)
    like = _template(
        field, plan.name, configuration | {"variables": plan.configuration()},
        str(get_engine(engine).info),
    )  # fmt: skip
    needed = field.ds.drop_vars(_others(field, options))
    pieces = []
    for start, stop in itertools.pairwise(bounds):
        low = int(np.searchsorted(field.days, field.days[start] - reach, "left"))
        high = int(np.searchsorted(field.days, field.days[stop - 1] + reach, "right"))
        near = needed.isel({field.time: slice(low, high)})
        pieces.append(delayed(_block)(task, near, low, start, stop))
    data: dict[Any, Any] = {}
    for label, variable in like.data_vars.items():
        at = variable.dims.index(field.time)
        arrays = []
        for (start, stop), piece in zip(itertools.pairwise(bounds), pieces, strict=True):
            shape = tuple(stop - start if k == at else n for k, n in enumerate(variable.shape))
            arrays.append(dask.array.from_delayed(piece[label], shape, variable.dtype))
        data[label] = (variable.dims, dask.array.concatenate(arrays, axis=at), variable.attrs)
    coords = {n: c for n, c in field.ds.coords.items()
              if set(c.dims) <= {field.time, *field.space}}  # fmt: skip
    found = xr.Dataset(data, coords, like.attrs)
    found.encoding = like.encoding
    return found


def _others(field: Field, options: FieldOptions) -> list[Any]:
    """Return the variables of the file on the same grid that are not needed."""
    return [
        name for name, variable in field.ds.data_vars.items()
        if set(variable.dims) == {field.time, *field.space}
        and name not in (*field.variables, options.withhold)
        and not is_flag(variable) and not is_error_of_another(field.ds, str(name))
    ]  # fmt: skip


def _sample(
    field: Field, name: str, options: OptimalInterpolationOptions
) -> tuple[Field, Values | None]:
    """Return the times to which a covariance is fitted, and their values."""
    chosen = oi.sampled(field)
    part = replace(field, ds=field.ds.isel({field.time: chosen}), days=field.days[chosen])
    return part, _read(part, name, options)


def _read(part: Field, name: str, options: FieldOptions) -> Values:
    """Return the values used; rejected values were reported when the file was opened."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Notice)
        values = part.read(name)
    withheld = withheld_of(part, options.withhold)
    if withheld is None:
        return values
    return replace(values, values=np.where(withheld, np.nan, values.values))


def _template(field: Field, method: str, configuration: dict[str, Any], engine: str) -> xr.Dataset:
    """Return the analysis of the first time, without values."""
    one = field.between(0, 1)
    empty = np.full((1, len(field.places)), np.nan)
    nothing = Values(empty, None, np.zeros(empty.shape, bool))
    estimate = Estimate(empty, empty, empty, empty, empty)
    return output.analysis(
        one, dict.fromkeys(field.variables, nothing), None,
        dict.fromkeys(field.variables, estimate), method, configuration, engine,
    )  # fmt: skip


def _block(task: _Task, near: xr.Dataset, low: int, start: int, stop: int) -> dict[str, Array]:
    """Return the analysis at the times from `start` to `stop`, by variable."""
    days = task.field.days[low : low + near.sizes[task.field.time]]
    field = replace(task.field, ds=near, days=days)
    inside = slice(start - low, stop - low)
    core = field.between(inside.start, inside.stop)
    where = np.zeros((len(days), len(field.places)), bool)
    where[inside] = True
    names = task.field.variables
    used = {name: _read(field, name, task.options) for name in names}
    with task.choice.engine() as engine, warnings.catch_warnings():
        warnings.simplefilter("ignore", Notice)
        found = task.plan.estimates(field, used, engine, where)
        read = {name: core.read(name) for name in names}
    estimates = {}
    for name, one in found.items():
        estimates[name] = replace(
            one, value=one.value[inside], stdev=one.stdev[inside], noise=one.noise[inside],
            km=None if one.km is None else one.km[inside],
            days=None if one.days is None else one.days[inside],
        )  # fmt: skip
    withheld = withheld_of(core, task.options.withhold)
    analysis = output.analysis(core, read, withheld, estimates, task.plan.name, {}, "")
    return {str(name): variable.values for name, variable in analysis.data_vars.items()}
