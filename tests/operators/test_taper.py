"""Tapers against the Gaussian they stand for, and a localised ensemble against its matrix."""

import numpy as np
import pytest

from pyvda.errors import InputError
from pyvda.operators import FromEnsemble
from pyvda.operators.taper import Taper


def test_the_taper_is_nearly_gaussian_and_its_adjoint_is_exact() -> None:
    taper = Taper((9, 12), 3.0, variables=2)
    y, x = np.indices((9, 12)).reshape(2, -1)
    squares = np.subtract.outer(y, y) ** 2 + np.subtract.outer(x, x) ** 2
    one = np.exp(-squares / 18)
    np.testing.assert_allclose(taper.dense(), np.tile(one, (2, 2)), atol=0.03)
    np.testing.assert_allclose(np.diag(taper.dense()), 1.0, atol=1e-14)
    rng = np.random.default_rng(0)
    w, v = rng.normal(size=(2, taper.rank)), rng.normal(size=(2, taper.size))
    np.testing.assert_allclose((taper.sqrt(w) * v).sum(), (w * taper.sqrt_adjoint(v)).sum())
    np.testing.assert_allclose(taper.apply(v), v @ taper.dense(), atol=1e-12)
    assert taper.rank < 9 * 12 / 2


def test_a_localised_ensemble_is_the_product_of_both_matrices() -> None:
    taper, members = Taper((10,), 2.0), np.random.default_rng(1).normal(size=(5, 10))
    found = FromEnsemble(members, taper)
    np.testing.assert_allclose(found.dense(), np.cov(members.T) * taper.dense(), atol=1e-12)


@pytest.mark.parametrize("length", [0.0, -1.0, np.nan])
def test_lengths_are_positive(length) -> None:
    with pytest.raises(InputError, match="expected a positive number of grid spacings"):
        Taper((4, 4), length)
    with pytest.raises(InputError, match="no inverse"):
        Taper((4, 4), 1.0).solve(np.ones(16))
