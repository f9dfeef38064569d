"""Symmetries of a model: maps of states under which its equations stay the same.

They average a climatology, and augment the windows of a training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


class Symmetry(Protocol):
    """A group of maps of states that turn solutions into solutions."""

    def averaged(self, mean: Any, covariance: Any) -> tuple[Any, Any]:
        """Return the mean (D,) and covariance (D, D) of states and all of their images."""

    def images(self, states: Any, random: np.random.Generator) -> Any:
        """Return an image of each window of states (W, T, D), drawn at random."""


@dataclass(frozen=True)
class Mirror:
    """Invariance under a change of some components' signs.

    Attributes
    ----------
    signs : tuple of float
        1 or −1 for each component.
    """

    signs: tuple[float, ...]

    def averaged(self, mean: Any, covariance: Any) -> tuple[Any, Any]:
        """Return the mean (D,) and covariance (D, D) of states and their mirror images."""
        sign = np.array(self.signs)
        odd = mean - (mean + sign * mean) / 2
        second = covariance + np.outer(odd, odd)
        return mean - odd, (second + second * np.outer(sign, sign)) / 2

    def images(self, states: Any, random: np.random.Generator) -> Any:
        """Return the windows (W, T, D), each mirrored with probability 1/2."""
        mirrored = random.random((len(states), 1, 1)) < 0.5
        return states * np.where(mirrored, self.signs, 1.0)


@dataclass(frozen=True)
class Rotation:
    """Invariance of a state on a circle under rotations by any number of components."""

    def averaged(self, mean: Any, covariance: Any) -> tuple[Any, Any]:
        """Return the mean (D,) and covariance (D, D) of states in all rotations."""
        centred = np.full_like(mean, mean.mean())
        second = covariance + np.outer(mean - centred, mean - centred)
        turned = [np.roll(second, (k, k), (0, 1)) for k in range(len(mean))]
        return centred, np.mean(turned, axis=0)

    def images(self, states: Any, random: np.random.Generator) -> Any:
        """Return the windows (W, T, D), each rotated by a random number of components."""
        by = random.integers(states.shape[2], size=len(states))
        return np.stack([np.roll(x, -int(n), axis=1) for x, n in zip(states, by, strict=True)])
