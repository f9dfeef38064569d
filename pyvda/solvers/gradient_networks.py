"""Learned solvers on the gradient: a convolutional LSTM (11) and a convolutional network (12).

Both see the gradient of each window divided by the root mean square of that window's first
gradient. Each window has its own scale, and both solvers start from zero, so the analysis of a
window depends neither on the other windows of its batch nor on chance. Because the scale stays that
of the first gradient, steps shrink as the iterations converge.

The paper counts the two weights of the cost, which are trained jointly, among a solver's
parameters; here they belong to the cost: `VariationalCost(..., learnable=True)`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyvda.cost import BoundCost
from pyvda.engine.julia.engine import JuliaEngine
from pyvda.priors.spacetime import SpaceTime
from pyvda.solvers.convolution import Chain, Convolution
from pyvda.solvers.solver import Carry, GradientSolver


class _OnGrids(GradientSolver):
    """A solver whose internal state is channel-major grids, (C, B, *axes)."""

    space: SpaceTime

    def _grid(self, x: Tensor) -> Tensor:
        return self.space.split(x).transpose(0, 1)

    def _windows(self, grid: Tensor) -> Tensor:
        return self.space.join(grid.transpose(0, 1))


class LSTMSolver(_OnGrids):
    """g, (h, c) = LSTM[α ∇U / scale, h, c];  x ← x − L(g), eq. (11).

    Parameters with the defaults: Lorenz-63 (3 channels) 3 346, Lorenz-96 (1 channel, dimension 2)
    1 106; with the two weights of the cost 3 348 and 1 108, as in the authors' modules.

    Parameters
    ----------
    channels : int
        State size D for dimension 1; 1 for dimensions 2 and 3.
    dimension : int
        Axes the convolution runs over: 1 (time), 2 (time, component), 3 (time, y, x).
    periodic : bool
        Whether the axes other than time are periodic.
    hidden : int, optional
        Channels of h and c; five times those of the grids if not given.
    width : int
        Odd size of the kernels.
    every : int
        Steps of a group (`pyvda.priors.spacetime`).
    """

    def __init__(
        self,
        channels: int,
        dimension: int = 1,
        periodic: bool = False,
        hidden: int | None = None,
        width: int = 3,
        every: int = 1,
    ) -> None:
        super().__init__()
        self.space = SpaceTime(channels, dimension, periodic, every)
        size = self.space.grid_channels
        self.hidden = 5 * size if hidden is None else hidden
        self.alpha = nn.Parameter(torch.ones(()))
        self.gates = Convolution(self.space, size + self.hidden, 4 * self.hidden, width, True)
        self.update = Convolution(self.space, self.hidden, size, 1)

    def init(self, x0: Tensor) -> Carry:
        """Return h = c = 0 and a scale that is not known yet."""
        grid = self._grid(x0)
        h = grid.new_zeros(self.hidden, *grid.shape[1:])
        return h, h, _unknown_scale(x0)

    def on_engine(self, cost: BoundCost, x: Tensor) -> bool:
        """Return whether the engine computes both the prior's gradient and the gates."""
        return _both(cost, x, self.gates.engine(self._grid(x)))

    def step(self, x: Tensor, carry: Carry, gradient: Tensor) -> tuple[Tensor, Carry]:
        """Return the next x and (h, c, scale)."""
        h, c, scale = carry
        scale = _scale(scale, gradient)
        grid = self._grid(self.alpha * (gradient / scale))
        gates, candidate = self.gates(torch.cat((grid, h))).split((3 * self.hidden, self.hidden))
        input_gate, forget, output = gates.sigmoid().chunk(3)
        c = forget * c + input_gate * candidate.tanh()
        h = output * c.tanh()
        return x - self._windows(self.update(h)), (h, c, scale)


class ConvSolver(_OnGrids):
    """g = C[∇U / scale, g];  x ← x − A(g) with A(g) = 5 atan(0.2 W g), eq. (12).

    C is three convolutions with 8, 16 and 1 times the channels, a 1×1, and the gradient added at
    the end; W is a 1×1 that starts as the identity; no biases. Parameters: Lorenz-63 (3 channels)
    4 338, Lorenz-96 (1 channel, dimension 2) 1 442; with the two weights of the cost 4 340 and
    1 444, as in the authors' modules.

    Parameters
    ----------
    channels, dimension, periodic, width, every
        As for `LSTMSolver`.
    hidden : pair of int, optional
        Channels between the three convolutions; 8 and 16 times those of the grids if not given.
    """

    def __init__(
        self,
        channels: int,
        dimension: int = 1,
        periodic: bool = False,
        hidden: tuple[int, int] | None = None,
        width: int = 3,
        every: int = 1,
    ) -> None:
        super().__init__()
        self.space = SpaceTime(channels, dimension, periodic, every)
        size = self.space.grid_channels
        first, second = (8 * size, 16 * size) if hidden is None else hidden
        self.network = Chain(
            Convolution(self.space, 2 * size, first, width, relu=True),
            Convolution(self.space, first, second, width, relu=True),
            Convolution(self.space, second, size, width),
            Convolution(self.space, size, size, 1),
        )
        self.update = Convolution(self.space, size, size, 1)
        with torch.no_grad():
            self.update.weight.copy_(torch.eye(size).reshape(self.update.weight.shape))

    def init(self, x0: Tensor) -> Carry:
        """Return g = 0 and a scale that is not known yet."""
        return torch.zeros_like(self._grid(x0)), _unknown_scale(x0)

    def on_engine(self, cost: BoundCost, x: Tensor) -> bool:
        """Return whether the engine computes both the prior's gradient and C."""
        return _both(cost, x, self.network.engine(self._grid(x)))

    def step(self, x: Tensor, carry: Carry, gradient: Tensor) -> tuple[Tensor, Carry]:
        """Return the next x and (g, scale)."""
        g, scale = carry
        scale = _scale(scale, gradient)
        grid = self._grid(gradient / scale)
        g = self.network(torch.cat((g, grid))) + grid
        return x - self._windows(5.0 * torch.atan(0.2 * self.update(g))), (g, scale)


def _both(cost: BoundCost, x: Tensor, of_solver: JuliaEngine | None) -> bool:
    """Return whether the engine computes the prior's gradient at x as well as the solver's part."""
    of_prior = getattr(cost.prior, "engine", None)
    return of_solver is not None and of_prior is not None and of_prior(x) is not None


def _unknown_scale(x: Tensor) -> Tensor:
    # An empty tensor: later iterations see from the shape alone that the scale is known, without
    # waiting for the device.
    return x.new_empty(0)


def _scale(scale: Tensor, gradient: Tensor) -> Tensor:
    """Return the scale if known, else the RMS of each window's gradient."""
    if scale.numel():
        return scale
    mean = gradient.square().mean(tuple(range(1, gradient.ndim)), keepdim=True)
    # At a minimum the gradient is zero: a scale of one keeps the step and its derivative finite.
    return torch.where(mean > torch.finfo(mean.dtype).tiny, mean, torch.ones_like(mean)).sqrt()
