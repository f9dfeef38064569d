"""From numpy to torch and back, and the small linear algebra that the methods share."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pyvda.engine.interface import Array


def tensor(array: Array) -> Tensor:
    """Return a float64 tensor with a copy of the array."""
    return torch.from_numpy(np.array(array, dtype=float))


def array(x: Tensor) -> Array:
    """Return the tensor as a numpy array."""
    return np.asarray(x.detach().numpy())


def quadratic(matrix: Tensor, d: Tensor) -> Tensor:
    """Return dᵀ M d of vectors d (..., D) with one matrix (D, D)."""
    return ((d @ matrix) * d).sum(-1)


def cholesky(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Return lower Cholesky factors (N, C, C) and which matrices are positive definite, (N,).

    One whose pivot is lost to rounding, 1e-14 of the diagonal element, counts as singular. The
    factors of matrices that are not positive definite are NaN.
    """
    finite = torch.isfinite(matrices).all((-2, -1))
    unit = torch.eye(matrices.shape[-1], dtype=matrices.dtype)
    factors, info = torch.linalg.cholesky_ex(torch.where(finite[..., None, None], matrices, unit))
    diagonal = matrices.diagonal(dim1=-2, dim2=-1)
    pivots = factors.diagonal(dim1=-2, dim2=-1).square()
    positive = finite & (info == 0) & (pivots > 1e-14 * diagonal).all(-1)
    return torch.where(positive[..., None, None], factors, torch.nan), positive
