"""The published form of the learned approach, restated plainly: eqs. (4), (10), (11) and (12).

The inner gradient comes from autograd with `create_graph=True`, each branch of a bilinear block is
a convolution of its own, and no linear chains are multiplied out. From pyvda it takes only the
weights, so that both have the same and must give the same loss: benchmarks/learned.py measures
both, and tests/test_published.py compares their values and gradients.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyvda.priors.genn import ScaleBlock, TwoScaleGENN
from pyvda.solvers import ConvSolver, LSTMSolver
from pyvda.state.batch import Batch


def convolution(weight: Tensor, dimension: int) -> nn.Module:
    """A convolution over time, or over (time, component) with a periodic component."""
    module = (nn.Conv1d, nn.Conv2d)[dimension - 1]
    outputs, inputs, *taps = weight.shape
    layer = module(inputs, outputs, taps, bias=False)
    layer.weight = nn.Parameter(weight.detach().clone())
    return layer


def split(x: Tensor, dimension: int) -> Tensor:
    """Windows (B, T, D) as (B, D, T), or as (B, 1, T, D) with a convolution over both."""
    return x.transpose(1, 2) if dimension == 1 else x[:, None]


def join(grid: Tensor) -> Tensor:
    return grid.transpose(1, 2) if grid.ndim == 3 else grid[:, 0]


def pad(x: Tensor, half: int) -> Tensor:
    if x.ndim == 3:
        return F.pad(x, (half, half))
    return F.pad(F.pad(x, (half, half, 0, 0), mode="circular"), (0, 0, half, half))


class BilinearNetwork(nn.Module):
    """First layer, ReLU, 1×1, concatenation of a 1×1 and a product of two, 1×1."""

    def __init__(self, scale: ScaleBlock, taps: tuple[int, ...], dimension: int) -> None:
        super().__init__()
        one = (1,) * dimension
        before, after = scale.neighbours.detach().chunk(2, 2)
        kernel = torch.cat((before, torch.zeros_like(before[..., :1]), after), 2)
        self.half = taps[0] // 2
        self.first = convolution(kernel.unflatten(2, taps), dimension)
        for name in ("reduce", "linear", "left", "right", "outputs"):
            weight = getattr(scale, name)
            setattr(self, name, convolution(weight.reshape(*weight.shape, *one), dimension))

    def forward(self, x: Tensor) -> Tensor:
        h = self.reduce(F.relu(self.first(pad(x, self.half))))
        return self.outputs(torch.cat((self.linear(h), self.left(h) * self.right(h)), 1))


class Prior(nn.Module):
    """Two scales: average pooling down, transposed convolution up."""

    def __init__(self, prior: TwoScaleGENN) -> None:
        super().__init__()
        dimension, taps, factors = prior.fine.space.dimension, prior.fine.taps, prior.factors
        self.dimension = dimension
        self.fine = BilinearNetwork(prior.fine.scale, taps, dimension)
        self.coarse = BilinearNetwork(prior.coarse, taps, dimension)
        ends, latent, _ = prior.up.shape
        self.down = (nn.AvgPool1d, nn.AvgPool2d)[dimension - 1](factors)
        self.up = (nn.ConvTranspose1d, nn.ConvTranspose2d)[dimension - 1](
            latent, ends, factors, stride=factors, bias=False
        )
        weight = prior.up.transpose(0, 1).reshape(latent, ends, *factors)
        self.up.weight = nn.Parameter(weight.detach().clone())
        self.merge = nn.Identity()
        if prior.merge is not None:
            self.merge = convolution(prior.merge.reshape(*prior.merge.shape, 1, 1), dimension)

    def forward(self, x: Tensor) -> Tensor:
        grid = split(x, self.dimension)
        return join(self.merge(self.fine(grid) + self.up(self.coarse(self.down(grid)))))


class EndToEnd(nn.Module):
    """Prior, cost and solver: the analysis of a batch after some iterations."""

    def __init__(
        self, prior: TwoScaleGENN, solver: ConvSolver | LSTMSolver, lambda1: float, lambda2: float
    ) -> None:
        super().__init__()
        self.prior = Prior(prior)
        self.weights = nn.Parameter(solver.update.weight.new_tensor([lambda1, lambda2]).sqrt())
        self.dimension = solver.space.dimension
        self.lstm = isinstance(solver, LSTMSolver)
        if isinstance(solver, LSTMSolver):
            self.alpha = nn.Parameter(solver.alpha.detach().clone())
            self.gates = convolution(solver.gates.weight, self.dimension)
            self.gates.bias = nn.Parameter(solver.gates.bias.detach().clone())
        else:
            layers = list(solver.network)
            self.layers = nn.ModuleList(
                convolution(layer.weight, self.dimension) for layer in layers
            )
        self.update = convolution(solver.update.weight, self.dimension)

    def cost(self, x: Tensor, batch: Batch) -> Tensor:
        # The sum of the windows' means, as in pyvda, so that the gradients are equal.
        observed = batch.mask.sum((1, 2)).clamp(min=1)
        data = ((x - batch.observation).square() * batch.mask).sum((1, 2)) / observed
        dynamics = (x - self.prior(x)).square().mean((1, 2))
        return (self.weights[0] ** 2 * data + self.weights[1] ** 2 * dynamics).sum()

    def forward(self, batch: Batch, iterations: int) -> Tensor:
        training = torch.is_grad_enabled()
        x = batch.first_guess
        grid = split(x, self.dimension)
        hidden = self.update.weight.shape[1]
        h = c = grid.new_zeros(len(grid), hidden, *grid.shape[2:])
        g = torch.zeros_like(grid)
        scale = None
        for _ in range(iterations):
            with torch.enable_grad():
                if not x.requires_grad:
                    x = x.detach().requires_grad_()
                (gradient,) = torch.autograd.grad(self.cost(x, batch), x, create_graph=training)
            if scale is None:
                scale = gradient.square().mean((1, 2), keepdim=True).sqrt()
            grid = split(gradient / scale, self.dimension)
            if self.lstm:
                gates = self.gates(pad(torch.cat((self.alpha * grid, h), 1), 1))
                keep_in, keep, keep_out, candidate = gates.chunk(4, 1)
                c = keep.sigmoid() * c + keep_in.sigmoid() * candidate.tanh()
                h = keep_out.sigmoid() * c.tanh()
                x = x - join(self.update(h))
            else:
                first, second, third, last = self.layers
                a = F.relu(first(pad(torch.cat((g, grid), 1), 1)))
                g = last(third(pad(F.relu(second(pad(a, 1))), 1))) + grid
                x = x - join(5.0 * torch.atan(0.2 * self.update(g)))
            if not training:
                x = x.detach()
        return x
