"""Symmetric positive definite block-tridiagonal systems, many at once, by block Cholesky.

A = L Lᵀ with L block-bidiagonal: Lₖ Lₖᵀ = Aₖₖ - Eₖ₋₁ Eₖ₋₁ᵀ and Eₖ = Aₖ₊₁,ₖ Lₖ⁻ᵀ. A system that is
not positive definite gets NaN; the others are not affected.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pyvda.engine.torch.arrays import cholesky


class Factors:
    """The factor of W matrices of K × K blocks.

    Parameters
    ----------
    diagonal : (W, K, D, D)
    below : (W, K - 1, D, D)
        Aₖ₊₁,ₖ.
    damping : (W,)
        Added to the diagonal.
    """

    def __init__(self, diagonal: Tensor, below: Tensor, damping: Tensor) -> None:
        unit = torch.eye(diagonal.shape[-1], dtype=diagonal.dtype)
        shift = damping[:, None, None] * unit
        self.factor: list[Tensor] = []
        self.coupling: list[Tensor] = []
        for k in range(diagonal.shape[1]):
            block = diagonal[:, k] + shift
            if k:
                block = block - self.coupling[-1] @ self.coupling[-1].mT
            self.factor.append(cholesky(block)[0])
            if k < below.shape[1]:
                coupling = torch.linalg.solve_triangular(
                    self.factor[-1], below[:, k].mT, upper=False
                ).mT
                self.coupling.append(coupling)

    def solve(self, b: Tensor) -> Tensor:
        """Return A⁻¹ b, both (W, K, D)."""
        found: list[Tensor] = []
        for k, L in enumerate(self.factor):
            right = b[:, k, :, None]
            if k:
                right = right - self.coupling[k - 1] @ found[-1]
            found.append(torch.linalg.solve_triangular(L, right, upper=False))
        for k in reversed(range(len(found))):
            right = found[k]
            if k + 1 < len(found):
                right = right - self.coupling[k].mT @ found[k + 1]
            found[k] = torch.linalg.solve_triangular(self.factor[k].mT, right, upper=True)
        return torch.stack(found, 1)[..., 0]

    def inverse_diagonal(self) -> Tensor:
        """Return the diagonal blocks of A⁻¹, (W, K, D, D), from the last backwards.

        Zₖ = Lₖ⁻ᵀ (I + Eₖᵀ Zₖ₊₁ Eₖ) Lₖ⁻¹.
        """
        unit = torch.eye(self.factor[0].shape[-1], dtype=self.factor[0].dtype)
        found: list[Tensor] = []
        for k in reversed(range(len(self.factor))):
            inside = unit.expand_as(self.factor[k])
            if found:
                inside = inside + self.coupling[k].mT @ found[-1] @ self.coupling[k]
            inverse = torch.linalg.solve_triangular(
                self.factor[k], unit.expand_as(self.factor[k]), upper=False
            )
            found.append(inverse.mT @ inside @ inverse)
        return torch.stack(found[::-1], 1)
