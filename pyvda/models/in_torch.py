"""Models as torch modules, for the torch engine, the priors and the checks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pyvda.errors import InputError
from pyvda.models.family import TrainableForm
from pyvda.models.model import Model, TorchSource
from pyvda.models.registry import get_family, get_model
from pyvda.priors.ode import ODEPrior
from pyvda.priors.step import StepPrior


class Dynamics(nn.Module):
    """The function of a model, dx/dt or the next state, of states (..., D) in physical units.

    Parameters
    ----------
    model : Model
        Its parameters become buffers of the same names, as float64 without dimensions: they take
        part at full precision and leave the result in the precision of the states.

    Attributes
    ----------
    state_size : int
        D.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.source = source_of(model)
        self.name, self.state_size = model.name, model.state_size
        self._sizes: dict[str, Any] = {}
        for name, value in model.fields:
            if name not in self.source.names:
                continue
            if isinstance(value, int):
                self._sizes[name] = value
            elif hasattr(self, name):
                raise InputError(
                    f"the parameter {name!r} of {model.name} has a name that torch modules use "
                    "themselves; choose another name"
                )
            else:
                self.register_buffer(name, torch.tensor(value, dtype=torch.float64))
        self._module = self.source.function if isinstance(self.source.function, nn.Module) else None

    def forward(self, x: Tensor) -> Tensor:
        """Return dx/dt, or the next states, at the states x, both (..., D)."""
        if x.shape[-1] != self.state_size:
            raise InputError(
                f"{self.name} has {self.state_size} components, found a state of shape "
                f"{tuple(x.shape)}; the last dimension must be the state"
            )
        return self.source.function(x, **self._fields())

    def _fields(self) -> dict[str, Any]:
        return {**self._buffers, **self._sizes}


class LinearisedDynamics(Dynamics):
    """Dynamics with their tangent linear and adjoint, by hand where the model has them."""

    def tangent_linear(self, x: Tensor, dx: Tensor) -> Tensor:
        """Return M(x) dx, (..., D), with M(x) the Jacobian at x."""
        if self.source.tangent_linear is not None:
            return self.source.tangent_linear(x, dx, **self._fields())
        return torch.func.jvp(self.forward, (x,), (dx,))[1]

    def adjoint(self, x: Tensor, dy: Tensor) -> Tensor:
        """Return M(x)ᵀ dy, (..., D)."""
        if self.source.adjoint is not None:
            return self.source.adjoint(x, dy, **self._fields())
        return torch.func.vjp(self.forward, x)[1](dy)[0]


class Trainable(nn.Module):
    """Equations that contain a known model's, with trainable weights.

    Parameters
    ----------
    form : TrainableForm
    scale : float
        Standard deviation of the random start of the weights.
    """

    def __init__(self, form: TrainableForm, scale: float = 0.1) -> None:
        super().__init__()
        self._form = form
        for name, shape in form.shapes.items():
            self.register_parameter(name, nn.Parameter(scale * torch.randn(shape)))

    def forward(self, x: Tensor) -> Tensor:
        """Return dx/dt at the states x, (..., D)."""
        return self._form.tendency(x, **self._parameters)

    def tangent_linear(self, x: Tensor, dx: Tensor) -> Tensor:
        """Return M(x) dx, (..., D)."""
        return self._form.tangent_linear(x, dx, **self._parameters)

    def adjoint(self, x: Tensor, dy: Tensor) -> Tensor:
        """Return M(x)ᵀ dy, (..., D)."""
        return self._form.adjoint(x, dy, **self._parameters)


def module_of(model: Model) -> Dynamics:
    """Return the function of `model` as a torch module.

    Raises
    ------
    InputError
        When the model has no form in torch.
    """
    source = source_of(model)
    by_hand = source.tangent_linear is not None or source.adjoint is not None
    return LinearisedDynamics(model) if by_hand else Dynamics(model)


def known(name: str, **parameters: Any) -> Dynamics:
    """Return the function of the model called `name`, with some parameters and sizes changed."""
    return module_of(get_model(name, **parameters))


def bilinear(name: str, scale: float = 0.1) -> Trainable:
    """Return the trainable form of the built-in model called `name`."""
    form = get_family(name).trainable
    if form is None:
        raise InputError(f"{name} has no bilinear form; choose another prior")
    return Trainable(form, scale)


def source_of(model: Model) -> TorchSource:
    """Return the functions of `model` in torch; raise InputError where it has none."""
    if model.torch is None:
        raise InputError(
            f"{model.name} is written only in Julia and cannot run in torch; choose the engine "
            "julia, or write the model in torch, too (pyvda.torch_model)"
        )
    return model.torch


def prior_of(
    model: Model, time_step: float, scheme: str = "rk4", module: nn.Module | None = None
) -> ODEPrior | StepPrior:
    """Return Φ of windows for a model of either kind.

    Parameters
    ----------
    time_step : float
        Model time units.
    scheme : {"rk4", "euler"}
        For a model given by its tendency.
    module : nn.Module, optional
        In place of the model's own function.
    """
    function = module_of(model) if module is None else module
    if model.kind == "tendency":
        return ODEPrior(function, time_step, scheme)
    expect_own_step(model, time_step)
    return StepPrior(function, time_step)


def expect_own_step(model: Model, time_step: float) -> None:
    """Refuse another time step than its own for a model that is given by its step."""
    if model.kind == "step" and abs(time_step - model.time_step) > 1e-9 * model.time_step:
        raise InputError(
            f"{model.name} is given by its step of {model.time_step:g}, found a time step of "
            f"{time_step:g}; use the model's own"
        )
