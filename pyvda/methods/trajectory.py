"""The trajectory of a window, with as many of its states in memory as fit.

Some states, evenly spaced, are kept; those of the segments between are computed from them again,
a segment at a time, whenever a derivative asks for them: checkpoints (Griewank 1992). A trajectory
of one segment is kept as a whole.

References
----------
A. Griewank, Optimization Methods and Software 1 (1992), 35-54.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from pyvda.engine.interface import Array

Advance = Callable[[Array, int, int], Array]
"""(state at step a, a, b) to the states of the steps a to b, (b - a + 1, D)."""

_TEMPORARY = 7  # arrays like a segment: its states, perturbations, forcing, gradients and copies


@dataclass(frozen=True)
class Trajectory:
    """States of the steps 0 to `steps` - 1.

    Attributes
    ----------
    steps : int
    stride : int
        Steps of a segment.
    kept : (⌈(steps - 1) / stride⌉, D) or (steps, D)
        The first state of each segment, or all states where there is one segment.
    advance : Advance
    total : float
        What a function of the segments adds up to, see `run`.
    """

    steps: int
    stride: int
    kept: Array
    advance: Advance
    total: float

    @classmethod
    def run(
        cls, start: Array, steps: int, stride: int, advance: Advance,
        each: Callable[[int, Array], float],
    ) -> Trajectory:  # fmt: skip
        """Run from a state (D,), and add up a function of the first step and states of segments."""
        stride = max(1, min(stride, steps - 1))
        bounds = segments(steps, stride)
        kept = np.empty((len(bounds), len(start)))
        states, total = start[None], 0.0
        for number, (first, last) in enumerate(bounds):
            kept[number] = states[-1]
            states = advance(states[-1], first, last)
            total += each(first, states)
        return cls(steps, stride, states if len(bounds) == 1 else kept, advance, total)

    def __iter__(self) -> Iterator[tuple[int, Array]]:
        """Yield the first step and the states of each segment, both ends included."""
        for first, last in segments(self.steps, self.stride):
            yield first, self._states(first, last)

    def __reversed__(self) -> Iterator[tuple[int, Array]]:
        """Yield the segments from the last one to the first."""
        for first, last in reversed(segments(self.steps, self.stride)):
            yield first, self._states(first, last)

    def whole(self) -> Array:
        """Return all states, (steps, D)."""
        found = np.empty((self.steps, self.kept.shape[1]))
        for first, states in self:
            found[first : first + len(states)] = states
        return found

    def at(self, step: int) -> Array:
        """Return the state of a step, (D,)."""
        if len(self.kept) == self.steps:
            return self.kept[step]
        first = min(step // self.stride, len(self.kept) - 1) * self.stride
        return self._states(first, step)[-1]

    def _states(self, first: int, last: int) -> Array:
        if len(self.kept) == self.steps:
            return self.kept
        return self.advance(self.kept[first // self.stride], first, last)


def segments(steps: int, stride: int) -> list[tuple[int, int]]:
    """Return first and last step of the segments of a window; neighbours share a step."""
    return [(a, min(a + stride, steps - 1)) for a in range(0, max(1, steps - 1), stride)]


def window_bytes(steps: int, stride: int, size: int, trajectories: int = 2) -> int:
    """Return the bytes that a window with segments of `stride` steps takes.

    Parameters
    ----------
    trajectories : int
        Whose checkpoints are held at once.
    """
    count = len(segments(steps, stride))
    kept = trajectories * (count if count > 1 else steps)
    return 8 * size * (kept + _TEMPORARY * (min(stride, steps - 1) + 1))


def longest_stride(steps: int, size: int, memory: float, trajectories: int = 2) -> int:
    """Return the longest segments that fit into so many bytes, or those that take the fewest."""
    strides = [-(-(steps - 1) // count) for count in range(1, max(steps, 2))]
    taken = {stride: window_bytes(steps, stride, size, trajectories) for stride in strides}
    fitting = [stride for stride in strides if taken[stride] <= memory]
    return fitting[0] if fitting else min(strides, key=taken.__getitem__)
