"""Torch operations of learned priors and solvers that the Julia engine computes.

Products of matrices with some sixty columns, and the element-wise operations between them, take
twice as long in torch as in specialised kernels. Each operation here is one torch operation on CPU
tensors with its own backward pass; if `engine_for` finds no engine, the caller's torch code
computes the same to rounding. Julia never calls torch.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from pyvda.engine.choice import kernel_engine
from pyvda.engine.julia.engine import JuliaEngine
from pyvda.engine.julia.kernels import (
    GENNScales,
    convolutions,
    convolutions_back,
    residual_gradient,
    residual_gradient_back,
)

_TYPES = (torch.float32, torch.float64)
_alone = threading.local()


@contextlib.contextmanager
def torch_on_one_thread(wanted: bool) -> Iterator[None]:
    """Limit torch to one thread, if `wanted`, in the block and in its backward pass.

    After a parallel operation torch's OpenMP threads spin for milliseconds, waiting for the next
    one, on the cores that the engine's threads need; iterations that alternate between the two then
    take twice as long. Useful if torch has little to do between the engine's operations.
    """
    _restore_threads()
    threads = torch.get_num_threads()
    if not wanted or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    _alone.wanted = True
    try:
        yield
    finally:
        _alone.wanted = False
        torch.set_num_threads(threads)


def _one_thread_until_the_end() -> None:
    """Limit torch to one thread until the current backward pass ends."""
    threads = torch.get_num_threads()
    if threads > 1:
        torch.set_num_threads(1)
        _alone.threads = threads
        # Torch's distributed training uses the same callback for the end of a backward pass. After
        # a failed pass it is not called, and the next solve restores the threads.
        torch.autograd.Variable._execution_engine.queue_callback(_restore_threads)


def _restore_threads() -> None:
    threads = _alone.__dict__.pop("threads", None)
    if threads is not None:
        torch.set_num_threads(threads)


def engine_for(x: Tensor, weights: Sequence[Tensor]) -> JuliaEngine | None:
    """Return the engine for windows x and these weights; None if torch is to be used."""
    plain = x.dtype in _TYPES and not torch.compiler.is_compiling()
    if not plain or any(t.device.type != "cpu" or t.dtype != x.dtype for t in (x, *weights)):
        return None
    return kernel_engine()


class ResidualGradient(torch.autograd.Function):
    """g = (I − ∂Φ/∂x)ᵀ (x − Φ(x)) of a folded GENN prior, whose weights follow `scales`.

    x is (B, T, C), or (B, T, C, P) with a second axis.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, engine: JuliaEngine, scales: GENNScales, *weights: Tensor
    ) -> Tensor:
        ctx.alone = getattr(_alone, "wanted", False)
        ctx.engine, ctx.scales = engine, scales
        g, v = residual_gradient(engine, _with(scales, weights), _array(x))
        ctx.save_for_backward(x, torch.from_numpy(v), *weights)
        return torch.from_numpy(g)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.alone:
            _one_thread_until_the_end()
        x, v, *weights = ctx.saved_tensors
        trained = any(ctx.needs_input_grad[3:])
        x_bar, totals = residual_gradient_back(
            ctx.engine,
            _with(ctx.scales, weights),
            _array(x),
            _array(v),
            _array(cotangent),
            trained,
        )
        found = [None] * len(weights) if totals is None else _tensors(sum(totals, ()))
        return torch.from_numpy(x_bar), None, None, *found


class Convolutions(torch.autograd.Function):
    """A chain of convolutions with ReLUs between, (B, T[, P], C) to (B, T[, P], outputs)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        engine: JuliaEngine,
        relus: tuple[bool, ...],
        periodic: bool,
        *weights: Tensor,
    ) -> Tensor:
        ctx.alone = getattr(_alone, "wanted", False)
        ctx.engine, ctx.relus, ctx.periodic = engine, relus, periodic
        ctx.save_for_backward(x, *weights)
        y = convolutions(engine, list(map(_array, weights)), relus, _array(x), periodic)
        return torch.from_numpy(y)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.alone:
            _one_thread_until_the_end()
        x, *weights = ctx.saved_tensors
        trained = any(ctx.needs_input_grad[4:])
        x_bar, totals = convolutions_back(
            ctx.engine,
            list(map(_array, weights)),
            ctx.relus,
            _array(x),
            _array(cotangent),
            trained,
            ctx.periodic,
        )
        found = [None] * len(weights) if totals is None else _tensors(totals)
        return torch.from_numpy(x_bar), None, None, None, *found


def _with(scales: GENNScales, weights: Sequence[Tensor]) -> GENNScales:
    arrays = list(map(_array, weights))
    threes = [(arrays[k], arrays[k + 1], arrays[k + 2]) for k in range(0, len(arrays), 3)]
    return scales._replace(weights=threes)


def _array(tensor: Tensor) -> Any:
    return tensor.detach().contiguous().numpy()


def _tensors(arrays: Sequence[Any]) -> list[Tensor]:
    return list(map(torch.from_numpy, arrays))
