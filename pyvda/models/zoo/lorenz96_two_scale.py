"""Lorenz (1996) with two scales: K slow variables X on a circle, each with J fast ones Y.

Lorenz, E. N. (1996): Predictability: a problem partly solved. Proc. Seminar on Predictability,
ECMWF, vol. 1, 1-18, eqs. (2) and (3):

    dX_k/dt = X_{k−1} (X_{k+1} − X_{k−2}) − X_k + F − (h c / b) Σ_j Y_{k,j}
    dY_{k,j}/dt = c b Y_{k,j+1} (Y_{k,j−1} − Y_{k,j+2}) − c Y_{k,j} + (h c / b) X_k

The Y stand on one circle of K·J: after Y_{k,J} comes Y_{k+1,1}. Reference, with the defaults: X has
the mean 2.56 and the standard deviation 3.54, Y 0.10 and 0.24. With K = 8 and J = 4,
strong-constraint 4D-Var of 8 twin windows of 41 steps, 70 % of the components observed at every
fourth step with the error variance 0.01, has the mean square error 0.0012 (pyvda 0.1, the setting
of tests/models/zoo/test_lorenz96_two_scale.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyvda.models.family import Family
from pyvda.models.model import Start
from pyvda.state.space import StateSpace, Variable

if TYPE_CHECKING:
    from torch import Tensor


def tendency(x: Tensor, F: Any, h: Any, c: Any, b: Any, K: int, J: int) -> Tensor:
    """Return dx/dt at the states x, (..., K + K J)."""
    import torch

    X, Y = x[..., :K], x[..., K:]
    coupling = h * c / b
    sums = Y.reshape(*Y.shape[:-1], K, J).sum(-1)
    slow = _at(X, -1) * (_at(X, 1) - _at(X, -2)) - X + F - coupling * sums
    fast = (
        c * b * (_at(Y, 1) * (_at(Y, -1) - _at(Y, 2)))
        - c * Y
        + coupling * X.repeat_interleave(J, -1)
    )
    return torch.cat((slow, fast), -1)


def tangent_linear(x: Tensor, dx: Tensor, F: Any, h: Any, c: Any, b: Any, K: int, J: int) -> Tensor:
    """Return M(x) dx, (..., K + K J)."""
    import torch

    X, Y, dX, dY = x[..., :K], x[..., K:], dx[..., :K], dx[..., K:]
    coupling = h * c / b
    sums = dY.reshape(*dY.shape[:-1], K, J).sum(-1)
    slow = (
        _at(dX, -1) * (_at(X, 1) - _at(X, -2))
        + _at(X, -1) * (_at(dX, 1) - _at(dX, -2))
        - dX
        - coupling * sums
    )
    products = _at(dY, 1) * (_at(Y, -1) - _at(Y, 2)) + _at(Y, 1) * (_at(dY, -1) - _at(dY, 2))
    fast = c * b * products - c * dY + coupling * dX.repeat_interleave(J, -1)
    return torch.cat((slow, fast), -1)


def adjoint(x: Tensor, dy: Tensor, F: Any, h: Any, c: Any, b: Any, K: int, J: int) -> Tensor:
    """Return M(x)ᵀ dy, (..., K + K J)."""
    import torch

    X, Y, u, v = x[..., :K], x[..., K:], dy[..., :K], dy[..., K:]
    coupling = h * c / b
    sums = v.reshape(*v.shape[:-1], K, J).sum(-1)
    # The three equations in which a component stands as the factor and in the difference.
    slow = (
        (_at(X, 2) - _at(X, -1)) * _at(u, 1)
        + _at(X, -2) * _at(u, -1)
        - _at(X, 1) * _at(u, 2)
        - u
        + coupling * sums
    )
    products = (
        (_at(Y, -2) - _at(Y, 1)) * _at(v, -1) + _at(Y, 2) * _at(v, 1) - _at(Y, -1) * _at(v, -2)
    )
    fast = c * b * products - c * v - coupling * u.repeat_interleave(J, -1)
    return torch.cat((slow, fast), -1)


def _at(x: Tensor, offset: int) -> Tensor:
    """Return the field whose component i is x_{i + offset} on the circle."""
    return x.roll(-offset, -1)


FAMILY = Family(
    name="lorenz96-two-scale",
    summary="slow and fast waves on a circle, 36 + 360 components (Lorenz 1996)",
    julia="Lorenz96TwoScale",
    parameters={"F": 10.0, "h": 1.0, "c": 10.0, "b": 10.0},
    sizes={"K": (36, 4), "J": (10, 1)},
    state_space=lambda K, J: StateSpace(
        (Variable("X", ("k",), (K,)), Variable("Y", ("k", "j"), (K, J))), periodic=("k",)
    ),
    time_step=0.005,
    function=tendency,
    tangent_linear=tangent_linear,
    adjoint=adjoint,
    start=lambda **fields: Start((0.0,), 0.5),
    spinup=20.0,
    interval=0.25,
    nonzero=("b",),
)
