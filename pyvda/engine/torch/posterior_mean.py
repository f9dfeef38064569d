"""The posterior mean by importance sampling from a library of states, and the likeliest members.

A member of the library, j, has the weight exp(-Jⱼ), Jⱼ = ½ Σ (y - hⱼ)² / R over the window's data.
Where few members carry the weight a second stage draws around them: a member is chosen with a
probability vⱼ ∝ exp(-β Jⱼ), moved by a normal deviate `lead` steps before the window, and run from
there; the weight of a draw is exp(-J) / vⱼ. J is kept in single precision, as by the Julia engine,
which sweeps over hundreds of thousands of members for every window.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from pyvda.engine.checked import checked
from pyvda.engine.data import Posterior
from pyvda.engine.interface import Array, CostSettings
from pyvda.engine.torch.arrays import array, tensor
from pyvda.engine.torch.steps import Steps
from pyvda.engine.torch.trajectory import follow
from pyvda.models.model import Model

if TYPE_CHECKING:
    from pyvda.climate.library import Library

_EVERY = 4  # steps of a trajectory between two members, as in pyvda.climate.library
_SMALLEST_POWER = 1 / 32  # β
_HALVINGS = 8
_NEGLIGIBLE = 25.0  # weights below exp(-25) of the largest are left out
_HOPELESS = 100  # members whose J is larger than the least by more are not used as starts
_REAL = np.dtype(float)


def posterior_mean(
    model: Model,
    settings: CostSettings,
    observation: Array,
    precision: Array,
    library: Library,
    *,
    noise: Array,
    enough: float,
    spread: Array,
) -> Posterior:
    """See `Engine.posterior_mean`."""
    windows, steps, size = shape = np.shape(observation)
    observation = checked("observation", observation, shape, _REAL)
    precision = checked("precision", precision, shape, _REAL)
    noise = checked("noise", noise, (len(noise) // 8 * 8, size), _REAL)
    spread = checked("spread", spread, (size,), _REAL)
    members = _Members(library, steps)
    mean, stdev = np.full(shape, np.nan), np.full(shape, np.nan)
    effective, misfit, draws = (np.full(windows, np.nan) for _ in range(3))
    for w in range(windows):
        draws[w] = 0
        J = members.misfits(observation[w], precision[w])
        least = _least(J)
        if not np.isfinite(least):
            continue
        rows = np.flatnonzero(J - least < _NEGLIGIBLE)
        likely = members.trajectories(rows)
        exact = _double_misfits(likely, observation[w], precision[w])
        found = _weighed(exact, likely.__getitem__)
        misfit[w] = exact.min()
        if found.effective < enough and len(noise):

            def exactly(rows: Array, w: int = w) -> Array:
                states = members.trajectories(rows)
                return _double_misfits(states, observation[w], precision[w])

            chosen, bias = _chosen(J, least, enough, len(noise), exactly)
            start = members.before(chosen) + spread * noise
            with torch.no_grad():
                lead = follow(Steps(model, settings), tensor(start), library.lead + steps)
            drawn = array(lead[:, library.lead :])
            J_drawn = _double_misfits(drawn, observation[w], precision[w])
            usable = np.isfinite(J_drawn - bias)
            draws[w] = len(noise)
            if usable.any():
                second = _weighed((J_drawn - bias)[usable], drawn[usable].__getitem__)
                if second.effective > found.effective:
                    found, misfit[w] = second, J_drawn[usable].min()
        mean[w], stdev[w], effective[w] = found.mean, found.stdev, found.effective
    return Posterior(mean, stdev, effective, misfit, draws)


def best_starts(
    observation: Array, precision: Array, library: Library, *, apart: Array, count: int
) -> Array:
    """See `Engine.best_starts`."""
    windows, steps, size = shape = np.shape(observation)
    observation = checked("observation", observation, shape, _REAL)
    precision = checked("precision", precision, shape, _REAL)
    apart = checked("apart", apart, (size,), _REAL)
    members = _Members(library, steps)
    starts = np.empty((windows, count, size))
    for w in range(windows):
        J = members.misfits(observation[w], precision[w])
        margin = np.float32(0 if count == 1 else _HOPELESS)
        near = np.flatnonzero(_least(J) + margin >= J)
        near = near[np.isfinite(J[near])]
        before = members.before(near)
        starts[w] = members.before(np.zeros(1, int))  # where no member has a likelihood
        for k in range(count):
            if not len(near):
                starts[w, k:] = starts[w, 0]
                break
            best = before[J[near].argmin()]
            starts[w, k] = best
            far = (np.abs(before - best) >= apart).any(1)
            near, before = near[far], before[far]
    return starts


class _Members:
    """The members of a library for windows of some steps; behind all of them the mirrored ones."""

    def __init__(self, library: Library, steps: int) -> None:
        count, length, _ = library.states.shape
        each = (length - library.lead - steps) // _EVERY + 1
        first = library.lead + _EVERY * np.arange(each)
        self.library, self.steps = library, steps
        self.trajectory = np.repeat(np.arange(count), each)
        self.first = np.tile(first, count)
        self.mirrored = bool((library.signs < 0).any())
        self.rounded = library.states.astype(np.float32)

    def _place(self, members: Array) -> tuple[Array, Array, Array]:
        """Return trajectory, first step and signs (n, D) of members."""
        own = members % len(self.first)
        plain = (members < len(self.first))[:, None]
        signs = np.where(plain, 1.0, self.library.signs)
        return self.trajectory[own], self.first[own], signs

    def trajectories(self, members: Array) -> Array:
        """Return the states of members over the window, (n, T, D)."""
        trajectory, first, signs = self._place(members)
        time = first[:, None] + np.arange(self.steps)
        return np.asarray(self.library.states[trajectory[:, None], time] * signs[:, None])

    def before(self, members: Array) -> Array:
        """Return the states of members `lead` steps before the window, (n, D)."""
        trajectory, first, signs = self._place(members)
        return np.asarray(self.library.states[trajectory, first - self.library.lead] * signs)

    def misfits(self, observation: Array, precision: Array) -> Array:
        """Return J of every member in single precision, rounded once for every datum."""
        signs = self.library.signs.astype(np.float32)
        J = [np.zeros(len(self.first), np.float32) for _ in range(1 + self.mirrored)]
        with np.errstate(over="ignore", invalid="ignore"):
            for t, i in zip(*np.nonzero(precision > 0), strict=True):
                h = self.rounded[self.trajectory, self.first + t, i]
                y, half = np.float32(observation[t, i]), np.float32(precision[t, i] / 2)
                for k, value in enumerate((y, signs[i] * y)[: len(J)]):
                    d = value - h
                    exact = (half * d).astype(float) * d + J[k]
                    J[k] = exact.astype(np.float32)
        return np.concatenate(J)


class _Weighed(NamedTuple):
    """Weighted mean and standard deviation of samples, (T, D), and their effective number."""

    mean: Array
    stdev: Array
    effective: float


def _weighed(J: Array, samples: Callable[[Array], Array]) -> _Weighed:
    """Return the moments of samples with the weights exp(-J), (n,)."""
    J = J.astype(float)
    rows = np.flatnonzero(J - J.min() < _NEGLIGIBLE)
    weight = np.exp(J.min() - J[rows])
    x = samples(rows)
    mean = np.tensordot(weight, x, 1) / weight.sum()
    second = np.tensordot(weight, x**2, 1) / weight.sum()
    stdev = np.sqrt(np.maximum(second - mean**2, 0.0))
    return _Weighed(mean, stdev, float(weight.sum() ** 2 / (weight**2).sum()))


def _chosen(
    J: Array, least: float, enough: float, draws: int, exactly: Callable[[Array], Array]
) -> tuple[Array, Array]:
    """Return the member of each draw and β (Jⱼ - least), which its weight makes up for.

    `exactly` returns J of members in double precision.

    β is the largest, of at most 1, at which the members' weights have the effective size `enough`;
    the draws lie at equal distances of the cumulated probabilities.
    """
    above = J.astype(float) - least

    def weights(power: float) -> Array:
        return np.asarray(
            np.where(power * above < _NEGLIGIBLE, np.exp(-power * np.maximum(above, 0.0)), 0.0)
        )

    low, high = _SMALLEST_POWER, 1.0
    for _ in range(_HALVINGS):
        power = (low + high) / 2
        p = weights(power)
        if p.sum() ** 2 / (p**2).sum() > enough:
            low = power
        else:
            high = power
    rows = np.flatnonzero(weights(low))
    exact = exactly(rows)
    exact -= exact.min()
    cumulated = np.cumsum(np.exp(-low * exact))
    at = (np.arange(1, draws + 1) - 0.5) / draws * cumulated[-1]
    chosen = np.minimum(np.searchsorted(cumulated, at), len(rows) - 1)
    return rows[chosen], low * exact[chosen]


def _double_misfits(x: Array, observation: Array, precision: Array) -> Array:
    """Return ½ Σ (y - x)² / R of states x (n, T, D), (n,)."""
    seen = precision > 0
    with np.errstate(over="ignore", invalid="ignore"):
        squares = precision[seen] * (x[:, seen] - observation[seen]) ** 2
        return np.asarray(squares.sum(1) / 2)


def _least(J: Array) -> float:
    """Return the least J that is a number; infinite where none is."""
    return float(np.nanmin(np.where(np.isnan(J), np.inf, J)))
