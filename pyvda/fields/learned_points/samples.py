"""Training targets: data of passes that are hidden, and what is known of them without these passes;
or points and times of complete fields, and what is known of them from data.

A draw deals the passes, moorings or floats into fifths, and hides one fifth after the other; the
hidden values are interpolated from the others. Each member of a network leaves out a part of the
passes, the same in all draws: their values are what it is scored on. With a truth a draw has data
as described in `truth`, and a member leaves out a part of the times, without a break. All draws
follow from the seed, so that a resumed training sees the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyvda.engine import Engine
from pyvda.engine.data import Array, Interpolated
from pyvda.errors import InputError
from pyvda.fields import point_estimate, target
from pyvda.fields.combination import corrected
from pyvda.fields.interpolation_options import FIT, OptimalInterpolationOptions, check
from pyvda.fields.learned.sample_source import complete_fields
from pyvda.fields.learned_points.configuration import NeighboursSettings, PointSource
from pyvda.fields.learned_points.description import digests
from pyvda.fields.learned_points.neighbours import Neighbours, neighbours_of, units_of
from pyvda.fields.learned_points.network import Inputs, inputs_of
from pyvda.fields.learned_points.truth import Truth
from pyvda.fields.optimal_interpolation import constants_of
from pyvda.fields.passes import LEAST_PASSES, count_passes
from pyvda.fields.places import Places
from pyvda.fields.points import DataAtPoints, are_points
from pyvda.fields.points import read as read_points
from pyvda.fields.scattered import ScatteredRows, interpolated_at
from pyvda.fields.withheld import hidden_points
from pyvda.io.sources import sources
from pyvda.progress import ProgressReport, silent
from pyvda.validation_errors import validated

_PARTS = 5
_OF_OI = ("covariance", "functions", "factors", "fit_by", "mean", "local_variance", "nearest",
          "nearest_other", "within_days", "group_days", "combined", "seed")  # fmt: skip
_REACH = 0.98  # of the distances of data around targets


class Targets(NamedTuple):
    """Hidden values, n of them.

    Attributes
    ----------
    inputs : Inputs
    error : (n,)
        Value less interpolation.
    fold : (n,) of int
        The member that learns nothing from it.
    track : (n,) of int
        Pass; of a truth, stretch of time.
    """

    inputs: Inputs
    error: Tensor
    fold: Tensor
    track: Array

    def at(self, chosen: Any) -> Targets:
        """Return some of the targets, by index."""
        inputs = Inputs(*(one[chosen] for one in self.inputs))
        return Targets(inputs, self.error[chosen], self.fold[chosen], self.track[chosen])


class PointSamples:
    """The targets of a file, draw by draw.

    Parameters
    ----------
    settings : PointSource
    network : NeighboursSettings
    engine : Engine
    report : ProgressReport

    Attributes
    ----------
    variable, units : str
    covariance : SpaceTimeCovariance
    selection : Selection
        Data that the interpolation uses.
    combination : (n,)
        Weights of other interpolations that correct it, perhaps none.
    width : float
        Days of a group of them.
    scales : Units
    reach : float
        Distance beyond which data around a target are not used.
    passes, values : int
        Number of passes and of data.
    digests : dict
        Of the data and of those that are withheld.

    Raises
    ------
    InputError
        The file cannot be read, has several variables, or fewer than 10 passes; or an option of the
        interpolation does not go with it.
    """

    def __init__(
        self,
        settings: PointSource,
        network: NeighboursSettings,
        engine: Engine,
        report: ProgressReport = silent,
    ) -> None:
        self.settings, self.network, self.engine = settings, network, engine
        options = validated(
            OptimalInterpolationOptions,
            {name: getattr(settings, name) for name in _OF_OI if _is_given(settings, name)},
            "points",
        )
        given = options.given()
        if given is None and settings.fit_by is None:
            options = options.model_copy(update={"fit_by": point_estimate.PASSES})
        points, hidden = _read(settings)
        name = self.variable = points.variables[0]
        self.units = str(points.attrs[name].get("units", ""))
        self.digests = digests(points, name, hidden)
        field = target.around(points, settings.transform)
        if settings.truth is not None:
            grid = sources.as_dataset(settings.truth, "points.truth")
            field = target.on_grid(points, grid, transform=settings.transform)
        check(field, options, given, points=True)
        constants = constants_of(field, name, points, options, given)
        left = points if hidden is None else points.without(hidden)
        made = point_estimate.anomalies(field, name, field.read(name), left, constants)
        rows = made.rows
        self.passes, self.values = count_passes(rows), len(rows.value)
        if self.passes < LEAST_PASSES:
            raise InputError(
                f"a network cannot learn from passes that are left out, since there are "
                f"{self.passes}, expected at least {LEAST_PASSES}; give more data, or use the "
                "method oi"
            )
        self.covariance = constants.covariance or (
            point_estimate.fitted(rows, constants, report).covariance
        )
        self.rows = rows._replace(noise=rows.noise + self.covariance.nugget)
        self.combination = point_estimate.weights_of(
            engine, self.rows, self.covariance, constants, report
        )
        self.selection, self.width = constants.selection, constants.width
        self.scales = units_of(self.covariance, self.width, rows.places.extent())
        self.truth: Truth | None = None
        self.tracks = np.unique(rows.track)
        folds = np.random.default_rng([settings.seed, 1]).permutation(len(self.tracks))
        self.folds = folds % network.members
        if settings.truth is not None:
            complete = complete_fields(
                settings.truth, settings.files()[0], field, section="points"
            )[name]  # fmt: skip
            places = point_estimate.varying(field.places, constants)
            self.truth = Truth(places, field.days, constants.step, complete - made.grid)
            stretches = self._stretches(self.truth, settings.truth)
            self.tracks = np.arange(stretches)
            self.folds = self.tracks * network.members // stretches
        self._hidden = lru_cache(maxsize=1)(self._drawn)
        far = self._hidden(0).around.distance
        self.reach = float(np.quantile(far[np.isfinite(far)], _REACH))
        self._draw = lru_cache(maxsize=None)(self._targets)

    def checks(self) -> Targets:
        """Return the targets that select the best weights, those of the first draw."""
        return self._draw(0)

    def epoch(self, epoch: int) -> Targets:
        """Return the targets of an epoch in their order, those of its draw."""
        found = self._draw(epoch % self.settings.draws)
        random = np.random.default_rng([self.settings.seed, epoch, 5])
        return found.at(random.permutation(len(found.track)))

    def _stretches(self, truth: Truth, file: str) -> int:
        """Return how many stretches of time a truth has, of which members leave some out."""
        passes = count_passes(truth.within(self.rows))
        if passes < LEAST_PASSES:
            raise InputError(
                f"{passes} passes lie within the times of {file}, expected at least "
                f"{LEAST_PASSES}; give complete fields of the times of the data (points.truth), or "
                "leave it out"
            )
        count = int(np.ceil(truth.span / self.width))
        if count < self.network.members:
            raise InputError(
                f"{file} spans {truth.span:g} days, too few for each of {self.network.members} "
                f"members to leave out {self.width:g}; give a longer one, or fewer members "
                "(network.members)"
            )
        return count

    def _targets(self, draw: int) -> Targets:
        hidden = self._hidden(draw)
        inputs = inputs_of(
            hidden.found, hidden.around, self.covariance.variance, self.scales, self.reach
        )
        error = torch.as_tensor(hidden.value - hidden.found.value, dtype=torch.float32)
        fold = self.folds[np.searchsorted(self.tracks, hidden.track)]
        return Targets(inputs, error, torch.as_tensor(fold), hidden.track)

    def _drawn(self, draw: int) -> _Hidden:
        """Return some data of each fifth, interpolated from the others."""
        if self.truth is not None:
            return self._of_truth(self.truth, draw)
        rng = np.random.default_rng([self.settings.seed, draw, 2])
        dealt = rng.permutation(self.tracks)
        some = np.zeros(len(self.rows.value), bool)
        some[rng.permutation(len(some))[: self.settings.samples]] = True
        parts = []
        for fifth in range(_PARTS):
            hidden = np.isin(self.rows.track, dealt[fifth::_PARTS])
            left, asked = self.rows.at(~hidden), self.rows.at(hidden & some)
            known = self._known(left, asked.places, asked.days)
            parts.append(_Hidden(*known, asked.value, asked.track))
        return _Hidden(
            Interpolated(*_joined([part.found for part in parts])),
            Neighbours(*_joined([part.around for part in parts])),
            np.concatenate([part.value for part in parts]),
            np.concatenate([part.track for part in parts]),
        )

    def _of_truth(self, truth: Truth, draw: int) -> _Hidden:
        """Return the truth at some points and times, interpolated from data of a draw."""
        rng = np.random.default_rng([self.settings.seed, draw, 3])
        rows = truth.observed_later(truth.within(self.rows), rng) if draw else self.rows
        t = rng.integers(len(truth.days), size=self.settings.samples)
        p = rng.integers(len(truth.places), size=self.settings.samples)
        stretch = ((truth.days[t] - truth.first) / self.width).astype(int)
        known = self._known(rows, truth.places.at(p), truth.days[t])
        return _Hidden(*known, truth.values[t, p], stretch)

    def _known(
        self, rows: ScatteredRows, places: Places, days: Array
    ) -> tuple[Interpolated, Neighbours]:
        """Return the interpolation of data at places and times, and the data around them."""
        interpolated = partial(
            interpolated_at, self.engine, rows, places, np.arange(len(days)), days, width=self.width
        )
        found = corrected(interpolated, self.covariance, self.selection, self.combination)
        return found, neighbours_of(
            rows, places, days, self.covariance, self.scales, self.network.data
        )


def _joined(parts: Sequence[tuple[Array, ...]]) -> list[Array]:
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


class _Hidden(NamedTuple):
    """Hidden data or truth, their interpolation from others, and these."""

    found: Interpolated
    around: Neighbours
    value: Array
    track: Array


def _is_given(settings: PointSource, name: str) -> bool:
    """Tell whether an option of `oi` is given; a covariance that is given takes no seed."""
    if name == "seed" and settings.covariance != FIT:
        return False
    return getattr(settings, name) is not None


def _read(settings: PointSource) -> tuple[DataAtPoints, Array | None]:
    """Return the data and which of them are withheld."""
    files = settings.files()
    first = sources.as_dataset(files[0], "points.observations")
    if not are_points(first, settings.variable):
        raise InputError(
            f"the observations of {files[0]} do not lie at points, each with its time and place; "
            "train on a field on a grid with the section field in place of points"
        )
    points = read_points(files, settings.variable, transform=settings.transform)
    if len(points.variables) > 1:
        raise InputError(
            f"points.variable is {', '.join(points.variables)}, but a network is trained for one; "
            "train one for each"
        )
    return points, hidden_points(points, first, settings.withhold)
