"""The climatology, against long runs by SciPy, the model's symmetries, and damaged caches."""

from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from pyvda.climate.climatology import climatology
from pyvda.engine import get_engine
from pyvda.errors import InputError
from pyvda.models.model import Model
from pyvda.models.registry import get_model

pytestmark = pytest.mark.julia


class NoEngine:
    """An engine that must not be asked."""

    def simulate(self, *_: object, **__: object) -> None:
        raise AssertionError("the cache was not used")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYVDA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_lorenz63_agrees_with_a_long_run_by_scipy() -> None:
    def f(t, x):
        return [10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]]

    t = np.arange(50.0, 450.0, 0.1)
    x = solve_ivp(f, (0, 450), [1.0, 2.0, 20.0], t_eval=t, rtol=1e-6).y.T
    found = climatology(get_model("lorenz63"))
    np.testing.assert_array_equal(found.mean[:2], 0)
    assert abs(found.mean[2] - x[:, 2].mean()) < 0.4
    second = x.T @ x / len(x)
    for i, j in ((0, 0), (0, 1), (1, 1)):  # the odd components: no mean to take off
        assert abs(found.covariance[i, j] / second[i, j] - 1) < 0.05
    assert abs(found.covariance[2, 2] / x[:, 2].var() - 1) < 0.05
    assert np.abs(found.covariance[:2, 2]).max() == 0


def test_lorenz96_is_the_same_everywhere_on_its_circle() -> None:
    found = climatology(get_model("lorenz96"))
    assert np.ptp(found.mean) == 0
    assert abs(found.mean[0] - 2.34) < 0.05
    np.testing.assert_allclose(
        found.covariance, np.roll(found.covariance, (1, 1), (0, 1)), rtol=1e-12, atol=1e-12
    )
    assert abs(found.covariance[0, 0] - 13.3) < 0.5
    np.testing.assert_allclose(
        found.covariance + np.outer(found.mean, found.mean),
        np.mean([np.roll(found.states, k, 1).T @ np.roll(found.states, k, 1) for k in range(40)], 0)
        / len(found.states),
        rtol=1e-3,
    )


def test_it_is_made_once(cache: Path) -> None:
    model = get_model("lorenz63", rho=29.0)
    made = climatology(model)
    again = climatology(model, NoEngine())
    np.testing.assert_array_equal(again.states, made.states)
    with pytest.raises(AssertionError, match="not used"):
        climatology(get_model("lorenz63", rho=30.0), NoEngine())
    assert [path.suffix for path in cache.iterdir()] == [".npz"]


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"no zip"])
def test_a_damaged_file_is_made_again(cache: Path, damage) -> None:
    model = get_model("lorenz63")
    made = climatology(model)
    (file,) = cache.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    np.testing.assert_array_equal(climatology(model).mean, made.mean)
    np.testing.assert_array_equal(climatology(model, NoEngine()).mean, made.mean)


def test_another_models_file_is_not_taken(cache: Path) -> None:
    climatology(get_model("lorenz63", rho=29.0))
    (other,) = cache.iterdir()
    mine = climatology(get_model("lorenz63"))
    (file,) = (path for path in cache.iterdir() if path != other)
    file.write_bytes(other.read_bytes())
    np.testing.assert_array_equal(climatology(get_model("lorenz63")).mean, mine.mean)


def test_a_cache_that_cannot_be_written_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("PYVDA_CACHE", str(tmp_path / "file" / "cache"))
    assert np.isfinite(climatology(get_model("lorenz63")).covariance).all()


def test_a_model_that_diverges_has_none() -> None:
    runaway = Model("lorenz63", 3, (10.0, 28.0, -50.0), 0.01)
    with pytest.raises(InputError, match="diverges"):
        climatology(runaway, get_engine())
