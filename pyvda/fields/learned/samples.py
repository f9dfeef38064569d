"""Training samples: tiles at a time, with values hidden by other clouds or passes.

Without a truth, a draw lays the gap of another time over every time; the values below it are what
the network is compared with. Neither the network nor its first guess sees them, nor the mean that
both start from: a mean computed with a value leaks it. With a truth, the first
draw has the file's own observations, and each other one those of the same points at other times,
taken from the truth with random errors; the network is compared with the truth. A network that
estimates all times together is compared with those of a whole window.

Values of validation are those below a cloud that is laid over some of the times once and for all,
as the values that a network is used for are below clouds of times that it has seen; nothing else
is learned from them. With a truth they are those of the last times, which are never compared with
in training, though the mean, the covariance and the scale are those of all times. All draws follow
from the seed, so that a resumed training sees the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import ClassVar, NamedTuple

import numpy as np

from pyvda.engine import Engine
from pyvda.engine.data import Array
from pyvda.errors import InputError
from pyvda.fields.clouds import under_other_clouds
from pyvda.fields.interpolation_options import OptimalInterpolationOptions, check, season_days
from pyvda.fields.learned.configuration import FieldSource
from pyvda.fields.learned.description import (
    FieldVariable,
    Grid,
    digests,
    step_days,
)
from pyvda.fields.learned.first_guess import FirstGuess
from pyvda.fields.learned.frames import Frames, Span, Tile
from pyvda.fields.learned.guesses import CHANNELS, OTHERS, others
from pyvda.fields.learned.sample_source import complete_fields, opened_source
from pyvda.fields.learned.series import Series, series_of
from pyvda.fields.withheld import withheld_of
from pyvda.progress import ProgressReport, silent
from pyvda.validation_errors import validated

_CHECKS = 3  # draws of validation of a truth
_NO_GAPS = "give complete fields to learn from (field.truth), or a file with other gaps"


class Sample(NamedTuple):
    """A tile at a time.

    Attributes
    ----------
    frames : Frames
    time : int
    tile : Tile
    guess, spread : (V, h, w)
    others : (V, C, h, w)
        See `network.Inputs`.
    hidden, shift : array, optional
    span : Span
        See `Frames.inputs`.
    target : (V, h, w)
        Scaled anomalies, NaN where there is nothing to compare with.
    noise : (V, h, w)
        Scaled variance of the target's error that the file states.
    is_datum : bool
        Whether the targets have the error of data.
    """

    frames: Frames
    time: int
    tile: Tile
    guess: Array
    spread: Array
    others: Array
    hidden: Array | None
    shift: Array | None
    span: Span
    target: Array
    noise: Array
    is_datum: bool

    def inputs(self) -> tuple[Array, ...]:
        """Return what a network sees; see `Frames.inputs`."""
        return self.frames.inputs(
            self.time, self.tile, self.guess, self.spread, self.others, self.hidden, self.shift,
            self.span,
        )  # fmt: skip


@dataclass(frozen=True)
class WindowSample:
    """A tile at all times around one, compared with the truth.

    Attributes
    ----------
    frames : Frames
    time : int
        The middle.
    tile : Tile
    spread : (V,)
        Standard deviation of the anomalies, the first guess being their mean, scaled.
    span : Span
        See `Frames.inputs`.
    truth : (V, T, Y, X)
        Scaled anomalies of the whole series, NaN on land.
    compared : (T,) of bool
        Times that the network is compared with.
    """

    frames: Frames
    time: int
    tile: Tile
    spread: Array
    span: Span
    truth: Array
    compared: Array
    is_datum: ClassVar[bool] = False

    def inputs(self) -> tuple[Array, ...]:
        """Return what a network sees; see `Frames.inputs`."""
        shape = self.truth[:, 0, self.tile.y, self.tile.x].shape
        spread = np.broadcast_to(self.spread[:, None, None], shape)
        others = np.zeros((shape[0], 0, *shape[1:]))
        return self.frames.inputs(
            self.time, self.tile, np.zeros(shape), spread, others, span=self.span
        )

    @property
    def target(self) -> Array:
        """The truth around the middle, (V, 2 half + 1, h, w), NaN at times without comparison."""
        around = self.frames.around[self.time]
        there = (around >= 0) & self.compared[around]
        found = self.truth[:, around, self.tile.y, self.tile.x]
        return np.where(there[:, None, None], found, np.float32(np.nan))

    @property
    def noise(self) -> Array:
        """The truth has no error."""
        return np.zeros_like(self.target)


AnySample = Sample | WindowSample


class Samples:
    """The samples of a file, draw by draw.

    Parameters
    ----------
    settings : FieldSource
    half : int
        Times before and after that the network sees.
    engine : Engine
    report : ProgressReport
    stacked : bool
        Whether the network weighs several interpolations, at targets alone.
    together : bool
        Whether it estimates all these times at once.

    Attributes
    ----------
    field : Field
    series : dict of Series
    season_days : float, optional
    selection : Selection
        Data that the first guess uses.
    attrs : dict
        Attributes of the file.
    digests : dict
        SHA-256 of the file's data and of those that are withheld, see `description.digests`.
    validation : (T,) of bool
        Times with values that select the best weights.

    Raises
    ------
    InputError
        The file cannot be read or has too few times; the truth is on another grid or has gaps; or
        no gap can be laid over another time.
    """

    def __init__(
        self, settings: FieldSource, half: int, engine: Engine, report: ProgressReport = silent,
        *, stacked: bool = False, together: bool = False,
    ) -> None:  # fmt: skip
        self.settings, self.half, self.engine = settings, half, engine
        self.stacked, self.together = stacked, together
        options = validated(
            OptimalInterpolationOptions,
            {
                name: getattr(settings, name)
                for name in ("covariance", "season_days", "nearest", "nearest_other", "within_days")
            },
            "field",
        )
        self.field, read, self.attrs = opened_source(settings)
        field = self.field
        self.step_days = step_days(field)
        self.selection = options.selection(field.days)
        withheld = withheld_of(field, settings.withhold)
        data = {name: one.values for name, one in read.items()}
        self.digests = digests(field, data, withheld)
        given = options.given()
        check(field, options, given)
        complete = {}
        if settings.truth is not None:
            complete = complete_fields(settings.truth, settings.observations, field)
        self.season_days = season_days(field, options, given)
        if withheld is not None:
            read = {
                name: replace(one, values=np.where(withheld, np.nan, one.values))
                for name, one in read.items()
            }
        self.there = np.any([np.isfinite(one.values) for one in read.values()], axis=0)
        self.validation, held = self._held_back()
        self.series: dict[str, Series] = {
            name: series_of(
                field, name, one, held, options, given, engine, report, complete.get(name),
            )
            for name, one in read.items()
        }  # fmt: skip
        self.there &= ~held
        self.grid = Grid.of(field)
        sides = (min(settings.tile, n) for n in field.sea.shape)
        self.height, self.width = sides
        self._frames: Frames | None = None  # the same in all draws, but for those of a truth
        self._draw = lru_cache(maxsize=None)(self._drawn)

    def variables(self) -> dict[str, FieldVariable]:
        """Return the description of each variable."""
        return {
            name: FieldVariable(
                units=str(self.field.ds[name].attrs.get("units", "")), scale=one.scale,
                covariance=one.covariance, season_variance=one.season_variance,
            )
            for name, one in self.series.items()
        }  # fmt: skip

    def mean(self) -> Array:
        """Return the mean by season and point, (V, S, P)."""
        return np.stack([one.mean.table() for one in self.series.values()])

    def level(self) -> Array:
        """Return the mean by point, (V, P)."""
        return np.stack([one.level.table()[0] for one in self.series.values()])

    def local(self) -> Array:
        """Return the standard deviation around each point over the usual one, (V, P)."""
        return np.stack([one.local.scale() for one in self.series.values()])

    def epoch(self, epoch: int) -> list[AnySample]:
        """Return the samples of an epoch in their order, those of its draw."""
        found = self._draw(epoch % self.settings.draws)
        random = np.random.default_rng([self.settings.seed, epoch, 5])
        order = random.permutation(len(found))[: self.settings.samples]
        return [found[i] for i in order]

    def checks(self) -> list[AnySample]:
        """Return the samples that select the best weights."""
        draws = 1 if self.settings.truth is None else _CHECKS
        return [s for draw in range(draws) for s in self._draw(-1 - draw)]

    def _held_back(self) -> tuple[Array, Array]:
        """Return the times of validation, and without a truth its values, (T, P) of bool."""
        with_data = np.flatnonzero(self.there.any(1))
        count = round(self.settings.validation * len(with_data))
        if count < 1 or count >= len(with_data):
            raise InputError(
                f"{len(with_data)} times have observations, too few to hold a share of "
                f"{self.settings.validation:g} back for validation; give a longer file"
            )
        if self.settings.truth is None:
            seed = int(np.random.default_rng([self.settings.seed, 6]).integers(2**31))
            held = under_other_clouds(self.there, seed, count, remedy=_NO_GAPS)
            return np.asarray(held.any(1)), held
        found = np.zeros(len(self.field.days), bool)
        found[with_data[-count:]] = True
        return found, np.zeros_like(self.there)

    def _drawn(self, draw: int) -> list[AnySample]:
        """Return the samples of a draw, negative for validation."""
        if self.settings.truth is not None:
            return self._of_truth(draw, self.validation == (draw < 0))
        seed = int(np.random.default_rng([self.settings.seed, draw + 100, 7]).integers(2**31))
        values = {name: one.values for name, one in self.series.items()}
        if draw < 0:
            held = {
                name: one.held - one.mean.at(self.field.days) for name, one in self.series.items()
            }
            return self._cut(values, held, np.zeros_like(self.there), self.validation, seed)
        hidden = under_other_clouds(self.there, seed, remedy=_NO_GAPS)
        targets = {}
        for name, one in self.series.items():
            t, p = np.nonzero(hidden & np.isfinite(one.values))
            target = np.full(one.values.shape, np.nan)
            own = one.values[t, p]
            target[t, p] = own - one.mean.without_own(self.field.days[t], p, own)
            targets[name] = target
        times = np.asarray(hidden.any(1))
        return self._cut(values, targets, hidden, times, seed, self.settings.ends)

    def _of_truth(self, draw: int, chosen: Array) -> list[AnySample]:
        """Return the samples of a draw of observations of the truth."""
        random = np.random.default_rng([self.settings.seed, draw + 100, 8])
        values, targets = {}, {}
        shift = 0 if draw in (0, -1) else int(random.integers(1, len(self.field.days)))
        truths = self._truth_by_variable()
        for name, truth in truths.items():
            known = self.series[name].values
            if shift:
                # The errors that the file's own observations have, at other times' points.
                there = np.roll(np.isfinite(known), shift, 0)
                deviation = float(np.nanstd(known - truth))
                noise = deviation * random.normal(size=known.shape)
                known = np.where(there, truth + noise, np.nan)
            values[name] = known
        seed = int(random.integers(2**31))
        ends = 0.0 if draw < 0 else self.settings.ends
        if self.together:
            return self._windows(values, draw < 0, seed, ends)
        for name, truth in truths.items():
            targets[name] = truth - self.series[name].mean.at(self.field.days)
        return self._cut(values, targets, None, chosen, seed, ends)

    def _truth_by_variable(self) -> dict[str, Array]:
        """Return the truth of each variable, (T, P); empty without one."""
        return {name: s.truth for name, s in self.series.items() if s.truth is not None}

    def _windows(
        self, values: dict[str, Array], checking: bool, seed: int, ends: float
    ) -> list[AnySample]:
        """Return the samples of a network that estimates all times of a window.

        Training uses each window within the series, validation those side by side.
        """
        frames = self._framed(values)
        random = np.random.default_rng(seed)
        at = np.flatnonzero(self.validation == checking)
        if checking:
            at = at[min(self.half, len(at) - 1) :: 2 * self.half + 1]
        at = np.unique(frames.middles(at)[0])
        if self.settings.samples is not None and len(at) > self.settings.samples:
            at = np.sort(random.choice(at, self.settings.samples, replace=False))
        spread = np.sqrt([s.covariance.variance / s.scale**2 for s in self.series.values()])
        truths = self._truth_by_variable()
        return [
            WindowSample(
                frames, int(t), self._tile(truths, int(t), random), spread, span,
                self._true_anomalies, self.validation == checking,
            )
            for t, span in zip(at, self._spans(len(at), ends, seed), strict=True)
        ]  # fmt: skip

    @cached_property
    def _true_anomalies(self) -> Array:
        """The scaled anomalies of the truth on the grid, (V, T, Y, X), NaN on land."""
        days = self.field.days
        found = [(s.truth - s.mean.at(days)) / s.scale for s in self.series.values()
                 if s.truth is not None]  # fmt: skip
        return self.field.on_grid(np.stack(found).astype(np.float32), np.nan)

    def _framed(self, values: dict[str, Array]) -> Frames:
        scaled = [
            (values[n] - s.mean.at(self.field.days)) / s.scale for n, s in self.series.items()
        ]
        return Frames(self.field, np.stack(scaled), self.half, self.step_days, self.grid)

    def _cut(
        self,
        values: dict[str, Array],
        targets: dict[str, Array],
        hidden: Array | None,
        times: Array,
        seed: int,
        ends: float = 0.0,
    ) -> list[AnySample]:
        """Return a sample of each time, its first guess from the values that are not hidden."""
        random = np.random.default_rng(seed)
        at = np.flatnonzero(times)
        if self.settings.samples is not None and len(at) > self.settings.samples:
            at = np.sort(random.choice(at, self.settings.samples, replace=False))
        frames = self._frames
        if self.settings.truth is not None or frames is None:
            frames = self._frames = self._framed(values)
        scale = np.array([one.scale for one in self.series.values()])[:, None]
        found: list[AnySample] = []
        for t, span in zip(at, self._spans(len(at), ends, seed), strict=True):
            tile = self._tile(targets, int(t), random)
            inside, p = frames.points(tile)
            target = np.stack([targets[name][t, p] for name in self.series])
            noise = np.stack([one.stated[t, p] for one in self.series.values()])
            wanted = np.isfinite(target).any(0) if self.stacked else np.ones(len(p), bool)
            under = np.flatnonzero(hidden[t]) if hidden is not None else np.zeros(0, int)
            made = np.zeros((len(self.series), 2 + CHANNELS * self.stacked, len(p)), np.float32)
            shift = np.zeros((len(self.series), 2 * self.half + 1, 0), np.float32)
            if hidden is not None:
                below = p[hidden[t, p]]
                shift = np.zeros((*shift.shape[:2], len(below)), np.float32)
            for v, (name, one) in enumerate(self.series.items()):
                made[v][:, wanted] = self._guessed(
                    values[name], one, int(t), p[wanted], under, span
                )
                if hidden is not None:
                    shift[v] = self._shift(frames, values[name], one, int(t), below) / one.scale
            guess, spread = made[:, 0], made[:, 1]
            found.append(Sample(
                frames, int(t), tile, _placed(guess, inside), _placed(spread, inside),
                _placed(made[:, 2:], inside),
                None if hidden is None else _placed(hidden[t, p], inside),
                None if hidden is None else shift, span,
                _placed((target / scale).astype(np.float32), inside, np.nan),
                _placed((noise / scale**2).astype(np.float32), inside), hidden is not None,
            ))  # fmt: skip
        return found

    def _spans(self, count: int, share: float, seed: int) -> list[Span]:
        """Return the steps that each of some samples sees, a share of them as at ends of a file."""
        random = np.random.default_rng([seed, 10])
        found = [Span()] * count
        for i in np.flatnonzero(random.random(count) < share):
            reach = int(random.integers(self.half))
            found[i] = Span(first=-reach) if random.random() < 0.5 else Span(last=reach)
        return found

    def _guessed(
        self, values: Array, one: Series, time: int, points: Array, under: Array, span: Span
    ) -> Array:
        """Return scaled first guess, its standard deviation and others at a time, (2 + C, n).

        Parameters
        ----------
        values : (T, P)
        one : Series
        time : int
        points : (n,) of int
        under : (u,) of int
            Points whose value of this time is not used, in mean and local variance neither.
        span : Span
            Steps whose values are used.
        """
        days, now = self.field.days, self.field.days[time]
        near = np.abs(days - now) <= self.selection.days
        kept = np.flatnonzero(near & span.days(days - now, self.step_days))
        own, known = int(np.searchsorted(kept, time)), values[kept]
        mean, level = one.mean.at(days[kept]), one.level.at(days[kept])
        under = under[np.isfinite(known[own, under])]
        hidden = np.full(len(under), now), under, known[own, under], days[kept, None]
        mean[:, under] = one.mean.without_own(*hidden)
        level[:, under] = one.level.without_own(*hidden)
        anomaly = known - mean
        anomaly[own, under] = np.nan
        stated = np.where(np.isfinite(anomaly), one.stated[kept], 0.0)
        first = FirstGuess(
            self.engine, self.settings.first_guess, anomaly, stated + one.covariance.nugget,
            days[kept], self.selection, self.field.places, one.covariance,
        )  # fmt: skip
        at = np.full(len(points), own), points
        guess, variance, km, _ = first.at(*at)
        scaled = np.stack([guess, np.sqrt(np.maximum(variance, 0.0))]) / one.scale
        if not self.stacked:
            return scaled
        # A residual times that without its own datum is what the sum of squares loses with it: of
        # a constant mean exactly.
        own_values = known[own, under]
        left = (own_values - one.mean.pairs(hidden[0], under)) * (own_values - mean[own, under])
        local = one.local.without(under, left).scale(points)
        more = others(first, mean - level, one.season_variance, local, *at, km, one.local.near)
        more[: 2 * OTHERS] /= one.scale
        return np.concatenate([scaled, more])

    def _shift(self, frames: Frames, values: Array, one: Series, time: int, under: Array) -> Array:
        """Return the change of the mean around a time without values of it, (2 half + 1, u)."""
        days = self.field.days
        around = days[frames.around[time]]
        found = np.zeros((len(around), len(under)))
        there = np.isfinite(values[time, under])
        p = under[there]
        without = one.mean.without_own(
            np.full(len(p), days[time]), p, values[time, p], around[:, None]
        )
        found[:, there] = without - one.mean.at(around)[:, p]
        return found

    def _tile(self, targets: dict[str, Array], time: int, random: np.random.Generator) -> Tile:
        """Return a tile around a target at random."""
        rows, columns = self.field.sea.shape
        if (rows, columns) == (self.height, self.width):
            return Tile(slice(0, rows), slice(0, columns))
        known = np.any([np.isfinite(target[time]) for target in targets.values()], axis=0)
        rows_of, columns_of = np.nonzero(self.field.sea)
        centre = int(random.choice(np.flatnonzero(known)))
        spans = []
        for at, side, length in (
            (rows_of[centre], self.height, rows),
            (columns_of[centre], self.width, columns),
        ):
            start = int(np.clip(at - random.integers(side), 0, length - side))
            spans.append(slice(start, start + side))
        return Tile(*spans)


def _placed(values: Array, inside: Array, fill: float = 0) -> Array:
    """Return numbers of the sea of a tile, (..., p), on it, (..., h, w)."""
    found = np.full((*values.shape[:-1], *inside.shape), fill, values.dtype)
    found[..., inside] = values
    return found
