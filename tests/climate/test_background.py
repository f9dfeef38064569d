"""Backgrounds: Mahalanobis distances against a dense solve, and invalid covariances."""

import numpy as np
import pytest
import xarray as xr
from scipy.optimize import approx_fprime
from scipy.stats import multivariate_normal

from pyvda.climate.background import Background, get_background
from pyvda.climate.climatology import climatology, with_climatology
from pyvda.errors import InputError
from pyvda.models.registry import get_model
from pyvda.notices import Notice

MODEL = get_model("lorenz63")
RANDOM = np.random.default_rng(5)
L = np.tril(RANDOM.standard_normal((3, 3))) + 2 * np.eye(3)
MEAN = np.array([1.0, -2.0, 20.0])


@pytest.mark.parametrize(
    ("background", "B"),
    [
        (Background.full(MEAN, L @ L.T), L @ L.T),
        (Background.factor(MEAN, L), L @ L.T),
        (Background.diagonal(MEAN, [1.0, 2.0, 50.0]), np.diag([1.0, 2.0, 50.0])),
        (Background.full(MEAN, 1e-12 * np.eye(3)), 1e-12 * np.eye(3)),
    ],
)
def test_is_the_logarithm_of_a_gaussian(background: Background, B: np.ndarray) -> None:
    x = MEAN + np.sqrt(np.diag(B)) * RANDOM.standard_normal((7, 3))
    density = multivariate_normal(MEAN, B)
    np.testing.assert_allclose(background.cost(x), density.logpdf(MEAN) - density.logpdf(x), 1e-9)
    difference = approx_fprime(x[0], background.cost, 1e-7 * np.sqrt(np.diag(B)))
    np.testing.assert_allclose(background.gradient(x)[0], difference, rtol=1e-4)


def test_by_name(tmp_path) -> None:
    known = climatology(MODEL)
    found = get_background("climatology", MODEL)
    np.testing.assert_array_equal(found.mean, known.mean)
    np.testing.assert_allclose(found.precision @ known.covariance, np.eye(3), atol=1e-12)
    assert not get_background("none", MODEL).precision.any()
    for form, value in (("covariance", L @ L.T), ("factor", L), ("variance", np.ones(3))):
        np.savez(tmp_path / "b.npz", mean=MEAN, **{form: value})
        found = get_background(str(tmp_path / "b.npz"), MODEL)
        B = np.eye(3) if form == "variance" else L @ L.T
        np.testing.assert_allclose(found.precision, np.linalg.inv(B), rtol=1e-10)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Background.full(MEAN, np.ones((3, 3))), "singular"),
        (
            lambda: Background.full(MEAN, np.diag([1.0, 1.0, 0.0])),
            "no variance at 1 of 3 components, such as those of walls",
        ),
        (lambda: Background.full(MEAN, np.diag([1.0, -1.0, 1.0])), "singular"),
        (lambda: Background.full(MEAN, L), "symmetric"),
        (lambda: Background.full(MEAN, np.eye(2)), "shape"),
        (lambda: Background.full(MEAN, np.nan * np.eye(3)), "NaN"),
        (lambda: Background.factor(MEAN, np.ones((3, 3))), "singular"),
        (lambda: Background.diagonal(MEAN, [1.0, 0.0, 1.0]), "positive"),
        (lambda: Background.diagonal(MEAN, [1.0, 1.0]), "shape"),
        (lambda: Background.diagonal(MEAN, ["1", "2", "3"]), "variance is of type <U1"),
        (lambda: Background.diagonal(MEAN + 1j, np.ones(3)), "mean is of type complex128"),
        (lambda: get_background("climate", MODEL), "climatology"),
    ],
)
def test_an_invalid_background_is_refused(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_files_without_a_background_are_refused(tmp_path) -> None:
    file = tmp_path / "b.npz"
    for arrays, message in (
        ({"mean": MEAN}, "expected mean and one of"),
        ({"mean": MEAN, "variance": MEAN**2, "factor": L}, "expected mean and one of"),
        ({"mean": MEAN[:2], "variance": np.ones(2)}, "2 components"),
    ):
        np.savez(file, **arrays)
        with pytest.raises(InputError, match=message):
            get_background(str(file), MODEL)
    np.savez(file, mean=np.array(["a", "b", "c"]), variance=np.ones(3))
    with pytest.raises(InputError, match="mean is of type <U1"):
        get_background(str(file), MODEL)
    np.save(tmp_path / "b.npy", np.eye(3))
    with pytest.raises(InputError, match="one array without a name"):
        get_background(str(tmp_path / "b.npy"), MODEL)
    file.write_bytes(b"nothing of the sort")
    with pytest.raises(InputError, match="cannot be read"):
        get_background(str(file), MODEL)


def test_a_singular_climatology_is_made_regular_and_said() -> None:
    """A direction that hardly varies counts with a trillionth of the largest variance."""
    rng = np.random.default_rng(3)
    states = rng.standard_normal((500, 3)) * [1.0, 10.0, 1.0]
    states[:, 2] = states[:, 0] + 1e-9 * states[:, 2]
    ds = xr.Dataset({"truth": (("time", "state"), states)})
    model = with_climatology(get_model("lorenz84"), ds)
    with pytest.warns(Notice, match="lorenz84 is singular to rounding"):
        found = get_background("climatology", model)
    deviation = states.std(0, ddof=1)
    values = 1 / np.linalg.eigvalsh(found.precision * np.outer(deviation, deviation))
    assert values.min() == pytest.approx(1e-12 * values.max(), rel=1e-3)
    along = np.array([1.0, 2.0, 1.0])
    expected = along @ np.cov(states.T) @ along  # what varies is unchanged
    assert along @ np.linalg.inv(found.precision) @ along == pytest.approx(expected, rel=1e-6)
