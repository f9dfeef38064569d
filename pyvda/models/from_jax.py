"""Models of the user's own as JAX functions: the optional extra `jax`.

The functions run in JAX in double precision; torch sees them as one operation each whose
derivatives are `jax.vjp` and `jax.jvp`. Arrays pass by DLPack, without a copy where both allow it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyvda.errors import InputError
from pyvda.models.from_torch import Dimensions, name_of, parameter_values, torch_model
from pyvda.models.model import Model


def jax_model(
    tendency: Callable[..., Any] | None = None,
    *,
    step: Callable[..., Any] | None = None,
    variables: Sequence[str],
    time_step: float,
    dimensions: Dimensions | None = None,
    parameters: Mapping[str, float] | None = None,
    name: str | None = None,
    start: Sequence[float] | float | None = None,
    spread: float = 1.0,
    spinup: float | None = None,
) -> Model:
    """Return a model from a JAX function; see `pyvda.torch_model` for the arguments.

    JAX computes in double precision for the whole process from the first call on: the setting
    jax_enable_x64 is switched on and stays so, for other code that uses JAX, too.

    Parameters
    ----------
    tendency : callable
        Maps an array of states (..., D) to dx/dt, (..., D), in float64, by functions of jax.numpy.
    step : callable
        In place of `tendency`: maps states to those one `time_step` later.

    Returns
    -------
    Model
        It runs in the torch engine; derivatives by the state and the parameters are JAX's.

    Raises
    ------
    InputError
        When JAX is not installed, and as `pyvda.torch_model`.
    """
    _jax()
    functions = {"tendency": tendency, "step": step}
    given = {key: f for key, f in functions.items() if f is not None}
    for key, f in given.items():
        if not callable(f):
            raise InputError(f"the {key} is {f!r}, expected a function of states")
    named = tuple(parameter_values("the model", parameters))
    wrapped: dict[str, Any] = {key: _InTorch(f, named) for key, f in given.items()}
    return torch_model(
        **wrapped,
        variables=variables,
        time_step=time_step,
        dimensions=dimensions,
        parameters=parameters,
        name=name or next((name_of(f) for f in given.values()), None),
        start=start,
        spread=spread,
        spinup=spinup,
    )


class _InTorch:
    """A JAX function as a torch function of states and, by keyword, parameters."""

    def __init__(self, function: Callable[..., Any], names: tuple[str, ...]) -> None:
        jax = _jax()
        self.function, self.names = function, names

        def positional(x: Any, *values: Any) -> Any:
            return function(x, **dict(zip(names, values, strict=True)))

        self.value = jax.jit(positional)
        self.pullback = jax.jit(lambda arrays, v: jax.vjp(positional, *arrays)[1](v))
        self.tangent = jax.jit(lambda arrays, d: jax.jvp(positional, arrays, d)[1])

    def __call__(self, x: Tensor, **fields: Any) -> Tensor:
        values = [
            torch.as_tensor(fields[name], dtype=x.dtype) for name in self.names if name in fields
        ]
        found: Tensor = _Apply.apply(self, x, *values)
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.function, self.names)


class _Apply(torch.autograd.Function):
    """The operation and, as operations again, its derivatives, so that they nest."""

    generate_vmap_rule = False

    @staticmethod
    def forward(function: _InTorch, *tensors: Tensor) -> Tensor:
        return _to_torch(function.value(*map(_to_jax, tensors)), tensors[0])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.function, *tensors = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        return (None, *_Pullback.apply(ctx.function, grads[0], *ctx.saved_tensors))

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        tensors = ctx.saved_tensors
        moved = [
            torch.zeros_like(t) if d is None else d
            for t, d in zip(tensors, tangents[1:], strict=True)
        ]
        count, tangent = len(tensors), ctx.function.tangent

        def along(*arrays: Any) -> tuple[Any]:
            return (tangent(arrays[:count], arrays[count:]),)

        found: Tensor = _Call.apply(along, *tensors, *moved)[0]
        return found

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], function: _InTorch, *tensors: Tensor) -> Any:
        return _one_by_one(info, in_dims[1:], tensors, lambda *row: _Apply.apply(function, *row))


class _Call(torch.autograd.Function):
    """A function of JAX arrays to a tuple of them, without derivatives."""

    @staticmethod
    def forward(function: Callable[..., Any], *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(_to_torch(found, tensors[0]) for found in function(*map(_to_jax, tensors)))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], function: Any, *tensors: Tensor) -> Any:
        return _one_by_one(info, in_dims[1:], tensors, lambda *row: _Call.apply(function, *row))


class _Pullback(torch.autograd.Function):
    """(v, x, parameters) to the products of v with the derivatives by each."""

    @staticmethod
    def forward(function: _InTorch, v: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        found = function.pullback(tuple(map(_to_jax, tensors)), _to_jax(v))
        return tuple(_to_torch(g, t) for g, t in zip(found, tensors, strict=True))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.function, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        jax, pullback, saved = _jax(), ctx.function.pullback, ctx.saved_tensors
        moved = [
            torch.zeros_like(t) if g is None else g for g, t in zip(grads, saved[1:], strict=True)
        ]

        def again(*arrays: Any) -> Any:
            at, along = arrays[: len(saved)], arrays[len(saved) :]
            return jax.vjp(lambda v, *x: pullback(x, v), *at)[1](along)

        return (None, *_Call.apply(again, *saved, *moved))

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], function: _InTorch, *tensors: Tensor) -> Any:
        return _one_by_one(info, in_dims[1:], tensors, lambda *row: _Pullback.apply(function, *row))


def _one_by_one(
    info: Any, in_dims: tuple[Any, ...], tensors: tuple[Tensor, ...], f: Callable[..., Any]
) -> Any:
    """Return f of each element of a batch: JAX's functions are not batched by torch."""
    rows = [
        f(*(t if d is None else t.select(d, i) for t, d in zip(tensors, in_dims, strict=True)))
        for i in range(info.batch_size)
    ]
    if isinstance(rows[0], tuple):
        return tuple(map(torch.stack, zip(*rows, strict=True))), (0,) * len(rows[0])
    return torch.stack(rows), 0


def _jax() -> Any:
    try:
        import jax  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise InputError(
            f"pyvda.jax_model needs JAX, which cannot be imported ({error}); install the extra "
            "jax (pip install 'pyvda[jax]')"
        ) from None
    jax.config.update("jax_enable_x64", True)
    return jax


def _to_jax(tensor: Tensor) -> Any:
    # A tensor with gradients, or one that is not contiguous, has no DLPack form that JAX takes.
    return _jax().dlpack.from_dlpack(tensor.detach().contiguous())


def _to_torch(array: Any, like: Tensor) -> Tensor:
    # A copy: torch may write into what JAX believes to be immutable.
    return torch.from_numpy(np.array(array)).to(like.device)
