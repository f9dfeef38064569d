"""A trained network as a method for fields: first guess, tiles, blending.

torch is imported only by `solve`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from pydantic import Field as Limits
from pydantic import field_validator

from pyvda.engine import Engine
from pyvda.engine.data import Array
from pyvda.errors import InputError
from pyvda.fields.field import Field, Values
from pyvda.fields.gridded import Cells
from pyvda.fields.learned.alignment import aligned
from pyvda.fields.learned.configuration import idle_at_points, turns_of
from pyvda.fields.learned.description import FieldDescription, read_description, read_sea
from pyvda.fields.learned.first_guess import FirstGuess
from pyvda.fields.learned.guesses import CHANNELS, OTHERS, others
from pyvda.fields.learned.shipped import field_folder, several
from pyvda.fields.local_variance import local_scale, neighbours
from pyvda.fields.mean import between, seasonal_mean
from pyvda.fields.options import Estimate, FieldOptions
from pyvda.fields.points import DataAtPoints
from pyvda.learned import patterns
from pyvda.learned.device import usable_device
from pyvda.progress import ProgressReport, silent

if TYPE_CHECKING:
    from pyvda.fields.learned.model import FieldModel

_VALUES = 1 << 22  # of a batch's input on a CPU
_GUESSES = 1_000_000  # points whose first guess is made at once


class LearnedFieldOptions(FieldOptions):
    """Options of a trained network.

    Attributes
    ----------
    checkpoint : str or sequence of str
        Folder made by `pyvda train`, or a shipped name. The estimates of several, joined by +, are
        averaged; the error of the mean is smaller by what they differ by.
    mean_with_oi : bool
        Average with optimal interpolation in the same way, with the covariance and the neighbours
        of the first network's training, whatever its first guess.
    grid, times
        As the options of the method `oi`, for data at points: each belongs to the nearest point and
        time of the grid, and the estimate at a datum is that of its point.
    turned : sequence of str
        The estimate is the mean of those of the field as it is and turned in each of these ways, as
        `field.augment` of a training lists them ("sign y"), and turned back.
    tile : int
        Points of a side that a tile counts for.
    device : str
        "auto" (CUDA if available), "cpu", "cuda", "cuda:1".
    """

    checkpoint: tuple[str, ...] = Limits(min_length=1)
    mean_with_oi: bool = False
    grid: Any = None
    times: str | None = None
    turned: tuple[str, ...] = ()
    tile: int = Limits(default=256, ge=16)
    device: str = "auto"

    @field_validator("checkpoint", mode="before")
    @classmethod
    def _one_or_several(cls, given: Any) -> Any:
        return several(given) if isinstance(given, str | Path) else given

    @field_validator("turned", mode="before")
    @classmethod
    def _one_turn_or_several(cls, given: Any) -> Any:
        return [part.strip() for part in given.split(",")] if isinstance(given, str) else given

    @field_validator("turned")
    @classmethod
    def _known(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        turns_of(given)
        return given

    def trained(self) -> FieldDescription:
        """Return what the first network was trained for."""
        return self.described()[0]

    def described(self) -> list[FieldDescription]:
        """Return what each network was trained for."""
        return [read_description(field_folder(name)) for name in self.checkpoint]

    def expect_effect(self) -> None:
        """Raise InputError where a turn changes the estimate of none of the networks."""
        idle = idle_at_points(turns_of(self.turned))
        if idle and all(one.network.kind == "stack" for one in self.described()):
            raise InputError(
                f"turned has {idle}, which would have no effect: a stack sees each point by "
                "itself; leave it out"
            )

    def reach_days(self, field: Field) -> float:
        """Return the largest distance in time of the data of networks and guesses."""
        return max(
            max(one.step_days * (one.times_away() + 0.5) * (1 + 1e-9), one.selection().days)
            for one in self.described()
        )

    def aligned(
        self, ds: xr.Dataset, open_field: Callable[[xr.Dataset, Array | None], Field]
    ) -> tuple[Field, tuple[str, ...]]:
        """Return the field of a file on the grid of the first network; see `alignment.aligned`."""
        return aligned(ds, self.trained(), read_sea(field_folder(self.checkpoint[0])), open_field)


def solve(
    field: Field,
    read: dict[str, Values],
    options: LearnedFieldOptions,
    engine: Engine,
    report: ProgressReport = silent,
    *,
    where: Array | None = None,
    points: DataAtPoints | None = None,
) -> dict[str, Estimate]:
    """Correct a first guess by a trained network, tile by tile.

    Parameters
    ----------
    field : Field
    read : dict of Values
        Values of each variable, NaN also where data are withheld.
    options : LearnedFieldOptions
    engine : Engine
    report : ProgressReport
    where : (T, P) of bool, optional
        Where to estimate. Default: everywhere.
    points : DataAtPoints, optional
        Data at points, in place of those of the field.

    Raises
    ------
    InputError
        A checkpoint is missing, or was trained for other variables, units or another transform; or
        a turn has no effect.

    Warns
    -----
    PatternWarning
        The field differs from that of the training.
    """
    from pyvda.fields.learned.model import FieldModel

    options.expect_effect()
    folders = [field_folder(name) for name in options.checkpoint]
    described = [read_description(folder) for folder in folders]
    for one in described:
        one.check(field)
    cells = None
    if points is not None:
        cells = Cells.with_data(field, points)
        read = {name: cells.values(points.values[name]) for name in field.variables}
    there = np.any([np.isfinite(v.values) for v in read.values()], axis=0)
    unlike = patterns.warn(
        list(dict.fromkeys(d for one in described for d in one.differences(field, there.mean())))
    )
    times = np.arange(len(field.days)) if where is None else np.flatnonzero(where.any(1))
    device = usable_device(options.device)
    members: list[list[tuple[Array, ...]]] = []
    for number, (folder, one) in enumerate(zip(folders, described, strict=True)):
        model = FieldModel.load(folder).to(device).requires_grad_(False)
        run = _Run(
            field, read, model, one, engine, options.tile, device, turns_of(options.turned)
        )  # fmt: skip
        members.append(run.estimates(
            times, lambda done, n=number: report(n * len(times) + done, len(folders) * len(times))
        ))  # fmt: skip
        if options.mean_with_oi and number == 0:
            members.append(run.interpolation(times))
    found = {
        name: _together([member[v] for member in members], _recorded(options, described, unlike))
        for v, name in enumerate(field.variables)
    }
    if cells is None:
        return found
    return {
        name: replace(one, at_points=cells.at_points(one.value, one.stdev, one.noise))
        for name, one in found.items()
    }


@dataclass(frozen=True)
class OfNetwork:
    """The plan of a network in blocks: on the grid of its training it needs nothing of the file."""

    options: LearnedFieldOptions
    variables: tuple[str, ...]
    reach: float
    recorded: dict[str, Any]
    name: str = "learned"

    def configuration(self) -> dict[str, Any]:
        """Return the checkpoints, and how the file differs from that of the training."""
        return dict.fromkeys(self.variables, self.recorded)

    def estimates(
        self, field: Field, read: dict[str, Values], engine: Engine, where: Array
    ) -> dict[str, Estimate]:
        """Return the estimates of a part of the times; how it differs has been said."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", patterns.PatternWarning)
            return solve(field, read, self.options, engine, where=where)


