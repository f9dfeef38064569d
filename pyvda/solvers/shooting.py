"""Solvers that start from a regression: `Regression` alone, and `ShootingSolver` that refines it.

A regression maps masked observations to states in one pass. The shooting solver goes on from there
with the known model, as multiple shooting does: the window is cut into groups of steps, the model
runs through each group from the state at its start (its node), and a network corrects the states
from what the runs leave unexplained:

    δ_k = z_k − M(z_{k−1})       the defect between the runs of two groups,
    Mᵀ δ_{k+1}                   the next defect, mapped back to this node by the adjoint,
    y − z                        the innovations along the runs.

They make up the whole gradient of a weak-constraint cost with controls at the nodes (eq. 4 with the
model over a group as Φ), so an iteration resembles a learned Gauss-Newton step. Each iteration has
a network of its own, trained on the states that the previous ones produce and without a graph
through them, so training needs the memory of one network, whatever the number of iterations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pyvda.cost import VariationalCost, as_tensor
from pyvda.errors import InputError
from pyvda.solvers.solver import Solver, SolverResult, status_of
from pyvda.solvers.step_groups import POSITION_CHANNELS, StepGroupNetwork, StepGroups
from pyvda.state.batch import Batch


class Regression(Solver):
    """x = network(observations, mask): no prior, no cost, one pass.

    Parameters
    ----------
    state_size : int
        D.
    dimension : int
        1: components are channels; 2: components form a periodic axis along which weights are
        shared.
    every : int
        Steps of a group.
    width : int
        Channels of the network.
    dilations : sequence of int
        Dilations of its blocks.
    """

    def __init__(
        self, state_size: int, dimension: int, every: int, width: int, dilations: Sequence[int]
    ) -> None:
        super().__init__()
        self.state_size = state_size
        self.groups = StepGroups(every, dimension)
        channels = self.groups.channels(state_size)
        inputs = 2 * channels + POSITION_CHANNELS
        self.network = StepGroupNetwork(inputs, channels, width, dilations, dimension)

    def widest(self, steps: int, size: int) -> int:
        return self.network.width * self.groups.grid_points(steps, size)

    def regress(self, batch: Batch) -> Tensor:
        """Return the states that the observations suggest, (B, T, D)."""
        batch.expect_components("a regression")
        mask = self.groups.split(as_tensor("mask", batch.mask))
        seen = mask * self.groups.split(as_tensor("observation", batch.observation))
        grid = torch.cat((self.groups.grid(seen), self.groups.grid(mask)), 1)
        out = self.network(torch.cat((grid, self.groups.position(grid)), 1))
        return self.groups.join(
            self.groups.ungrid(out, self.state_size), batch.observation.shape[1]
        )

    def solve(
        self, cost: VariationalCost, batch: Batch, iterations: int = 0, **unused: Any
    ) -> SolverResult:
        """Return the regression; nothing is iterated."""
        x = self.regress(batch)
        return SolverResult(x, 0, status_of(x, batch), path=(x,))


class ShootingSolver(Solver):
    """A regression, then learned corrections of the model's runs through the groups of steps.

    Parameters
    ----------
    start : Regression
        Where the iterations start.
    stages : int
        Number of networks; iterations beyond that reuse the last one.
    width, dilations
        Channels and dilations of each network.
    """

    def __init__(
        self, start: Regression, stages: int, width: int, dilations: Sequence[int]
    ) -> None:
        super().__init__()
        self.start = start
        groups, size = start.groups, start.state_size
        inputs = 3 * groups.channels(size) + groups.channels(size, 2) + POSITION_CHANNELS
        self.stages = nn.ModuleList(
            StepGroupNetwork(inputs, groups.channels(size), width, dilations, groups.dimension)
            for _ in range(stages)
        )

    def widest(self, steps: int, size: int) -> int:
        wide = max(network.width for network in (self.start.network, *self.stages))
        return wide * self.start.groups.grid_points(steps, size)

    def solve(
        self, cost: VariationalCost, batch: Batch, iterations: int, **unused: Any
    ) -> SolverResult:
        """Return the states after the regression and `iterations` corrections.

        `path` holds the states before and after every correction, each with the graph of only the
        network that produced it.

        Raises
        ------
        InputError
            The prior does not step a model.
        """
        if not hasattr(cost.prior, "run"):
            raise InputError(
                f"a shooting solver needs a prior that is a known model's step, the "
                f"{type(cost.prior).__name__} is not; use a prior of kind rk4 or euler"
            )
        groups, size, steps = self.start.groups, self.start.state_size, batch.observation.shape[1]
        mask = groups.split(as_tensor("mask", batch.mask))
        observation = groups.split(as_tensor("observation", batch.observation))
        path = [self.start.regress(batch)]
        for k in range(iterations):
            base, features = self._linearised(cost.prior, path[-1].detach())
            innovation = mask * (observation - base)
            grid = torch.cat([groups.grid(f) for f in (base, innovation, mask, features)], 1)
            network = self.stages[min(k, len(self.stages) - 1)]
            out = network(torch.cat((grid, groups.position(grid)), 1))
            path.append(groups.join(base + groups.ungrid(out, size), steps))
        x = path[-1]
        return SolverResult(x, iterations, status_of(x, batch), path=tuple(path))

    @torch.no_grad()
    def _linearised(self, prior: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the model's runs from the nodes, and the defects at both ends of each run.

        Shapes are (B, K, every, D) and (B, K, 2, D). Each run is corrected linearly so that it ends
        at the next node, and the window has no jumps.
        """
        groups = self.start.groups
        nodes = groups.split(x)[:, :, 0]
        run, end, pullback = prior.run(nodes, groups.every)
        defect = torch.zeros_like(nodes)
        defect[:, 1:] = nodes[:, 1:] - end[:, :-1]
        ahead = torch.zeros_like(nodes)
        ahead[:, :-1] = defect[:, 1:]
        share = torch.arange(groups.every, device=x.device, dtype=x.dtype)[:, None] / groups.every
        run = run + share * ahead[:, :, None]
        return run, torch.stack((defect, pullback(ahead)), 2)
