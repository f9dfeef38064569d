"""Block-tridiagonal systems against dense matrices."""

import numpy as np
import torch

from pyvda.engine.torch.arrays import tensor
from pyvda.engine.torch.block_tridiagonal import Factors

W, K, D = 3, 5, 2


def system(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return diagonal blocks, blocks below, and the dense matrices (W, K D, K D) of them."""
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((W, K, D, D + 2))
    diagonal = root @ root.swapaxes(-1, -2) + 4 * np.eye(D)
    below = 0.7 * rng.standard_normal((W, K - 1, D, D))
    dense = np.zeros((W, K, D, K, D))
    for k in range(K):
        dense[:, k, :, k] = diagonal[:, k]
    for k in range(K - 1):
        dense[:, k + 1, :, k] = below[:, k]
        dense[:, k, :, k + 1] = below[:, k].swapaxes(-1, -2)
    return diagonal, below, dense.reshape(W, K * D, K * D)


def test_solutions_and_diagonal_of_the_inverse_are_the_dense_ones() -> None:
    diagonal, below, dense = system()
    damping = np.array([0.0, 0.5, 10.0])
    dense = dense + damping[:, None, None] * np.eye(K * D)
    factors = Factors(tensor(diagonal), tensor(below), tensor(damping))
    b = np.random.default_rng(1).standard_normal((W, K, D))
    expected = np.linalg.solve(dense, b.reshape(W, K * D, 1)).reshape(W, K, D)
    np.testing.assert_allclose(factors.solve(tensor(b)), expected, rtol=1e-11, atol=1e-13)
    inverse = np.linalg.inv(dense).reshape(W, K, D, K, D)
    blocks = np.stack([inverse[:, k, :, k] for k in range(K)], 1)
    np.testing.assert_allclose(factors.inverse_diagonal(), blocks, rtol=1e-11, atol=1e-13)


def test_one_block_is_an_ordinary_system() -> None:
    diagonal, _, _ = system()
    none = torch.empty(W, 0, D, D, dtype=torch.float64)
    factors = Factors(tensor(diagonal[:, :1]), none, torch.zeros(W, dtype=torch.float64))
    b = np.ones((W, 1, D))
    expected = np.linalg.solve(diagonal[:, 0], b[:, 0, :, None])[..., 0]
    np.testing.assert_allclose(factors.solve(tensor(b))[:, 0], expected, rtol=1e-12)


def test_a_system_without_a_factor_is_nan_and_leaves_the_others_alone() -> None:
    diagonal, below, _ = system()
    damping = torch.zeros(W, dtype=torch.float64)
    b = tensor(np.ones((W, K, D)))
    right = Factors(tensor(diagonal), tensor(below), damping).solve(b)
    diagonal[1, 3] *= -1
    found = Factors(tensor(diagonal), tensor(below), damping).solve(b)
    assert torch.isnan(found[1]).all()
    assert torch.equal(found[[0, 2]], right[[0, 2]])