def of_network(
    field: Field,
    options: LearnedFieldOptions,
    block: int,
    engine: str | None,
    report: ProgressReport = silent,
) -> OfNetwork:
    """Return the plan of a network.

    Raises
    ------
    InputError
        The field is on another grid than that of the training, whose mean is needed; or see
        `solve`.

    Warns
    -----
    PatternWarning
        The field differs from that of the training.
    """
    options.expect_effect()
    described = options.described()
    for one in described:
        one.check(field)
        if not one.same_grid(field):
            raise InputError(
                "a field in blocks takes its mean and land from the training, but its grid is "
                "another one; leave out block (--block, --workers), or train on this grid"
            )
    unlike = patterns.warn(
        list(dict.fromkeys(d for one in described for d in one.differences(field)))
    )
    return OfNetwork(
        options, field.variables, options.reach_days(field), _recorded(options, described, unlike)
    )


def _recorded(
    options: LearnedFieldOptions, described: list[FieldDescription], unlike: str
) -> dict[str, Any]:
    digests = {name: d.sha256 for name, d in zip(options.checkpoint, described, strict=True)}
    return {"checkpoints": digests, "differs": unlike}


class _Run:
    """One network on one field."""

    def __init__(
        self,
        field: Field,
        read: dict[str, Values],
        model: FieldModel,
        about: FieldDescription,
        engine: Engine,
        tile: int,
        device: str,
        turns: tuple[tuple[str, ...], ...],
    ) -> None:
        from pyvda.fields.learned.frames import Frames
        from pyvda.fields.learned.tiles import RAMP, tiles

        self.field, self.model, self.device, self.turns = field, model, device, turns
        variables = about.variables
        self.factor, self.together = about.variance_factor, about.network.together
        self.scale = np.array([v.scale for v in variables.values()])
        tables = list(model.mean.double().cpu().numpy())
        own = None
        if not about.same_grid(field):
            own = [seasonal_mean(v.values, field.days, about.season_days) for v in read.values()]
            tables = [mean.table() for mean in own]
        self.mean = np.stack([between(table, field.days) for table in tables])
        self.above = None
        if model.level is not None and model.local is not None:
            level, local = (one.double().cpu().numpy() for one in (model.level, model.local))
            if own is not None:
                known = [v.values for v in read.values()]
                level = np.stack([seasonal_mean(v, field.days, None).table()[0] for v in known])
                local = np.stack([
                    local_scale(field, partial(list, [(field.days, v)]), mean)
                    for v, mean in zip(known, own, strict=True)
                ])  # fmt: skip
            self.above, self.local = self.mean - level[:, None], local
            self.around = neighbours(field.places)
        self.seasonal = [v.season_variance for v in variables.values()]
        anomalies = np.stack([v.values for v in read.values()]) - self.mean
        half = about.network.days
        self.frames = Frames(
            field, anomalies / self.scale[:, None, None], half, about.step_days, about.grid
        )
        self.guesses = []
        self.noise = np.empty_like(anomalies)
        trained = model.noise().double().cpu().numpy() * self.scale**2
        for v, (name, values) in enumerate(read.items()):
            stated = 0.0 if values.variance is None else values.variance
            known = np.isfinite(anomalies[v])
            stated = np.where(known & np.isfinite(stated), stated, 0.0)
            covariance = variables[name].covariance
            self.noise[v] = stated + trained[v]
            self.guesses.append(FirstGuess(
                engine, about.first_guess, anomalies[v], stated + covariance.nugget, field.days,
                about.selection(), field.places, covariance,
            ))  # fmt: skip
        network = model.network
        self.border = -(-(network.reach + RAMP) // network.cell) * network.cell
        self.tiles = tiles(field.sea, tile, self.border, network.cell)

    def estimates(self, times: Array, report: Any) -> list[tuple[Array, ...]]:
        """Return value, stdev, noise, distance and lag of each variable, (T, P) each.

        NaN at other times.
        """
        value, stdev = (np.full(self.noise.shape, np.nan) for _ in range(2))
        # Of a network that estimates all times together, each is taken from one window.
        middle, place = self.frames.middles(times) if self.together else (times, None)
        needed = np.union1d(times, middle)
        guess, spread, km, days = self.made = self._guessed(self.guesses, needed)
        for block in self._blocks(np.unique(middle)):
            more = self._others(block, km)
            for part, mean, variance in self._network(block, guess, spread, more):
                mine = np.flatnonzero(np.isin(middle, part))
                at: tuple[Any, ...] = (slice(None), np.searchsorted(part, middle[mine]))
                if place is not None:
                    at = (*at, place[mine])
                value[:, times[mine]], stdev[:, times[mine]] = mean[at], np.sqrt(variance[at])
                report(int((middle <= part[-1]).sum()))
        scale = self.scale[:, None, None]
        means = value * scale + self.mean
        return list(zip(means, stdev * scale, self.noise, km, days, strict=True))

    def interpolation(self, times: Array) -> list[tuple[Array, ...]]:
        """Return the same of optimal interpolation, after `estimates`."""
        made = self.made
        if any(first.kind != "oi" for first in self.guesses):
            made = self._guessed([replace(first, kind="oi") for first in self.guesses], times)
        value, stdev, km, days = made
        return list(zip(value + self.mean, stdev, self.noise, km, days, strict=True))

    def _blocks(self, times: Array) -> list[Array]:
        return np.array_split(times, max(1, -(-len(times) * self.noise.shape[2] // _GUESSES)))

    def _guessed(self, guesses: list[FirstGuess], times: Array) -> Array:
        """Return value, stdev, distance and lag of first guesses, (4, V, T, P)."""
        found = np.full((4, *self.noise.shape), np.nan)
        for block in self._blocks(times):
            of_time, of_point = (
                g.ravel() for g in np.meshgrid(block, np.arange(self.noise.shape[2]))
            )
            for v, first in enumerate(guesses):
                made = first.at(of_time, of_point)
                made[1] = np.sqrt(np.maximum(made[1], 0.0))
                found[:, v, of_time, of_point] = made
        return found

    def _others(self, times: Array, km: Array) -> Array:
        """Return the scaled other interpolations that a stack weighs, (V, C, t, P)."""
        count = self.noise.shape[2]
        if self.above is None:
            return np.zeros((len(self.scale), 0, len(times), count))
        at = np.repeat(times, count), np.tile(np.arange(count), len(times))
        found = np.stack([
            others(first, self.above[v], self.seasonal[v], self.local[v][at[1]], *at, km[v][at],
                   self.around)
            for v, first in enumerate(self.guesses)
        ])  # fmt: skip
        found[:, : 2 * OTHERS] /= self.scale[:, None, None]
        return found.reshape(len(self.scale), CHANNELS, len(times), count)

    def _network(
        self, times: Array, guess: Array, spread: Array, more: Array
    ) -> Iterator[tuple[Array, Array, Array]]:
        """Yield times, and scaled mean and variance (V, t, P) there.

        For a network that estimates all times together the shape is (V, t, 2 half + 1, P).
        """
        import torch

        from pyvda.fields.learned.frames import stacked
        from pyvda.fields.learned.tiles import weights
        from pyvda.fields.learned.turns import mean_of_turns

        field, frames = self.field, self.frames
        largest = max((t.y.stop - t.y.start) * (t.x.stop - t.x.start) for t in self.tiles)
        channels = len(self.scale) * (4 * frames.half + 6 + more.shape[1])
        at_once = max(1, _VALUES // (largest * channels))
        scale = self.scale[:, None]
        for part in np.split(times, range(at_once, len(times), at_once)):
            outputs = (2 * frames.half + 1,) if self.together else ()
            total = np.zeros((2, len(part), len(self.scale), *outputs, *field.sea.shape))
            whole = np.zeros(field.sea.shape)
            guesses = field.on_grid((guess[:, part] / scale[..., None]), 0.0)
            spreads = field.on_grid((spread[:, part] / scale[..., None]), 0.0)
            extra = field.on_grid(more[:, :, np.searchsorted(times, part)], 0.0)
            for tile in self.tiles:
                inputs = stacked([
                    frames.inputs(int(t), tile, guesses[:, i][:, tile.y, tile.x],
                                  spreads[:, i][:, tile.y, tile.x],
                                  extra[:, :, i, tile.y, tile.x])
                    for i, t in enumerate(part)
                ]).to(self.device)  # fmt: skip
                with torch.no_grad():
                    mean, variance = mean_of_turns(self.model, inputs, self.turns)
                weight = weights(field.sea.shape, tile, self.border)
                whole[tile] += weight
                total[0][..., tile.y, tile.x] += weight * mean.double().cpu().numpy()
                total[1][..., tile.y, tile.x] += weight * variance.double().cpu().numpy()
            total[1] *= self.factor
            mean, variance = (total / np.where(whole > 0, whole, 1.0))[..., field.sea]
            yield part, mean.swapaxes(0, 1), variance.swapaxes(0, 1)


def _together(members: list[tuple[Array, ...]], configuration: dict[str, Any]) -> Estimate:
    """Return the mean of estimates.

    Its squared error is the mean of theirs less their variance about it (Krogh and Vedelsby 1995),
    which is shared out over the points of a time in proportion to the mean of the variances.
    """
    value, stdev, noise, km, days = (np.stack(part) for part in zip(*members, strict=True))
    variance = (stdev**2).mean(0)
    apart = value.var(0).sum(1, keepdims=True) / variance.sum(1, keepdims=True)
    share = np.clip(1 - apart, 1 / len(members), 1.0)  # that of independent estimates at least
    spread = np.sqrt(variance * share)
    found = Estimate(value.mean(0), spread, noise.mean(0), configuration=configuration)
    return replace(found, km=km[0], days=days[0]) if np.isfinite(km[0]).any() else found
