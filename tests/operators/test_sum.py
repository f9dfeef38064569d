"""Sums of covariances against sums of matrices."""

import numpy as np
import pytest

from pyvda.errors import InputError
from pyvda.operators import Dense, Diagonal, FromEnsemble, Sum


def test_a_hybrid_is_the_sum_of_its_matrices() -> None:
    members = np.random.default_rng(3).normal(size=(5, 4))
    matrix = np.eye(4) + 0.3
    C = Sum([Dense(matrix), FromEnsemble(members)], [0.7, 0.3])
    expected = 0.7 * matrix + 0.3 * np.cov(members, rowvar=False)
    np.testing.assert_allclose(C.dense(), expected, atol=1e-14)
    np.testing.assert_allclose(C.variance(), np.diag(expected), atol=1e-14)
    S = C.sqrt(np.eye(C.rank)).T
    assert S.shape == (4, 9)
    np.testing.assert_allclose(S @ S.T, expected, atol=1e-14)
    np.testing.assert_allclose(C.sqrt_adjoint(np.eye(4)), S, atol=1e-14)


def test_invalid_arguments() -> None:
    one, two = Diagonal([1.0]), Diagonal([1.0, 1.0])
    with pytest.raises(InputError, match="sizes"):
        Sum([one, two])
    with pytest.raises(InputError, match="a positive number for each of the 2"):
        Sum([one, one], [1.0, -1.0])
    with pytest.raises(InputError, match="no known inverse"):
        Sum([one]).solve([1.0])
