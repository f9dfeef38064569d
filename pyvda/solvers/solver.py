"""What a solver is; for those on the gradient of U, a start, a step, and the loop they share.

    carry = solver.init(x)
    x, carry = solver.step(x, carry, gradient)          gradient = ∇ₓU at x, each window's own

`solve` iterates that a number of times given at run time. Under `torch.no_grad()` nothing is
recorded; otherwise the iterations are unrolled for training, with two ways to bound their memory.
Nothing in the loop asks the device for a number, so a GPU is never waited for.
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
    """How the iterations went, window by window; row k is after k iterations.

    Attributes
    ----------
    cost : (iterations + 1, B)
        U of eq. (4).
    gradient_norm : (iterations, B)
        Euclidean norm of the gradient each iteration started from.
    r_score : (iterations + 1, B), optional
        Mean squared error, when the truth is known.
    """

    cost: Tensor
    gradient_norm: Tensor
    r_score: Tensor | None


@dataclass(frozen=True)
class SolverResult:
    """What a solver found.

    Attributes
    ----------
    x : (B, T, D) or (B, T, Y, X)
        The analysis.
    iterations : int
        Iterations made.
    status : (B,) of int8
        A `pyvda.names.Status` for each window: ITERATION_LIMIT (the iterations asked for were
        made), NO_OBSERVATIONS, or DIVERGED (the analysis is not finite).
    history : History, optional
        When it was asked for.
    path : tuple of (B, T, D)
        States that a loss may look at beside the last, where a solver is trained stage by stage.
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
        """Return the analyses of a batch after so many iterations."""

    def widest(self, steps: int, size: int) -> int:
        """Return how many values of one window the widest layer has; those of its states."""
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
            U; its parameters get gradients too when they are recorded.
        batch : Batch
            Torch tensors, (B, T, D) or (B, T, Y, X); the computation happens on their device, in
            their dtype.
        iterations : int
            How many steps to make; training unrolls as many.
        history : bool
            Record cost, gradient norm and, where the truth is known, error; costs one more
            evaluation of U an iteration.
        checkpoint_every : int
            If positive, keep for the backward pass only the states between blocks of this many
            iterations and compute each block again: memory of one block, one more forward pass.
        detach_every : int
            If positive, cut the graph of x and of the internal state after each block of this many
            iterations (truncated unrolling): gradients then see the last block only.

        Raises
        ------
        InputError
            When `iterations` is negative or the batch is not made of torch tensors.
        """
        if iterations < 0:
            raise InputError(f"iterations is {iterations}, expected 0 or more")
        bound = cost.bind(batch)
        x = as_tensor("first_guess", batch.first_guess)
        carry = self.init(x)
        recorder = _Recorder(bound, batch, iterations) if history else None

        def block(first: int, last: int, x: Tensor, *carry: Tensor) -> tuple[Tensor, ...]:
            for k in range(first, last):
                gradient = bound.gradient(x)
                if recorder is not None:
                    recorder.at(k, x, gradient)
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
        recorded = None if recorder is None else recorder.finish(x)
        return SolverResult(x, iterations, status_of(x, batch), recorded)


class _Recorder:
    """Writes each iteration to its own row, so that a block computed twice leaves the same rows."""

    def __init__(self, bound: BoundCost, batch: Batch, iterations: int) -> None:
        self.bound = bound
        self.truth = None if batch.truth is None else as_tensor("truth", batch.truth)
        like = bound.observation
        self.cost = like.new_empty(iterations + 1, len(like))
        self.gradient_norm = like.new_empty(iterations, len(like))
        self.r_score = None if self.truth is None else torch.empty_like(self.cost)

    @torch.no_grad()
    def at(self, k: int, x: Tensor, gradient: Tensor | None) -> None:
        self.cost[k] = self.bound.terms(x).total
        if gradient is not None:
            self.gradient_norm[k] = gradient.flatten(1).norm(dim=1)
        if self.r_score is not None and self.truth is not None:
            self.r_score[k] = (x - self.truth).square().flatten(1).mean(1)

    def finish(self, x: Tensor) -> History:
        self.at(len(self.gradient_norm), x, None)
        return History(self.cost, self.gradient_norm, self.r_score)


def _ends(iterations: int, *periods: int) -> list[int]:
    """Return where blocks end: at multiples of the periods, and at the end."""
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
