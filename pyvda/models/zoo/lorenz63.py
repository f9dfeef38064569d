"""Lorenz (1963), eq. (15) of the paper: three components, chaotic with the defaults.

Lorenz, E. N. (1963): Deterministic nonperiodic flow. J. Atmos. Sci. 20, 130-141.

Table 1 of the paper was made without observations in the first and last steps of a window
(`lorenz63-blanked`), which its text does not say (`lorenz63`). Reference scores, mean over 2000
independent windows: the descent of the cost (4) to its limit has R 1.34 and, blanked, 6.1; the
limit that the observations set is 0.39 and 0.58.

All components observed at every 25th step with the variance 2 (Sakov, Oliver and Bertino 2012):
DAPPER lists for the root mean square error of an analysis, without later data, 0.31 (iEnKS, 10
members) and 0.28 (800 particles), `annealed` has 0.31 (`benchmarks/setups.py`).

The operations have the order of the Julia engine's, written without fused multiply-adds, so that
both give the same bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyvda.models.family import Family, TrainableForm
from pyvda.models.model import Start
from pyvda.models.presets import Preset
from pyvda.models.symmetry import Mirror
from pyvda.state.space import flat

if TYPE_CHECKING:
    from torch import Tensor


def tendency(x: Tensor, sigma: Any, rho: Any, beta: Any) -> Tensor:
    """Return dx/dt at the states x, (..., 3)."""
    import torch

    x1, x2, x3 = x.split(1, -1)
    return torch.cat((sigma * (x2 - x1), x1 * (rho - x3) - x2, x1 * x2 - beta * x3), -1)


def tangent_linear(x: Tensor, dx: Tensor, sigma: Any, rho: Any, beta: Any) -> Tensor:
    """Return M(x) dx, (..., 3)."""
    import torch

    x1, x2, x3 = x.split(1, -1)
    d1, d2, d3 = dx.split(1, -1)
    return torch.cat(
        (
            sigma * (d2 - d1),
            (rho - x3) * d1 - d2 - x1 * d3,
            x2 * d1 + x1 * d2 - beta * d3,
        ),
        -1,
    )


def adjoint(x: Tensor, dy: Tensor, sigma: Any, rho: Any, beta: Any) -> Tensor:
    """Return M(x)ᵀ dy, (..., 3)."""
    import torch

    x1, x2, x3 = x.split(1, -1)
    v1, v2, v3 = dy.split(1, -1)
    sv1 = sigma * v1
    return torch.cat(
        (
            (rho - x3) * v2 - sv1 + x2 * v3,
            sv1 - v2 + x1 * v3,
            -(x1 * v2 + beta * v3),
        ),
        -1,
    )


# The bilinear form with 9 trainable weights is, on the circle of the three components,
#     dx_k/dt = own_k x_k + neighbour_k x_n(k) + product_k x_{k+1} x_{k+2},    n = (2, 1, 1).


def _bilinear(x: Tensor, own: Tensor, neighbour: Tensor, product: Tensor) -> Tensor:
    return own * x + neighbour * x[..., [1, 0, 0]] + product * (x.roll(-1, -1) * x.roll(-2, -1))


def _bilinear_tangent_linear(
    x: Tensor, dx: Tensor, own: Tensor, neighbour: Tensor, product: Tensor
) -> Tensor:
    products = x.roll(-1, -1) * dx.roll(-2, -1) + dx.roll(-1, -1) * x.roll(-2, -1)
    return own * dx + neighbour * dx[..., [1, 0, 0]] + product * products


def _bilinear_adjoint(
    x: Tensor, dy: Tensor, own: Tensor, neighbour: Tensor, product: Tensor
) -> Tensor:
    import torch

    w = product * dy
    v1, v2, v3 = (neighbour * dy).split(1, -1)
    from_neighbours = torch.cat((v2 + v3, v1, torch.zeros_like(v1)), -1)
    from_products = x.roll(-1, -1) * w.roll(1, -1), x.roll(1, -1) * w.roll(-1, -1)
    return own * dy + from_neighbours + from_products[0] + from_products[1]


def _true_weights(sigma: float, rho: float, beta: float) -> dict[str, list[float]]:
    return {
        "own": [-sigma, -1.0, -beta],
        "neighbour": [sigma, rho, 0.0],
        "product": [0.0, -1.0, 1.0],
    }


FAMILY = Family(
    name="lorenz63",
    summary="convection, 3 components (Lorenz 1963)",
    julia="Lorenz63",
    parameters={"sigma": 10.0, "rho": 28.0, "beta": 8.0 / 3.0},
    state_space=lambda: flat(3, ("x", "y", "z")),
    time_step=0.01,
    function=tendency,
    tangent_linear=tangent_linear,
    adjoint=adjoint,
    start=lambda **fields: Start((0.0, 0.0, 25.0), 10.0),
    # Trajectories that start near a fixed point spiral out of its surroundings for tens of units.
    spinup=200.0,
    interval=0.25,
    symmetries=(Mirror((-1.0, -1.0, 1.0)),),
    trainable=TrainableForm(
        {"own": (3,), "neighbour": (3,), "product": (3,)},
        _bilinear,
        _bilinear_tangent_linear,
        _bilinear_adjoint,
        _true_weights,
    ),
    default=True,
)

_MEAN = (0.0, 0.0, 25.0)
PRESETS = {
    "lorenz63": Preset(FAMILY.model(), 200, 200.0, _MEAN, 10.0, 8, 0, -1, 2.0, (0,)),
    "lorenz63-blanked": Preset(FAMILY.model(), 200, 200.0, _MEAN, 10.0, 8, 16, 184, 2.0, (0,)),
}
