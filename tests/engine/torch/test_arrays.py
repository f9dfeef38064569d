"""Between numpy and torch, and Cholesky factors of many matrices of which some have none."""

import numpy as np
import torch

from pyvda.engine.torch.arrays import array, cholesky, quadratic, tensor


def test_a_tensor_is_a_copy_in_double_precision() -> None:
    given = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = tensor(given)
    assert found.dtype == torch.float64
    found[0, 0] = 7
    assert given[0, 0] == 0
    np.testing.assert_array_equal(array(found.requires_grad_()), [[7, 1, 2], [3, 4, 5]])


def test_the_quadratic_form_of_a_matrix_that_is_not_symmetric() -> None:
    rng = np.random.default_rng(0)
    M, d = rng.standard_normal((3, 3)), rng.standard_normal((2, 4, 3))
    expected = np.einsum("...i,ij,...j", d, M, d)
    np.testing.assert_allclose(quadratic(tensor(M), tensor(d)), expected, rtol=1e-14)


def test_cholesky_tells_which_matrices_have_a_factor() -> None:
    root = np.random.default_rng(1).standard_normal((4, 4))
    good = root @ root.T + np.eye(4)
    lost = np.array([[1.0, 1.0], [1.0, 1.0 + 1e-15]])  # the second pivot is all rounding
    matrices = np.stack([good, -good, np.full((4, 4), np.nan), np.eye(4)])
    matrices[3, :2, :2] = lost
    factors, positive = cholesky(tensor(matrices))
    assert positive.tolist() == [True, False, False, False]
    np.testing.assert_allclose(factors[0], np.linalg.cholesky(good), rtol=1e-13)
    assert torch.isnan(factors[1:]).all()
