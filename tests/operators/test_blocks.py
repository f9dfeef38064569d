"""Block-diagonal covariances against dense matrices."""

import numpy as np
import pytest
from scipy.linalg import block_diag

from pyvda.errors import InputError
from pyvda.operators import Blocks, Dense, Diagonal


def test_it_is_the_block_diagonal_matrix() -> None:
    matrix = np.eye(3) + 0.5
    C, expected = Blocks([Dense(matrix), Diagonal([1.0, 4.0])]), block_diag(matrix, 1.0, 4.0)
    np.testing.assert_allclose(C.dense(), expected, atol=1e-15)
    np.testing.assert_allclose(C.variance(), np.diag(expected))
    np.testing.assert_allclose(C.solve(expected), np.eye(5), atol=1e-13)
    S = C.sqrt(np.eye(C.rank)).T
    np.testing.assert_allclose(S @ S.T, expected, atol=1e-14)
    np.testing.assert_allclose(C.sqrt_adjoint(np.eye(5)), S, atol=1e-15)


def test_no_parts() -> None:
    with pytest.raises(InputError, match="one for each variable"):
        Blocks([])
