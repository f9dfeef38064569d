"""Memory of incremental 4D-Var for a window, and what is recomputed to save it.

A part is held in any case: the arrays of the block of windows, the data, the vectors of the
minimiser, the workspace of the model, and the standard deviation. The limit, less that part,
decides how many states of the trajectory are kept; what remains then is for linearisations and for
perturbations that are computed together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pyvda.errors import InputError
from pyvda.methods.trajectory import longest_stride, window_bytes

# Arrays of all windows of a block. While the cost is minimised: observations and their errors, in
# the prepared file and in windows; observation, mask and first guess; the analysis. Afterwards the
# results and their copies in the file. A spread is one more, and three in the file.
_MINIMISED, _WRITTEN, _SPREAD, _SPREAD_WRITTEN = 8, 11, 1, 3
# Arrays of one window: its analysis, and with a spread the variances of draws, factors and order.
_OF_WINDOW, _OF_WINDOW_WITH_SPREAD = 1, 6
# Control vectors for each iteration: directions, products, Ritz vectors of this loop, of the one
# before and of the minimum.
_FOR_ITERATION = 5
_AFTER_LOOPS = 4  # of these are free when draws are made: all but the Ritz vectors of the minimum
_CONTROLS = 12  # control vectors and states of the loops themselves
_ENSEMBLE = 4  # arrays like the members: those of the background, the file and two on the way
_TRAJECTORIES = 2  # at once: of a minimum and of a step from it
_PERTURBATION, _CONTROL_OF_PERTURBATION = 5, 3  # segments and controls of a perturbation
_TOGETHER = 8  # perturbations at most
_GARBAGE = 48 << 20  # bytes that Julia allocates before it collects them


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes of a window, all of them of float64.

    Attributes
    ----------
    limit : float
        Bytes that may be held.
    steps, size, rank : int
        Steps T of the trajectory, components D of the state and of the control.
    iterations : int
        Iterations of the inner loop.
    block : int
        Steps of all windows of the block together.
    truths : int
        Arrays of a truth that the file has.
    data : int
        Bytes of the window's data.
    workspace : int
        Bytes that the model holds in a step.
    spread : bool
        Whether a standard deviation is computed.
    members : int
        Size of the ensemble at the last step.
    analyses : bool
        Whether the members are analyses, beside which the minimum's trajectory stays.
    """

    limit: float
    steps: int
    size: int
    rank: int
    iterations: int
    block: int
    truths: int = 0
    data: int = 0
    workspace: int = 0
    spread: bool = False
    members: int = 0
    analyses: bool = False

    def expect_room(self) -> None:
        """Raise InputError if the window does not fit into the limit, whatever is recomputed."""
        if self.needed > self.limit:
            least = _rounded_up(self.needed / 2**30)
            raise InputError(
                f"memory is {self.limit / 2**30:.4g} GiB, and a window of {self.steps} steps of "
                f"{self.size} components needs {least}; give as much (--memory {least}), "
                "shorter windows or fewer inner_iterations"
            )

    @property
    def needed(self) -> int:
        """The least number of bytes for these segments."""
        return max(self._held + self._window_bytes(self.stride), self._written)

    @cached_property
    def stride(self) -> int:
        """Steps of the segments in which trajectories are computed again."""
        return longest_stride(
            self.steps, self.size, self.limit - self._held, trajectories=self._trajectories
        )

    @property
    def linearisations(self) -> int:
        """Bytes for the linearisations of the steps, which stay until the next window."""
        spare = max(0, self.limit - self.needed)
        return min(int(spare), self.workspace * self.steps)

    @property
    def together(self) -> int:
        """How many perturbations may be computed at once."""
        return int(np.clip(self._spare // self._of_perturbation, 1, _TOGETHER))

    @property
    def controls(self) -> int:
        """How many vectors like the control the draws may hold beside the perturbations."""
        spare = max(0, self._spare - self.together * self._of_perturbation)
        return _AFTER_LOOPS * self.iterations + int(spare // (8 * self.rank))

    @property
    def _spare(self) -> float:
        return self.limit - self.needed - self.linearisations

    @property
    def _of_perturbation(self) -> int:
        segment = 8 * self.size * (min(self.stride, self.steps) + 1)
        return _PERTURBATION * segment + _CONTROL_OF_PERTURBATION * 8 * self.rank + self.workspace

    @property
    def _trajectories(self) -> int:
        return _TRAJECTORIES + self.analyses

    @property
    def _held(self) -> int:
        """Bytes that are held while the cost is minimised, whatever the segments."""
        of_window = _OF_WINDOW_WITH_SPREAD if self.spread else _OF_WINDOW
        states = of_window * self.steps + _ENSEMBLE * self.members + _CONTROLS
        controls = _FOR_ITERATION * self.iterations + _CONTROLS
        own = 8 * (self.size * states + self.rank * controls) + self.data
        return own + self._of_block(_MINIMISED + _SPREAD * self.spread)

    @property
    def _written(self) -> int:
        """Bytes that are held when the results are put together."""
        ensemble = 8 * self.size * _ENSEMBLE * self.members
        return ensemble + self._of_block(_WRITTEN + _SPREAD_WRITTEN * self.spread)

    def _of_block(self, arrays: int) -> int:
        """Return the bytes of arrays of the block, and of the model: it also runs for (4)."""
        of_model = 2 * self.workspace + _GARBAGE if self.workspace else 0
        return 8 * self.size * self.block * (arrays + self.truths) + of_model

    def _window_bytes(self, stride: int) -> int:
        return window_bytes(self.steps, stride, self.size, trajectories=self._trajectories)


def _rounded_up(gib: float) -> str:
    """Return a number of GiB in three digits, not below it.

    >>> _rounded_up(1.2345), _rounded_up(0.00012341)
    ('1.24', '0.000124')
    """
    unit = 10.0 ** (np.floor(np.log10(gib)) - 2)
    return f"{np.ceil(gib / unit) * unit:.3g}"
