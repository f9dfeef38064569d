"""Solvers that start from a regression: `Regression` alone, and `ShootingSolver` that refines it.

A regression maps masked observations to states in one pass. The shooting solver goes on from there
with the known model, as multiple shooting does: the window is cut into cells, the model runs
through each cell from the state at its start (its node), and a network corrects the states from
what the runs leave unexplained:

    δ_k = z_k − M(z_{k−1})       the defect between the runs of two cells,
    Mᵀ δ_{k+1}                   the same seen from the node before, by the adjoint,
    y − z                        the innovations along the runs.

For a weak-constraint cost with controls at the nodes these are its whole gradient (eq. 4 with the
model over a cell as Φ): a learned Gauss-Newton step, so to say. Each iteration has a network of its
own, which is trained on the states that the ones before it leave, with no graph through them:
training costs the memory of one network, whatever the number of iterations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pyvda.cost import VariationalCost, as_tensor
from pyvda.errors import InputError
from pyvda.solvers.solver import Solver, SolverResult, status_of
from pyvda.solvers.step_groups import _WAVES, CellNetwork, Cells
from pyvda.state.batch import Batch


class Regression(Solver):
    """x = network(observations, mask): no prior, no cost, one pass.

    Parameters
    ----------
    state_size : int
        D.
    dimension : int
        1: components are channels; 2: they are a circle along which the network is shared.
    every : int
        Steps of a cell.
    width : int
        Channels of the network.
    dilations : sequence of int
        Of its blocks.
    """

    def __init__(
        self, state_size: int, dimension: int, every: int, width: int, dilations: Sequence[int]
    ) -> None:
        super().__init__()
        self.state_size = state_size
        self.on = Cells(every, dimension)
        channels = self.on.channels(state_size)
        inputs = 2 * channels + 2 * _WAVES
        self.network = CellNetwork(inputs, channels, width, dilations, dimension)

    def widest(self, steps: int, size: int) -> int:
        return self.network.width * self.on.cell_points(steps, size)

    def regress(self, batch: Batch) -> Tensor:
        """Return the states that the observations suggest, (B, T, D)."""
        batch.expect_components("a regression")
        mask = self.on.split(as_tensor("mask", batch.mask))
        seen = mask * self.on.split(as_tensor("observation", batch.observation))
        grid = torch.cat((self.on.grid(seen), self.on.grid(mask)), 1)
        out = self.network(torch.cat((grid, self.on.position(grid)), 1))
        return self.on.join(self.on.cells(out, self.state_size), batch.observation.shape[1])

    def solve(
        self, cost: VariationalCost, batch: Batch, iterations: int = 0, **unused: Any
    ) -> SolverResult:
        """Return the regression; nothing is iterated."""
        x = self.regress(batch)
        return SolverResult(x, 0, status_of(x, batch), path=(x,))


class ShootingSolver(Solver):
    """A regression, then learned corrections of the model's runs through the cells.

    Parameters
    ----------
    start : Regression
        Where the iterations start.
    stages : int
        Networks; a further iteration uses the last one again.
    width, dilations
        Of each of them.
    """

    def __init__(
        self, start: Regression, stages: int, width: int, dilations: Sequence[int]
    ) -> None:
        super().__init__()
        self.start = start
        on, size = start.on, start.state_size
        inputs = 3 * on.channels(size) + on.channels(size, 2) + 2 * _WAVES
        self.stages = nn.ModuleList(
            CellNetwork(inputs, on.channels(size), width, dilations, on.dimension)
            for _ in range(stages)
        )

    def widest(self, steps: int, size: int) -> int:
        wide = max(network.width for network in (self.start.network, *self.stages))
        return wide * self.start.on.cell_points(steps, size)

    def solve(
        self, cost: VariationalCost, batch: Batch, iterations: int, **unused: Any
    ) -> SolverResult:
        """Return the states after the regression and `iterations` corrections.

        `path` has the states before and after every correction, each with the graph of the network
        that made it and of no other.

        Raises
        ------
        InputError
            When the prior is not one step of a model after the other.
        """
        if not hasattr(cost.prior, "run"):
            raise InputError(
                f"a shooting solver needs a prior that is a known model's step, the "
                f"{type(cost.prior).__name__} is none; take a prior of kind rk4 or euler"
            )
        on, size, steps = self.start.on, self.start.state_size, batch.observation.shape[1]
        mask = on.split(as_tensor("mask", batch.mask))
        observation = on.split(as_tensor("observation", batch.observation))
        path = [self.start.regress(batch)]
        for k in range(iterations):
            base, features = self._linearised(cost.prior, path[-1].detach())
            innovation = mask * (observation - base)
            grid = torch.cat([on.grid(f) for f in (base, innovation, mask, features)], 1)
            network = self.stages[min(k, len(self.stages) - 1)]
            out = network(torch.cat((grid, on.position(grid)), 1))
            path.append(on.join(base + on.cells(out, size), steps))
        x = path[-1]
        return SolverResult(x, iterations, status_of(x, batch), path=tuple(path))

    @torch.no_grad()
    def _linearised(self, prior: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the model's runs from the nodes, and their defects seen from both sides.

        They are (B, K, every, D) and (B, K, 2, D). A run is bent towards the next node, so that the
        window has no jumps.
        """
        on = self.start.on
        nodes = on.split(x)[:, :, 0]
        run, end, pullback = prior.run(nodes, on.every)
        defect = torch.zeros_like(nodes)
        defect[:, 1:] = nodes[:, 1:] - end[:, :-1]
        ahead = torch.zeros_like(nodes)
        ahead[:, :-1] = defect[:, 1:]
        share = torch.arange(on.every, device=x.device, dtype=x.dtype)[:, None] / on.every
        run = run + share * ahead[:, :, None]
        return run, torch.stack((defect, pullback(ahead)), 2)
