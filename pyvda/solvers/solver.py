"""The interface of a solver, and the loop that solvers on the gradient of U share.

    carry = solver.init(x)
    x, carry = solver.step(x, carry, gradient)          gradient = ∇ₓU at x, each window's own

`solve` repeats this as often as the caller asks. Under `torch.no_grad()` no graph is kept;
otherwise the iterations are unrolled for training, with two ways to bound their memory. The loop
never reads a value from the device, so it never waits for a GPU.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pyvda.cost import BoundCost, VariationalCost, as_tensor
from pyvda.errors import InputError
from pyvda.kernels.operations import torch_on_one_thread
from pyvda.names import Status
from pyvda.state.batch import Batch

Carry = tuple[Tensor, ...]


@dataclass(frozen=True)
class History:
    """Cost, gradient norm and error of each window; row k is after k iterations.

    Attributes
    ----------
    cost : (iterations + 1, B)
        U of eq. (4).
    gradient_norm : (iterations, B)
        Euclidean norm of the gradient at the start of each iteration.
    r_score : (iterations + 1, B), optional
        Mean squared error, when the truth is known.
    """

    cost: Tensor
    gradient_norm: Tensor
    r_score: Tensor | None


@dataclass(frozen=True)
class SolverResult:
    """The analyses of a batch.

    Attributes
    ----------
    x : (B, T, D) or (B, T, Y, X)
        The analysis.
    iterations : int
        Iterations performed.
    status : (B,) of int8
        A `pyvda.names.Status` for each window: ITERATION_LIMIT (all iterations were
        performed), NO_OBSERVATIONS, or DIVERGED (the analysis is not finite).
    history : History, optional
        If requested.
    path : tuple of (B, T, D)
        The states of all stages, for the loss of a solver that is trained stage by stage.
    """

    x: Tensor
    iterations: int
    status: Tensor
    history: History | None = None
    path: tuple[Tensor, ...] = ()


class Solver(nn.Module):
    """A solver Γ: from observations, a first guess and a cost to an analysis."""

    @abstractmethod
    def solve(
        self, cost: VariationalCost, batch: Batch, iterations: int, **options: Any
    ) -> SolverResult:
        """Return the analyses of a batch after `iterations` iterations."""

    def widest(self, steps: int, size: int) -> int:
        """Return the number of values per window in the widest layer; here those of the state."""
        return steps * size


class GradientSolver(Solver):
    """A solver that iterates on the gradient of U; subclasses give `init` and `step`."""

    @abstractmethod
    def init(self, x0: Tensor) -> Carry:
        """Return the internal state at the first guess x0, of the windows' shape."""

    @abstractmethod
    def step(self, x: Tensor, carry: Carry, gradient: Tensor) -> tuple[Tensor, Carry]:
        """Return the next x and internal state from the gradient of U at x."""

    def on_engine(self, cost: BoundCost, x: Tensor) -> bool:
        """Return whether the engine computes all but a few operations of an iteration at x."""
        return False

    def solve(  # type: ignore[override]
        self,
        cost: VariationalCost,
        batch: Batch,
        iterations: int,
        history: bool = False,
        checkpoint_every: int = 0,
        detach_every: int = 0,
    ) -> SolverResult:
        """Iterate from the batch's first guess.

        Parameters
        ----------
        cost : VariationalCost
            U; with gradients enabled, its parameters receive gradients too.
        batch : Batch
            Torch tensors, (B, T, D) or (B, T, Y, X), whose device and dtype are used.
        iterations : int
            Number of steps; training unrolls all of them.
        history : bool
            Whether to return cost, gradient norm and, with a truth, error; needs one more
            evaluation of U per iteration.
        checkpoint_every : int
            If positive, store only the states between blocks of this many iterations and recompute
            each block in the backward pass: memory of one block, one more forward pass.
        detach_every : int
            If positive, cut the graph of x and of the internal state after each block of this many
            iterations (truncated unrolling); gradients then come from the last block only.

        Raises
        ------
        InputError
            `iterations` is negative, or the batch does not hold torch tensors.
        """
        if iterations < 0:
            raise InputError(f"iterations is {iterations}, expected 0 or more")
        bound = cost.bind(batch)
        x = as_tensor("first_guess", batch.first_guess)
        carry = self.init(x)
        writer = _HistoryWriter(bound, batch, iterations) if history else None

        def block(first: int, last: int, x: Tensor, *carry: Tensor) -> tuple[Tensor, ...]:
            for k in range(first, last):
                gradient = bound.gradient(x)
                if writer is not None:
                    writer.write(k, x, gradient)
                x, carry = self.step(x, carry, gradient)
            return (x, *carry)

        first = 0
        with torch_on_one_thread(self.on_engine(bound, x)):
            for last in _ends(iterations, checkpoint_every, detach_every):
                if checkpoint_every and torch.is_grad_enabled():
                    x, *rest = checkpoint(block, first, last, x, *carry, use_reentrant=False)
                else:
                    x, *rest = block(first, last, x, *carry)
                carry = tuple(rest)
                if detach_every and last % detach_every == 0 and last < iterations:
                    x, carry = x.detach(), tuple(part.detach() for part in carry)
                first = last
        written = None if writer is None else writer.finish(x)
        return SolverResult(x, iterations, status_of(x, batch), written)


class _HistoryWriter:
    """Writes each iteration to its own row, so that a recomputed block leaves the same rows."""

    def __init__(self, bound: BoundCost, batch: Batch, iterations: int) -> None:
        self.bound = bound
        self.truth = None if batch.truth is None else as_tensor("truth", batch.truth)
        like = bound.observation
        self.cost = like.new_empty(iterations + 1, len(like))
        self.gradient_norm = like.new_empty(iterations, len(like))
        self.r_score = None if self.truth is None else torch.empty_like(self.cost)

    @torch.no_grad()
    def write(self, k: int, x: Tensor, gradient: Tensor | None) -> None:
        self.cost[k] = self.bound.terms(x).total
        if gradient is not None:
            self.gradient_norm[k] = gradient.flatten(1).norm(dim=1)
        if self.r_score is not None and self.truth is not None:
            self.r_score[k] = (x - self.truth).square().flatten(1).mean(1)

    def finish(self, x: Tensor) -> History:
        self.write(len(self.gradient_norm), x, None)
        return History(self.cost, self.gradient_norm, self.r_score)


def _ends(iterations: int, *periods: int) -> list[int]:
    """Return where blocks end: at multiples of the periods, and after the last iteration."""
    ends = {k for period in periods if period > 0 for k in range(period, iterations, period)}
    return sorted(ends | ({iterations} if iterations else set()))


@torch.no_grad()
def status_of(x: Tensor, batch: Batch) -> Tensor:
    """Return the status of analyses x after all their iterations, (B,) int8."""
    windows = len(x)
    observed = (as_tensor("mask", batch.mask) > 0).reshape(windows, -1).any(1)
    status = torch.full((windows,), int(Status.ITERATION_LIMIT), dtype=torch.int8, device=x.device)
    status = status.masked_fill(~observed, int(Status.NO_OBSERVATIONS))
    return status.masked_fill(~x.isfinite().reshape(windows, -1).all(1), int(Status.DIVERGED))
