"""Learned priors and solvers in Julia: `julia/src/residual_gradient.jl`, `convolutions.jl`.

Arrays are numpy, C-ordered `(window, time, channel)`, float32 or float64 and all of one type. They
may hold what is not finite: a window that diverged stays so, alone. pyvda.priors and pyvda.solvers
make torch operations of these calls.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pyvda.engine.interface import Array
from pyvda.engine.julia import _I, _P, JuliaEngine, pointer
from pyvda.errors import InputError


class GENNScales(NamedTuple):
    """A GENN prior over time, multiplied out.

    Attributes
    ----------
    taps : int
        Steps or cells that a kernel sees, with its centre, whose weights are not looked at.
    factors : sequence of int
        Steps of a cell of each scale.
    weights : sequence of (features, C·taps), (2·latent + C·factor, features), (C·factor, latent)
        W, M and O of each scale.
    """

    taps: int
    factors: Sequence[int]
    weights: Sequence[tuple[Array, ...]]

    @property
    def shapes(self) -> list[tuple[int, int, int]]:
        """Features, latent and factor of each scale."""
        return [
            (len(kernel), product.shape[1], factor)
            for (kernel, _, product), factor in zip(self.weights, self.factors, strict=True)
        ]

    def check(self, x: Array) -> GENNScales:
        """Return them as the engine takes them, for windows x."""
        channels = x.shape[2]
        found = []
        for (features, latent, factor), weights in zip(self.shapes, self.weights, strict=True):
            outputs = channels * factor
            expected = ((features, channels * self.taps), (2 * latent + outputs, features),
                        (outputs, latent))  # fmt: skip
            found.append(tuple(map(_checked, ("W", "M", "O"), weights, expected, [x.dtype] * 3)))
        return self._replace(weights=found)


def residual_gradient(engine: JuliaEngine, scales: GENNScales, x: Array) -> tuple[Array, Array]:
    """Return g = (I − ∂Φ/∂x)ᵀ v and v = x − Φ(x) of windows x, all (W, T, C)."""
    x = _windows("x", x)
    scales = scales.check(x)
    g, v = np.empty_like(x), np.empty_like(x)
    if x.size:
        engine.call("genn", (*_GENN, _P, _P), *_genn_arguments(scales, x), pointer(g), pointer(v))
    return g, v


def residual_gradient_back(
    engine: JuliaEngine,
    scales: GENNScales,
    x: Array,
    v: Array,
    g_bar: Array,
    trained: bool,
) -> tuple[Array, list[tuple[Array, ...]] | None]:
    """Return the gradients of ḡ·g with respect to x and, if they are `trained`, the weights."""
    x = _windows("x", x)
    scales = scales.check(x)
    v = _checked("v", v, x.shape, x.dtype)
    g_bar = _checked("g_bar", g_bar, x.shape, x.dtype)
    x_bar = np.empty_like(x)
    totals = [tuple(map(np.zeros_like, weights)) for weights in scales.weights]
    if x.size:
        engine.call(
            "genn_back", (*_GENN, _P, _P, _P, _P), *_genn_arguments(scales, x), pointer(v),
            pointer(g_bar), pointer(x_bar),
            _addresses([total for three in totals for total in three]) if trained else None,
        )  # fmt: skip
    return x_bar, totals if trained else None


def convolutions(
    engine: JuliaEngine, weights: Sequence[Array], relus: Sequence[bool], x: Array
) -> Array:
    """Return windows (W, T, outputs) from x (W, T, inputs) by a chain of convolutions.

    `weights` are (outputs, inputs, taps), taps odd; `relus` says which of them a ReLU follows.
    """
    x = _windows("x", x)
    weights = _checked_chain(weights, x)
    y = np.empty((*x.shape[:2], len(weights[-1])), x.dtype)
    if x.size:
        engine.call("convolutions", (*_CHAIN, _P), *_chain_arguments(weights, relus, x), pointer(y))
    return y


def convolutions_back(
    engine: JuliaEngine,
    weights: Sequence[Array],
    relus: Sequence[bool],
    x: Array,
    y_bar: Array,
    trained: bool,
) -> tuple[Array, list[Array] | None]:
    """Return the gradients of ȳ·y with respect to x and, if they are `trained`, the weights."""
    x = _windows("x", x)
    weights = _checked_chain(weights, x)
    y_bar = _checked("y_bar", y_bar, (*x.shape[:2], len(weights[-1])), x.dtype)
    x_bar = np.empty_like(x)
    totals = list(map(np.zeros_like, weights))
    if x.size:
        engine.call(
            "convolutions_back", (*_CHAIN, _P, _P, _P), *_chain_arguments(weights, relus, x),
            pointer(y_bar), pointer(x_bar), _addresses(totals) if trained else None,
        )  # fmt: skip
    return x_bar, totals if trained else None


_GENN = (_I, _I, _I, _I, _I, _I, _P, _P, _P)
_CHAIN = (_I, _I, _I, _I, _P, _P, _P)


def _genn_arguments(scales: GENNScales, x: Array) -> tuple[Any, ...]:
    windows, steps, channels = x.shape
    weights = [weight for three in scales.weights for weight in three]
    return (x.itemsize, channels, scales.taps, steps, windows, len(scales.factors),
            _numbers(scales.shapes), _addresses(weights), pointer(x))  # fmt: skip


def _chain_arguments(weights: Sequence[Array], relus: Sequence[bool], x: Array) -> tuple[Any, ...]:
    sizes = [
        (weight.shape[1], weight.shape[0], weight.shape[2], int(relu))
        for weight, relu in zip(weights, relus, strict=True)
    ]
    return (x.itemsize, x.shape[1], len(x), len(weights), _numbers(sizes), _addresses(weights),
            pointer(x))  # fmt: skip


def _checked_chain(weights: Sequence[Array], x: Array) -> list[Array]:
    inputs, found = x.shape[2], []
    for weight in weights:
        outputs, _, taps = weight.shape
        found.append(_checked("weight", weight, (outputs, inputs, taps), x.dtype))
        if taps % 2 == 0:
            raise InputError(f"a kernel has {taps} taps, expected an odd number")
        inputs = outputs
    return found


def _windows(name: str, array: Array) -> Array:
    if array.ndim != 3 or array.dtype not in (np.float32, np.float64):
        raise InputError(
            f"{name} has shape {array.shape} and type {array.dtype}, expected (window, time, "
            "channel) in float32 or float64"
        )
    return np.ascontiguousarray(array)


def _checked(name: str, array: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    if array.shape != shape or array.dtype != dtype:
        raise InputError(
            f"{name} has shape {array.shape} and type {array.dtype}, expected {shape} and {dtype}"
        )
    return np.ascontiguousarray(array)


def _numbers(rows: Sequence[tuple[int, ...]]) -> ctypes.c_void_p:
    return pointer(np.array(rows, np.int64))


def _addresses(arrays: Sequence[Array]) -> Any:
    """Return a C list of the arrays' addresses, which keeps the arrays alive as long as itself."""
    found = (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
    found.arrays = arrays  # type: ignore[attr-defined]
    return found
