"""Observations of a function h, as the Julia engine takes them: linearised at states.

The Julia kernels know data that are linear in the state. At a state x₀ the datum y = h(x) + error
is replaced by

    y - h(x₀) + H(x₀) x₀ = H(x₀) x + error,

which has the misfit and its first derivative in common with it at x = x₀. Costs, gradients and
Gauss-Newton Hessians at x₀ are therefore exactly those of h.
"""

from __future__ import annotations

import numpy as np

from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.operators.function import Channels
from pyvda.operators.julia_function import JuliaFunction
from pyvda.operators.points import Points
from pyvda.operators.sparse_rows import SparseRows


def expect_julia(channels: Channels) -> JuliaFunction:
    """Return the observation operator, which must be a function in Julia.

    Raises
    ------
    InputError
    """
    if not isinstance(channels.operator, JuliaFunction):
        raise InputError(
            "the observation operator is a function in torch, which the engine julia cannot call; "
            "choose the engine torch, or give a pyvda.operators.JuliaFunction"
        )
    return channels.operator


def linearised(channels: Channels, x: Array) -> tuple[Points, Array]:
    """Return the data linearised at states x (W, T, D), and where that is possible, (W,) bool.

    It is not where a state or h of it is not finite; the data of such a window have weight 0.

    Raises
    ------
    InputError
        The function is not in Julia, or fails.
    """
    expect_julia(channels)
    x = np.asarray(x, float)
    windows, steps, size = x.shape
    weight = np.asarray(channels.weight, float)
    count = weight.shape[-1]
    shape, rows_shape = (windows, steps, count), (windows, steps, count, size)
    step = np.broadcast_to(np.arange(steps)[:, None], shape).reshape(windows, -1)
    # Only as many places as the window with the most data needs.
    flat = weight.reshape(windows, -1)
    order = np.argsort(flat <= 0, axis=1, kind="stable")
    order = order[:, : int((flat > 0).sum(1).max(initial=0))]
    possible: Array = np.asarray(np.isfinite(x).all((1, 2)))
    # h is asked at the steps that have data alone: elsewhere it may not even be defined.
    asked = (weight > 0).any(-1) & possible[:, None]
    said, H = np.zeros(shape), np.zeros(rows_shape)
    if asked.any():
        said[asked] = channels.operator.values(x[asked], count)
        H[asked] = channels.operator.derivatives(x[asked], count)
    there = weight > 0
    wrong = there & ~(np.isfinite(said) & np.isfinite(H).all(-1))
    possible = possible & ~wrong.any((1, 2))
    usable = there & possible[:, None, None]
    said, H = np.where(usable, said, 0.0), np.where(usable[..., None], H, 0.0)
    at = np.where(usable.any(-1, keepdims=True), x, 0.0)
    value = np.asarray(channels.value, float) - said + np.einsum("wtkd,wtd->wtk", H, at)

    def listed(array: Array) -> Array:
        return np.take_along_axis(array.reshape(windows, -1), order, axis=1)

    operator = np.take_along_axis(H.reshape(windows, -1, size), order[..., None], axis=1)
    points = Points(
        np.take_along_axis(step, order, axis=1), np.zeros(order.shape), listed(value),
        listed(np.where(usable, weight, 0.0)), SparseRows.of(operator),
    )  # fmt: skip
    return points, possible
