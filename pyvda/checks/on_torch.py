"""Checks of the code in torch: tendencies, Runge-Kutta steps, and the cost with any prior."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from pyvda.checks.derivative_check import (
    Check,
    agreement,
    amplification,
    difference_check,
    step_checks,
    taylor_check,
)
from pyvda.checks.derivatives import EPS, Function
from pyvda.cost import VariationalCost
from pyvda.engine.interface import Array
from pyvda.priors.ode import ODEPrior
from pyvda.state.batch import Batch

EPS32 = float(np.finfo(np.float32).eps)


class TorchCost(NamedTuple):
    """A cost on given observations as functions of float64 arrays (W, T, D).

    Attributes
    ----------
    value : function
        U, (W,).
    gradient : function
        The gradient as solvers use it, with the prior's own vector-Jacobian product if it has one.
    by_autograd : function
        The gradient by autograd alone.
    """

    value: Function
    gradient: Function
    by_autograd: Function


def torch_cost(
    cost: VariationalCost, batch: Batch, dtype: torch.dtype = torch.float64
) -> TorchCost:
    """Return the functions of a copy of `cost`, computed in `dtype` on the CPU."""
    bound = copy.deepcopy(cost).to("cpu", dtype).bind(batch.to(device="cpu", dtype=dtype))

    def value(x: Array) -> Array:
        with torch.no_grad():
            return np.asarray(bound.terms(torch.as_tensor(x, dtype=dtype)).total.double().numpy())

    def gradient(x: Array) -> Array:
        with torch.no_grad():
            return np.asarray(bound.gradient(torch.as_tensor(x, dtype=dtype)).double().numpy())

    def by_autograd(x: Array) -> Array:
        state = torch.as_tensor(x, dtype=dtype).clone().requires_grad_()
        (found,) = torch.autograd.grad(bound.terms(state).total.sum(), state)
        return np.asarray(found.double().numpy())

    return TorchCost(value, gradient, by_autograd)


def cost_checks(
    cost: VariationalCost, batch: Batch, name: str, x: Array, seed: int, smooth: bool
) -> list[Check]:
    """Check the gradient of a cost at `x`, in four ways."""
    double, float32 = torch_cost(cost, batch), torch_cost(cost, batch, torch.float32)
    magnified = amplification(x, _residual(cost, x))
    by_hand = double.gradient(x)
    return [
        difference_check(
            f"{name}: gradient, by differences", double.value, double.gradient, x, seed, smooth
        ),
        taylor_check(
            f"{name}: gradient, Taylor test", double.value, double.gradient, x, seed, smooth
        ),
        agreement(
            f"{name}: gradient, by autograd",
            {"gradient": (by_hand, double.by_autograd(x))},
            EPS,
            magnified,
        ),
        agreement(
            f"{name}: float32 against float64",
            {
                "cost": (float32.value(x), double.value(x)),
                "gradient": (float32.gradient(x), by_hand),
            },
            EPS32,
            magnified,
            smooth,
        ),
    ]


def tendency_checks(tendency: nn.Module, x: Array, gradient: Array, seed: int) -> list[Check]:
    """Check a tendency's own tangent linear and adjoint, if it has them.

    Parameters
    ----------
    x, gradient : (W, T, D)
        States, and the gradient of a cost at them, which is one of the directions.
    """
    names = (
        "torch tendency: tangent linear, by differences",
        "torch tendency: adjoint, in ulps",
    )
    tangent_linear = getattr(tendency, "tangent_linear", None)
    adjoint = getattr(tendency, "adjoint", None)
    if tangent_linear is None or adjoint is None:
        missing = "tangent_linear" if tangent_linear is None else "adjoint"
        why = f"{type(tendency).__name__} does not define {missing}"
        return [Check(name, None, None, why) for name in names]
    return step_checks(
        names,
        _in_numpy(tendency),
        _in_numpy(tangent_linear),
        _in_numpy(adjoint),
        x,
        gradient,
        seed,
    )


def prior_step_checks(
    prior: ODEPrior, name: str, x: Array, gradient: Array, seed: int
) -> list[Check]:
    """Check one step of a prior: its tangent linear by autograd, and its own adjoint."""

    def tangent_linear(states: Array, direction: Array) -> Array:
        pair = (torch.as_tensor(states),), (torch.as_tensor(direction),)
        return np.asarray(torch.func.jvp(prior.step, *pair)[1].detach().numpy())

    def adjoint(states: Array, v: Array) -> Array:
        # Windows of two steps: the product for the second step appears at the first.
        two = torch.as_tensor(np.stack([states, states], 1))
        residual = torch.as_tensor(np.stack([np.zeros_like(v), v], 1))
        with torch.no_grad():
            return np.asarray(prior.vjp(two, residual)[:, 0].numpy())

    names = (f"{name}: tangent linear, by differences", f"{name}: adjoint, in ulps")
    return step_checks(names, _in_numpy(prior.step), tangent_linear, adjoint, x, gradient, seed)


def _residual(cost: VariationalCost, x: Array) -> Array:
    """Return the root mean square of x - Φ(x) in each window."""
    prior = copy.deepcopy(cost.prior).double()
    with torch.no_grad():
        residual = (torch.as_tensor(x) - prior(torch.as_tensor(x))).square()
        predicted = residual[:, int(getattr(prior, "first_predicted", 0)) :]
        return np.asarray(predicted.mean((1, 2)).sqrt().numpy())


def _in_numpy(f: Callable[..., torch.Tensor]) -> Callable[..., Array]:
    def on_arrays(*arrays: Array) -> Array:
        with torch.no_grad():
            return np.asarray(f(*(torch.as_tensor(array) for array in arrays)).numpy())

    return on_arrays
