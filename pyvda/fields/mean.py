"""The mean of a field by pixel and season, from data with gaps.

Three parts are added: the season s(t) of the whole field, the deviation a(p) of each point from it,
and the season of the point around both. Each is an average of what the ones before leave, over
Gaussian weights in time; the last two are drawn towards zero by one datum of weight 1, so that a
point or a season that was rarely observed takes the mean of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from pyvda.engine.data import Array

YEAR = 365.2425
_NODES_PER_DEVIATION = 2
_PRIOR = 1.0  # data


SEASON_DAYS = 22.5
_LEAST_SPAN = 180.0  # days: over less, a season cannot be separated from a departure


def default_season_days(days: Array, dated: bool) -> float | None:
    """Return the standard deviation in time of the mean's weights, None for a constant mean.

    >>> default_season_days(np.arange(365.0), True), default_season_days(np.arange(10.0), True)
    (22.5, None)
    """
    return SEASON_DAYS if dated and np.ptp(days) >= _LEAST_SPAN else None


@dataclass(frozen=True)
class SeasonalMean:
    """The mean at any time of the year, linear between nodes.

    Attributes
    ----------
    days : float, optional
        Standard deviation of the weights in time; None for a mean that is constant in time.
    nodes : (S,)
        Days of the year.
    level, count : (P,)
        Deviation of each point, and the number of its data.
    season : (S,)
        Mean of the whole field.
    total, weight : (S, P)
        Weighted sum of what is left at each point, and the sum of its weights.
    """

    days: float | None
    nodes: Array
    level: Array
    count: Array
    season: Array
    total: Array
    weight: Array

    def at(self, days: Array) -> Array:
        """Return the mean at times (T,) and all points, (T, P)."""
        return between(self.table(), days)

    def table(self) -> Array:
        """Return the mean at the nodes, (S, P)."""
        return self.season[:, None] + self.level + self.total / (self.weight + _PRIOR)

    def pairs(self, days: Array, points: Array) -> Array:
        """Return the mean at times and points (n,) each."""
        low, high, share = self._between(days)
        at_low, at_high = (
            self.total[node, points] / (self.weight[node, points] + _PRIOR) for node in (low, high)
        )
        season = _mixed(self.season[low], self.season[high], share)
        return season + self.level[points] + _mixed(at_low, at_high, share)

    def without_own(
        self, days: Array, points: Array, values: Array, at: Array | None = None
    ) -> Array:
        """Return the mean at points (n,) with the data `values` (n,) at times `days` left out.

        The season of the whole field is not recomputed, since a few values hardly change it.

        Parameters
        ----------
        at : (n,) or (t, 1), optional
            The times of the mean. Default: `days`.
        """
        season = self._season(days)
        before, count = self.level[points], self.count[points] + _PRIOR
        level = (before * count - (values - season)) / np.maximum(count - 1, _PRIOR)
        asked = days if at is None else at
        low, high, share = self._between(asked)
        parts: list[Array] = []
        for node in (low, high):
            own = self._weights(days, self.nodes[node])
            weight = self.weight[node, points] - own
            total = self.total[node, points] - own * (values - season - before)
            parts.append((total + weight * (before - level)) / (weight + _PRIOR))
        return self._season(asked) + level + _mixed(parts[0], parts[1], share)

    def _season(self, days: Array) -> Array:
        low, high, share = self._between(days)
        return _mixed(self.season[low], self.season[high], share)

    def _between(self, days: Array) -> tuple[Array, Array, Array]:
        return _between(len(self.nodes), days)

    def _weights(self, days: Array, node: Array) -> Array:
        if self.days is None:
            return np.ones(np.broadcast_shapes(days.shape, node.shape))
        distance = np.abs(np.mod(days - node + YEAR / 2, YEAR) - YEAR / 2)
        return np.asarray(np.exp(-0.5 * (distance / self.days) ** 2))


def seasonal_mean(values: Array, days: Array, season_days: float | None) -> SeasonalMean:
    """Return the mean of a field.

    Parameters
    ----------
    values : (T, P)
        NaN where nothing was observed.
    days : (T,)
        Days since a first of January; only the day of the year matters.
    season_days : float, optional
        Standard deviation of the weights in time; None for a mean of each point alone.
    """
    return mean_of_parts(lambda: [(days, values)], season_days)


def mean_of_parts(
    parts: Callable[[], Iterable[tuple[Array, Array]]], season_days: float | None
) -> SeasonalMean:
    """Return the mean of a field that is read in parts, in two passes.

    Parameters
    ----------
    parts : callable
        Returns days (t,) and values (t, P) of one stretch of times after the other.
    season_days : float, optional
        As in `seasonal_mean`.
    """
    count = 1 if season_days is None else int(np.ceil(YEAR * _NODES_PER_DEVIATION / season_days))
    nodes = np.arange(count) * (YEAR / count)
    per_time, observed, days, size = [], [], [], 0
    for some, values in parts():
        there = np.isfinite(values)
        days.append(some)
        per_time.append(np.where(there, values, 0.0).sum(1))
        observed.append(there.sum(1))
        size = values.shape[1]
    when, sums, counts = (np.concatenate(one) for one in (days, per_time, observed))
    zero, none = np.zeros(size), np.zeros((0, size))
    mean = SeasonalMean(season_days, nodes, zero, zero, np.zeros(count), none, none)
    weights = mean._weights(when, nodes[:, None])  # (S, T)
    overall = sums.sum() / max(1, counts.sum())
    # A season without data takes the overall mean.
    season = (weights @ sums + 1e-6 * overall) / (weights @ counts + 1e-6)
    level, seen = np.zeros(size), np.zeros(size)
    total, weight = np.zeros((count, size)), np.zeros((count, size))
    first = 0
    for some, values in parts():
        there = np.isfinite(values)
        low, high, share = mean._between(some)
        left = np.where(there, values - _mixed(season[low], season[high], share)[:, None], 0.0)
        level += left.sum(0)
        seen += there.sum(0)
        of_part = weights[:, first : first + len(some)]
        total += of_part @ left
        weight += of_part @ there.astype(float)
        first += len(some)
    level = level / (seen + _PRIOR)
    return SeasonalMean(season_days, nodes, level, seen, season, total - weight * level, weight)


def between(table: Array, days: Array) -> Array:
    """Return a mean at times (T,) from its `table` (S, P), (T, P)."""
    low, high, share = _between(len(table), days)
    return _mixed(table[low], table[high], share[:, None])


def _between(nodes: int, days: Array) -> tuple[Array, Array, Array]:
    """Return the nodes before and after times, and the shares of the latter."""
    if nodes == 1:
        zero = np.zeros(np.shape(days), int)
        return zero, zero, np.zeros(np.shape(days))
    place = np.mod(days, YEAR) / (YEAR / nodes)
    low = np.floor(place).astype(int) % nodes
    return low, (low + 1) % nodes, place - np.floor(place)


def _mixed(low: Array, high: Array, share: Array) -> Array:
    return (1 - share) * low + share * high
