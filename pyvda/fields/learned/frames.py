"""A field on its grid, cut into the tiles and times that a network sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from pyvda.engine.data import Array
from pyvda.fields.field import Field
from pyvda.fields.learned.description import Grid
from pyvda.fields.learned.network import Inputs
from pyvda.fields.mean import YEAR


class Tile(NamedTuple):
    """A rectangle of the grid."""

    y: slice
    x: slice


class Span(NamedTuple):
    """Steps of time around one, 0, that are seen.

    Attributes
    ----------
    first, last : int, optional
        None: all before, or all after.
    """

    first: int | None = None
    last: int | None = None

    def steps(self, half: int) -> Array:
        """Return which of the steps from -half to half are seen, (2 half + 1,) of bool."""
        return self.days(np.arange(-half, half + 1), 1.0)

    def days(self, after: Array, step: float) -> Array:
        """Return which of some times are seen, by their days after this one and those of a step."""
        seen = np.ones(np.shape(after), bool)
        if self.first is not None:
            seen &= after > (self.first - 0.5) * step
        if self.last is not None:
            seen &= after < (self.last + 0.5) * step
        return seen


class Frames:
    """The data of a field and what is known of its points, as the channels of a network.

    Parameters
    ----------
    field : Field
    anomalies : (V, T, P)
        Scaled departures from the mean, NaN where nothing was observed.
    half : int
        Times before and after that a network sees.
    step_days : float
        Between them. A time that the file has not, to half a step, is one without data.
    grid : Grid
        Centre and extent by which coordinates are scaled.
    """

    def __init__(
        self, field: Field, anomalies: Array, half: int, step_days: float, grid: Grid
    ) -> None:
        there = np.isfinite(anomalies)
        self.values = field.on_grid(np.where(there, anomalies, 0.0).astype(np.float32), 0)
        self.mask = field.on_grid(there, False)
        self.half = half
        self.around = _around(field.days, half, step_days)
        self.index = field.on_grid(np.arange(len(field.places)), -1)
        angle = 2 * np.pi * field.days / YEAR
        self.season = np.stack([np.sin(angle), np.cos(angle)], -1) * field.dated
        scaled = (field.places.map - grid.centre) / grid.extent
        self.static = np.stack(
            [field.sea, *field.on_grid(np.ascontiguousarray(scaled.T), 0.0)]
        ).astype(np.float32)

    def points(self, tile: Tile) -> tuple[Array, Array]:
        """Return where in a tile the sea is, (h, w) of bool, and the numbers of its points."""
        inside = self.index[tile]
        return inside >= 0, inside[inside >= 0]

    def middles(self, times: Array) -> tuple[Array, Array]:
        """Return the window that estimates each time, of a network that estimates all together.

        That with the most times of the file, so that the windows of the first and last times lie
        within the file; of several the one in which the time is nearest to the middle.

        Parameters
        ----------
        times : (n,) of int

        Returns
        -------
        (n,) of int
            The middle time of the window.
        (n,) of int
            The place of the time among those of the window.
        """
        count = (self.around >= 0).sum(1)
        middle = np.empty(len(times), int)
        place = np.empty(len(times), int)
        for i, time in enumerate(times):
            near = np.unique(self.around[time])
            near = near[(near >= 0) & (self.around[near] == time).any(1)]
            order = np.lexsort((np.abs(near - time), -count[near]))
            middle[i] = near[order[0]]
            place[i] = np.flatnonzero(self.around[middle[i]] == time)[0]
        return middle, place

    def inputs(
        self,
        time: int,
        tile: Tile,
        guess: Array,
        spread: Array,
        others: Array,
        hidden: Array | None = None,
        shift: Array | None = None,
        span: Span | None = None,
    ) -> tuple[Array, ...]:
        """Return what a network sees of a tile at a time, as arrays without the batch's axis.

        Parameters
        ----------
        time : int
        tile : Tile
        guess, spread : (V, h, w)
        others : (V, C, h, w)
            See `network.Inputs`.
        hidden : (h, w) of bool, optional
            Data of the time itself that are not seen.
        shift : (V, 2 half + 1, n), optional
            What is subtracted from the anomalies of the hidden points.
        span : Span, optional
            Steps that are seen. Default: all.
        """
        around = self.around[time]
        values = self.values[:, around][..., tile.y, tile.x]
        mask = self.mask[:, around][..., tile.y, tile.x] & (around >= 0)[:, None, None]
        if span is not None:
            mask &= span.steps(self.half)[:, None, None]
        if hidden is not None:
            mask[:, self.half] &= ~hidden
        if shift is not None:
            values[..., hidden] -= shift
        season = np.broadcast_to(self.season[time][:, None, None], (2, *guess.shape[1:]))
        sea, *coordinates = self.static[:, tile.y, tile.x]
        static = np.stack([sea, *(season * sea), *coordinates])
        return np.where(mask, values, 0), mask, guess, spread, others, static


def stacked(parts: Sequence[tuple[Array, ...]]) -> Inputs:
    """Return a batch of what `Frames.inputs` gives."""
    columns = (np.stack(column).astype(np.float32) for column in zip(*parts, strict=True))
    return Inputs(*(torch.from_numpy(column) for column in columns))


def _around(days: Array, half: int, step: float) -> Array:
    """Return the times nearest to those around each time, (T, 2 half + 1), -1 without one."""
    wanted = days[:, None] + step * np.arange(-half, half + 1)
    after = np.clip(np.searchsorted(days, wanted), 1, max(1, len(days) - 1))
    before = after - 1
    after = np.minimum(after, len(days) - 1)
    nearest = np.where(np.abs(days[before] - wanted) <= np.abs(days[after] - wanted), before, after)
    return np.where(np.abs(days[nearest] - wanted) <= 0.5 * step, nearest, -1)
