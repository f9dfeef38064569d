"""A prior in physical units, used on states in normalised units (or the other way round)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyvda.errors import InputError
from pyvda.priors.linearise import Pullback, linearise


class ScaledPrior(nn.Module):
    """Φ_n(z) = (Φ(z·std + mean) − mean) / std for z = (x − mean) / std.

    Parameters
    ----------
    prior : nn.Module
        Φ, for states x in physical units.
    mean, std : float or sequence of D floats
        The normalisation, scalar or for each component; kept as buffers.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        prior: nn.Module,
        mean: float | Sequence[float] | Tensor,
        std: float | Sequence[float] | Tensor,
    ) -> None:
        super().__init__()
        self.prior = prior
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float64))
        self.register_buffer("std", torch.as_tensor(std, dtype=torch.float64))
        if not bool((self.std > 0).all()):
            raise InputError(f"std is {std}, expected positive numbers; check the normalisation")
        self.first_predicted = int(getattr(prior, "first_predicted", 0))

    def forward(self, z: Tensor) -> Tensor:
        """Return Φ_n(z) of windows z, both (B, T, D)."""
        mean, std = self.mean.to(z), self.std.to(z)
        return (self.prior(z * std + mean) - mean) / std

    def vjp(self, z: Tensor, r: Tensor) -> Tensor:
        """Return (∂Φ_n/∂z)ᵀ r at z, all (B, T, D)."""
        return self.linearise(z)[1](r)

    def linearise(self, z: Tensor) -> tuple[Tensor, Pullback]:
        """Return Φ_n(z) and the function r -> (∂Φ_n/∂z)ᵀ r."""
        mean, std = self.mean.to(z), self.std.to(z)
        phi, pullback = linearise(self.prior, z * std + mean)
        return (phi - mean) / std, lambda r: std * pullback(r / std)

    def run(self, z: Tensor, count: int) -> tuple[Tensor, Tensor, Pullback]:
        """Return what the prior's `run` returns, of and in normalised states."""
        mean, std = self.mean.to(z), self.std.to(z)
        states, end, pullback = self.prior.run(z * std + mean, count)  # type: ignore[operator]
        return (states - mean) / std, (end - mean) / std, lambda v: std * pullback(v / std)
