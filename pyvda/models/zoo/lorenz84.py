"""Lorenz (1984): the westerly current x and a large wave's two phases y and z.

Lorenz, E. N. (1984): Irregularity: a fundamental property of the atmosphere. Tellus 36A, 98-110.

    dx/dt = −y² − z² − a (x − F),  dy/dt = x y − b x z − y + G,  dz/dt = b x y + x z − z

with a = 1/4, b = 4, F = 8 and G = 1, where it is chaotic; the unit of time is five days. Reference:
the attractor's mean is (1.01, 0.06, 0.27) and its standard deviations (0.59, 0.92, 0.91).
Strong-constraint 4D-Var of 8 twin windows of 41 steps, with 70 % of the components observed at
every fourth step and the error variance 0.01, has the mean square error 0.00137 (pyvda 0.1, the
setting of tests/models/zoo/test_lorenz84.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyvda.models.family import Family
from pyvda.models.model import Start
from pyvda.state.space import flat

if TYPE_CHECKING:
    from torch import Tensor


def tendency(x: Tensor, a: Any, b: Any, F: Any, G: Any) -> Tensor:
    """Return dx/dt at the states x, (..., 3)."""
    import torch

    u, v, w = x.split(1, -1)
    return torch.cat(
        (-v * v - w * w - a * (u - F), u * v - b * u * w - v + G, b * u * v + u * w - w), -1
    )


def tangent_linear(x: Tensor, dx: Tensor, a: Any, b: Any, F: Any, G: Any) -> Tensor:
    """Return M(x) dx, (..., 3)."""
    import torch

    u, v, w = x.split(1, -1)
    du, dv, dw = dx.split(1, -1)
    return torch.cat(
        (
            -2 * (v * dv + w * dw) - a * du,
            (v - b * w) * du + (u - 1) * dv - b * u * dw,
            (b * v + w) * du + b * u * dv + (u - 1) * dw,
        ),
        -1,
    )


def adjoint(x: Tensor, dy: Tensor, a: Any, b: Any, F: Any, G: Any) -> Tensor:
    """Return M(x)ᵀ dy, (..., 3)."""
    import torch

    u, v, w = x.split(1, -1)
    p, q, r = dy.split(1, -1)
    return torch.cat(
        (
            (v - b * w) * q + (b * v + w) * r - a * p,
            (u - 1) * q + b * u * r - 2 * v * p,
            (u - 1) * r - b * u * q - 2 * w * p,
        ),
        -1,
    )


FAMILY = Family(
    name="lorenz84",
    summary="westerlies and a wave, 3 components (Lorenz 1984)",
    julia="Lorenz84",
    parameters={"a": 0.25, "b": 4.0, "F": 8.0, "G": 1.0},
    state_space=lambda: flat(3, ("x", "y", "z")),
    time_step=0.05,
    function=tendency,
    tangent_linear=tangent_linear,
    adjoint=adjoint,
    start=lambda **fields: Start((1.0, 0.0, 0.0), 1.0),
    spinup=100.0,
    interval=0.5,
)
