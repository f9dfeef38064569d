"""The option `background`: names, files, and what neither is."""

import numpy as np
import pytest
import xarray as xr

from pyvda.climate.background_option import get_background
from pyvda.climate.climatology import climatology, with_climatology
from pyvda.errors import InputError
from pyvda.models.registry import get_model
from pyvda.notices import Notice
from pyvda.settings import configured


def options_of(method: str, **given):
    return configured(method, given)[1]


MODEL = get_model("lorenz63")
L = np.tril(np.random.default_rng(5).standard_normal((3, 3))) + 2 * np.eye(3)
MEAN = np.array([1.0, -2.0, 20.0])


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
    with pytest.raises(InputError, match="choose climatology, none, or an"):
        get_background("climate", MODEL)
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


@pytest.mark.parametrize("method", ["strong-constraint", "incremental"])
@pytest.mark.parametrize(
    "mean", [1.0, "a", None, np.ones((1, 3)), [1.0, np.nan, 2.0], np.ones(3) * 1j]
)
def test_a_mean_that_is_no_vector_of_numbers_is_refused(method, mean) -> None:
    if method == "incremental" and np.ndim(mean) == 2:
        pytest.skip("a field is a state of a large model")
    with pytest.raises(InputError, match=r"background: .*(expected|finite)") as refused:
        options_of(method, background=(mean, np.eye(3)))
    assert "\n" not in str(refused.value)


def test_a_pair_may_be_a_list() -> None:
    for method in ("strong-constraint", "incremental"):
        found = options_of(method, background=[[1.0, 2.0], [[1.0, 0.0], [0.0, 1.0]]]).background
        mean = found.mean if method == "strong-constraint" else found[0]
        np.testing.assert_array_equal(mean, [1.0, 2.0])
    np.testing.assert_array_equal(
        options_of("incremental", background=[1.0, 2.0]).background, [1, 2]
    )
