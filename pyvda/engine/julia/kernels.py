"""Learned priors and solvers in Julia: `julia/src/learned/residual_gradient.jl`, `convolutions.jl`.

Arrays are numpy, C-ordered `(window, time, channel)`, or `(window, time, channel, point)` for a
prior with a second axis, all float32 or all float64. They may contain values that are not finite: a
window that diverged does not affect the others. pyvda.priors and pyvda.solvers wrap these calls as
torch operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pyvda.engine.checked import plain
from pyvda.engine.interface import Array
from pyvda.errors import InputError

if TYPE_CHECKING:
    from pyvda.engine.julia.engine import JuliaEngine


class GENNScales(NamedTuple):
    """A GENN prior over time, or over time and a second axis, with its linear maps multiplied out.

    Attributes
    ----------
    taps : pair of odd int
        Size of a kernel along time (in steps or cells) and along the second axis, including its
        centre, whose weights are ignored; the second is 1 if time is the only axis.
    periodic : bool
        Whether the second axis is a circle, around which a kernel then reaches at most once.
    factors : sequence of int
        Steps per cell of each scale.
    quadratic : sequence of bool
        Whether a scale's head is quadratic (`pyvda.priors.heads`).
    weights : sequence of arrays, three per scale
        W (features, C·Πtaps), then M (2·latent + C·factor, features) and O (C·factor, latent) or,
        for a quadratic head, S (C·factor·features, features) and l (C·factor, features).
    """

    taps: tuple[int, int]
    periodic: bool
    factors: Sequence[int]
    quadratic: Sequence[bool]
    weights: Sequence[tuple[Array, ...]] = ()

    @property
    def shapes(self) -> list[tuple[int, int, int]]:
        """Features, latent (0 for a quadratic head) and factor of each scale."""
        return [
            (len(kernel), 0 if quadratic else last.shape[1], factor)
            for (kernel, _, last), factor, quadratic in zip(
                self.weights, self.factors, self.quadratic, strict=True
            )
        ]

    def check(self, x: Array) -> GENNScales:
        """Return the scales with checked, contiguous weights, for windows x."""
        channels, points = x.shape[2], x.shape[3] if x.ndim == 4 else 1
        steps, across = self.taps
        if steps % 2 == 0 or across % 2 == 0 or (self.periodic and across // 2 > points):
            raise InputError(
                f"a kernel has {steps} × {across} taps for {points} points, expected odd numbers "
                "that do not reach farther than around a circle"
            )
        found = []
        for (features, latent, factor), weights in zip(self.shapes, self.weights, strict=True):
            outputs = channels * factor
            mixed = 2 * latent + outputs if latent else outputs * features
            expected = ((features, channels * steps * across), (mixed, features),
                        (outputs, latent or features))  # fmt: skip
            found.append(tuple(map(_checked, ("W", "M", "O"), weights, expected, [x.dtype] * 3)))
        return self._replace(weights=found)


def residual_gradient(engine: JuliaEngine, scales: GENNScales, x: Array) -> tuple[Array, Array]:
    """Return g = (I − ∂Φ/∂x)ᵀ v and v = x − Φ(x) of windows x, all (W, T, C) or (W, T, C, P)."""
    x = _windows("x", x, 4)
    scales = scales.check(x)
    g, v = np.empty_like(x), np.empty_like(x)
    if x.size:
        engine.call("genn", **_genn_arguments(scales, x), g=g, v=v)
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
    x = _windows("x", x, 4)
    scales = scales.check(x)
    v = _checked("v", v, x.shape, x.dtype)
    g_bar = _checked("g_bar", g_bar, x.shape, x.dtype)
    x_bar = np.empty_like(x)
    totals = [tuple(map(np.zeros_like, weights)) for weights in scales.weights]
    if x.size:
        engine.call(
            "genn_back", **_genn_arguments(scales, x), v=v, g_bar=g_bar, x_bar=x_bar,
            totals=[total for three in totals for total in three] if trained else None,
        )  # fmt: skip
    return x_bar, totals if trained else None


def convolutions(
    engine: JuliaEngine,
    weights: Sequence[Array],
    relus: Sequence[bool],
    x: Array,
    periodic: bool = False,
) -> Array:
    """Return windows (W, T[, P], outputs) from x (W, T[, P], inputs) by a chain of convolutions.

    `weights` are (outputs, inputs, taps) or, with a second axis, (outputs, inputs, taps, taps),
    with odd numbers of taps; `relus` tells which of them are followed by a ReLU; `periodic`,
    whether the second axis is a circle, around which a kernel then reaches at most once.
    """
    x = _windows("x", x, 4)
    weights = _checked_chain(weights, x, periodic)
    y = np.empty((*x.shape[:-1], len(weights[-1])), x.dtype)
    if x.size:
        arguments = _chain_arguments(weights, relus, x, periodic)
        engine.call("convolutions", **arguments, y=y)
    return y


def convolutions_back(
    engine: JuliaEngine,
    weights: Sequence[Array],
    relus: Sequence[bool],
    x: Array,
    y_bar: Array,
    trained: bool,
    periodic: bool = False,
) -> tuple[Array, list[Array] | None]:
    """Return the gradients of ȳ·y with respect to x and, if they are `trained`, the weights."""
    x = _windows("x", x, 4)
    weights = _checked_chain(weights, x, periodic)
    y_bar = _checked("y_bar", y_bar, (*x.shape[:-1], len(weights[-1])), x.dtype)
    x_bar = np.empty_like(x)
    totals = list(map(np.zeros_like, weights))
    if x.size:
        engine.call(
            "convolutions_back", **_chain_arguments(weights, relus, x, periodic), y_bar=y_bar,
            x_bar=x_bar, totals=totals if trained else None,
        )  # fmt: skip
    return x_bar, totals if trained else None


def _genn_arguments(scales: GENNScales, x: Array) -> dict[str, Any]:
    windows, steps, channels, *points = x.shape
    weights = [weight for three in scales.weights for weight in three]
    grid = (channels, scales.taps[0], points[0] if points else 1, scales.taps[1], scales.periodic)
    return {
        "bytes": x.itemsize, "grid": np.array(grid, np.int64), "steps": steps, "windows": windows,
        "scales": len(scales.factors), "sizes": np.array(scales.shapes, np.int64),
        "weights": weights, "x": x,
    }  # fmt: skip


def _chain_arguments(
    weights: Sequence[Array], relus: Sequence[bool], x: Array, periodic: bool
) -> dict[str, Any]:
    field = (*x.shape[1:3], periodic) if x.ndim == 4 else (1, x.shape[1], False)
    sizes = [
        (weight.shape[1], weight.shape[0], *(1, *weight.shape[2:])[-2:], relu)
        for weight, relu in zip(weights, relus, strict=True)
    ]
    return {
        "bytes": x.itemsize, "field": np.array(field, np.int64), "windows": len(x),
        "layers": len(weights), "sizes": np.array(sizes, np.int64), "weights": weights, "x": x,
    }  # fmt: skip


def _checked_chain(weights: Sequence[Array], x: Array, periodic: bool) -> list[Array]:
    inputs, found = x.shape[-1], []
    for weight in weights:
        outputs, _, *taps = weight.shape
        expected = (outputs, inputs, *[*taps, 1][: x.ndim - 2])
        found.append(_checked("weight", weight, expected, x.dtype))
        if any(k % 2 == 0 for k in taps) or (periodic and taps[-1] // 2 > x.shape[-2]):
            raise InputError(
                f"a kernel has {' × '.join(map(str, taps))} taps for {x.shape[-2]} points, "
                "expected odd numbers that do not reach farther than around a circle"
            )
        inputs = outputs
    return found


def _windows(name: str, array: Array, most: int = 3) -> Array:
    if not 3 <= array.ndim <= most or array.dtype not in (np.float32, np.float64):
        axes = "time, channel" + ("[, point]" if most > 3 else "")
        raise InputError(
            f"{name} has shape {array.shape} and type {array.dtype}, expected (window, {axes}) in "
            "float32 or float64"
        )
    return plain(array, array.dtype)


def _checked(name: str, array: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    if array.shape != shape or array.dtype != dtype:
        raise InputError(
            f"{name} has shape {array.shape} and type {array.dtype}, expected {shape} and {dtype}"
        )
    return plain(array, array.dtype)
