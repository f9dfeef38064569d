"""Lorenz (1996), eq. (16) of the paper: waves on a circle of at least four points.

Lorenz, E. N. (1996): Predictability: a problem partly solved. Proc. Seminar on Predictability,
ECMWF, vol. 1, 1-18.

Reference scores of the preset, mean over 256 independent windows: the descent of the cost (4) to
its limit has R 1.04; the limit that the observations set is about 0.10.

All components observed at every step with the variance 1 (Sakov and Oke 2008): DAPPER lists for the
root mean square error of an analysis, without later data, 0.21 (EnKF-N, 24 members), `annealed` has
0.163 (`benchmarks/setups.py`).

The operations have the order of the Julia engine's, written without fused multiply-adds, so that
both give the same bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyvda.models.family import Family, TrainableForm
from pyvda.models.model import Start
from pyvda.models.presets import Preset
from pyvda.models.symmetry import Rotation
from pyvda.state.space import flat

if TYPE_CHECKING:
    from torch import Tensor


def tendency(x: Tensor, forcing: Any) -> Tensor:
    """Return dx/dt at the states x, (..., D)."""
    return (_at(x, 1) - _at(x, -2)) * _at(x, -1) + (forcing - x)


def tangent_linear(x: Tensor, dx: Tensor, forcing: Any) -> Tensor:
    """Return M(x) dx, (..., D)."""
    return (_at(x, 1) - _at(x, -2)) * _at(dx, -1) + _at(x, -1) * (_at(dx, 1) - _at(dx, -2)) - dx


def adjoint(x: Tensor, dy: Tensor, forcing: Any) -> Tensor:
    """Return M(x)ᵀ dy, (..., D)."""
    # The three equations in which x_i stands as x_{i-1}, x_{i+1} and x_{i-2}.
    return (
        (_at(x, 2) - _at(x, -1)) * _at(dy, 1)
        + _at(x, -2) * _at(dy, -1)
        - _at(x, 1) * _at(dy, 2)
        - dy
    )


# The bilinear form with 9 trainable weights is dx/dt = (first ⋆ x) (second ⋆ x) − x + forcing with
# ⋆ the periodic convolutions with 5 taps (x_{i-2} … x_{i+2}) and 3 taps (x_{i-1} … x_{i+1}). The
# two filters are known up to a factor only, which can move from one to the other.


def _bilinear(x: Tensor, first: Tensor, second: Tensor, forcing: Tensor) -> Tensor:
    return _taps(first, x) * _taps(second, x) - x + forcing


def _bilinear_tangent_linear(
    x: Tensor, dx: Tensor, first: Tensor, second: Tensor, forcing: Tensor
) -> Tensor:
    return _taps(first, x) * _taps(second, dx) + _taps(first, dx) * _taps(second, x) - dx


def _bilinear_adjoint(
    x: Tensor, dy: Tensor, first: Tensor, second: Tensor, forcing: Tensor
) -> Tensor:
    # The transpose of a periodic convolution is the convolution with the taps reversed.
    return (
        _taps(second.flip(0), _taps(first, x) * dy)
        + _taps(first.flip(0), _taps(second, x) * dy)
        - dy
    )


def _true_weights(forcing: float) -> dict[str, Any]:
    return {"first": [-1.0, 0.0, 0.0, 1.0, 0.0], "second": [1.0, 0.0, 0.0], "forcing": forcing}


def _at(x: Tensor, offset: int) -> Tensor:
    """Return the field whose component i is x_{i + offset} on the circle."""
    return x.roll(-offset, -1)


def _taps(weight: Tensor, x: Tensor) -> Tensor:
    """Return Σ_j weight_j x_{i + j} with the taps centred on i, on the circle."""
    half = weight.shape[0] // 2
    return sum(
        (weight[j] * _at(x, j - half) for j in range(1, weight.shape[0])),
        start=weight[0] * _at(x, -half),
    )


FAMILY = Family(
    name="lorenz96",
    summary="waves on a circle, 40 components (Lorenz 1996)",
    julia="Lorenz96",
    parameters={"forcing": 8.0},
    sizes={"state_size": (40, 4)},
    state_space=lambda state_size: flat(state_size, periodic=True),
    time_step=0.05,
    function=tendency,
    tangent_linear=tangent_linear,
    adjoint=adjoint,
    start=lambda forcing, state_size: Start((forcing,), 1.0),
    spinup=60.0,
    interval=0.25,
    symmetries=(Rotation(),),
    trainable=TrainableForm(
        {"first": (5,), "second": (3,), "forcing": ()},
        _bilinear,
        _bilinear_tangent_linear,
        _bilinear_adjoint,
        _true_weights,
    ),
)

PRESETS = {"lorenz96": Preset(FAMILY.model(), 200, 60.0, (2.0,), 4.0, 4, 0, -1, 2.0, None, 20)}
