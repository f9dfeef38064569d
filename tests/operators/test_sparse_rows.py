"""Rows by their entries, against the same rows in full."""

import tracemalloc

import numpy as np
import pytest
from gridded_models import advection
from scipy import sparse

import pyvda
from pyvda.operators import Interpolation
from pyvda.operators.sparse_rows import SparseRows


def dense(*shape: int, share: float = 0.4) -> np.ndarray:
    rng = np.random.default_rng(0)
    found = rng.standard_normal(shape) * (rng.random(shape) < share)
    found[0, 0] = 0.0  # a row that reads nothing
    return found


@pytest.mark.parametrize("shape", [(3, 5, 7), (4, 6), (2, 1)])
def test_an_array_comes_back(shape):
    full = dense(*shape)
    rows = SparseRows.of(full)
    assert rows.shape == shape
    assert rows.index.shape[-1] in (max(1, np.count_nonzero(full, axis=-1).max()), shape[-1])
    np.testing.assert_array_equal(np.asarray(rows), full)
    np.testing.assert_array_equal(rows[1:], full[1:])
    assert SparseRows.of(rows) is rows
    assert np.asarray(rows, np.float32).dtype == np.float32


def test_a_matrix_comes_back_with_each_component_once():
    twice = sparse.csr_matrix(([1.0, 2.0, 5.0, 0.0], [3, 3, 1, 2], [0, 2, 2, 4]), (3, 6))
    rows = SparseRows.of(twice)
    np.testing.assert_array_equal(rows, twice.toarray())
    assert rows.index.shape == (3, 1)
    np.testing.assert_array_equal(rows.matrix().toarray(), twice.toarray())
    both = SparseRows.of(sparse.vstack([twice, 2 * twice]), (2, 3))
    np.testing.assert_array_equal(both[1], 2 * twice.toarray())
    assert both.matrix().shape == (6, 6)


def test_products_and_norms_are_those_of_the_full_rows():
    full = dense(3, 5, 7)
    rows, x = SparseRows.of(full), np.random.default_rng(1).standard_normal((3, 5, 7))
    np.testing.assert_allclose(rows.product(x), (full * x).sum(-1), rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(rows.squares(), (full**2).sum(-1), rtol=1e-13)
    one = SparseRows.of(np.array([[0.0, -2.0, 0.0], [1.0, 0.0, 3.0], [0.0, 0.0, 0.0]]))
    assert one.single().tolist() == [True, False, False]
    component, coefficient = one.largest()
    assert (component[:2].tolist(), coefficient[:2].tolist()) == ([1, 2], [-2.0, 3.0])


def test_no_rows_at_all():
    rows = SparseRows.of(np.zeros((2, 0, 4)))
    assert rows.shape == (2, 0, 4)
    assert rows.matrix().shape == (0, 4)


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="expected the same"):
        SparseRows(np.zeros((2, 3), int), np.zeros((2, 2)), 5)


def test_memory_is_that_of_the_data_and_not_of_the_state():
    """Rows in full would take 16 GB."""
    model = pyvda.get_model("quasi-geostrophic", n=257)
    rng, count = np.random.default_rng(0), 30_000
    tracemalloc.start()
    at = {dim: rng.uniform(0, 1, count) for dim in ("y", "x")}
    rows = SparseRows.of(Interpolation().matrix(model, at)[0])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows.index.shape == (count, 4)
    assert peak < 60e6


def test_interpolation_has_an_exact_adjoint():
    rng = np.random.default_rng(2)
    at = {"y": rng.uniform(0, 3, 50), "x": rng.uniform(0, 4, 50)}
    H, _ = Interpolation().matrix(advection(), at)
    x, y = rng.standard_normal(20), rng.standard_normal(50)
    rows = SparseRows.of(H)
    left, right = y @ rows.product(np.broadcast_to(x, (50, 20))), x @ (H.T @ y)
    assert abs(left - right) <= 1e-14 * np.abs(H @ x) @ np.abs(y)
