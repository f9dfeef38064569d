"""One step Φ of a model in torch, over states or states with parameters, and its Jacobian.

`Steps` is what the methods of this folder know of a model. Derivatives come from autograd, or from
the model's own `adjoint` where it has one; each row of a Jacobian is the pullback of a unit vector.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pyvda.engine.interface import CostSettings
from pyvda.errors import InputError
from pyvda.models.in_torch import expect_own_step, module_of
from pyvda.models.model import Model
from pyvda.priors.linearise import Pullback, pullback_by_autograd
from pyvda.priors.ode import ODEPrior

# Numbers that a Jacobian is made of at once: a recorded step keeps some thirty times as many.
_AT_ONCE = 1 << 18


class Steps:
    """Φ on controls of C components: the state alone, or the state followed by the parameters.

    Parameters
    ----------
    model : Model
    settings : CostSettings
        Gives the time step and the scheme.
    substeps : int
        Steps of the scheme that one step of the window is made of.
    estimated : bool
        Whether the parameters belong to the control; the values that `model` has are then not used.

    Raises
    ------
    InputError
        The model has no form in torch, or is given by its step and has no other scheme.
    """

    def __init__(
        self, model: Model, settings: CostSettings, substeps: int = 1, estimated: bool = False
    ) -> None:
        expect_own_step(model, settings.time_step)
        if model.kind == "step" and substeps != 1:
            raise InputError(
                f"{model.name} is given by its step, which cannot be cut into {substeps} substeps; "
                "leave substeps out"
            )
        self.model, self.settings, self.substeps = model, settings, substeps
        self.size = model.state_size + (len(model.parameters) if estimated else 0)
        function: Any = module_of(model)
        if estimated:
            function = _WithParameters(function, model)
        self._function = function
        self._prior = None
        if model.kind == "tendency":
            self._prior = ODEPrior(function, settings.time_step / substeps, settings.scheme)

    def step(self, x: Tensor) -> Tensor:
        """Return the controls (N, C) one step of the window later."""
        if self._prior is None:
            return self._function(x)
        for _ in range(self.substeps):
            x = self._prior.step(x)
        return x

    def linearised(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return Φ(x), (N, C), and its Jacobian (N, C, C) at the controls x (N, C)."""
        x, jacobian = self._linearised(x)
        for _ in range(1, self.substeps):
            x, of_step = self._linearised(x)
            jacobian = of_step @ jacobian
        return x, jacobian

    def between(self, x: Tensor, fraction: Tensor) -> Tensor:
        """Return the controls a fraction (N,) of a step after x (N, C), in as many substeps.

        Between two states of a model that is given by its step they are interpolated linearly.
        """
        if self._prior is None:
            return x + fraction[:, None] * (self._function(x) - x)
        length = (self.settings.time_step / self.substeps) * fraction[:, None]
        # A step of length 1 where time runs as many times as fast.
        step = ODEPrior(lambda s: length * self._function(s), 1.0, self.settings.scheme).step
        for _ in range(self.substeps):
            x = step(x)
        return x

    def _linearised(self, x: Tensor) -> tuple[Tensor, Tensor]:
        unit = torch.eye(self.size, dtype=x.dtype)
        values, rows = [], []
        for part in x.split(max(1, _AT_ONCE // self.size**2)):
            value, pullback = self._pullback(part[:, None].expand(-1, self.size, -1))
            values.append(value[:, 0])
            rows.append(pullback(unit.expand(len(part), -1, -1)))
        return torch.cat(values), torch.cat(rows)

    def _pullback(self, x: Tensor) -> tuple[Tensor, Pullback]:
        adjoint = getattr(self._function, "adjoint", None)
        if adjoint is None:
            return pullback_by_autograd(
                self._function if self._prior is None else self._prior.step, x
            )
        if self._prior is None:
            return self._function(x), lambda v: adjoint(x, v)
        return self._prior.run(x, 1)[1:]


class _WithParameters(torch.nn.Module):
    """The function of states followed by the parameters, which stay constant.

    Each state has its own parameters, so the module is called for one state at a time, batched by
    `torch.vmap`: whatever it does with its parameters, it sees numbers as it is used to.
    """

    def __init__(self, module: torch.nn.Module, model: Model) -> None:
        super().__init__()
        self.module, self.model = module, model

    def forward(self, z: Tensor) -> Tensor:
        """Return dz/dt, or the next controls, at the controls z, (..., D + P)."""
        size, names = self.model.state_size, self.model.parameter_names

        def one(control: Tensor) -> Tensor:
            parameters = control[size:]
            own = dict(zip(names, parameters.unbind(), strict=True))
            found = torch.func.functional_call(self.module, own, (control[:size],))
            kept = parameters if self.model.kind == "step" else torch.zeros_like(parameters)
            return torch.cat((found, kept))

        return torch.vmap(one)(z.reshape(-1, z.shape[-1])).reshape(z.shape)
