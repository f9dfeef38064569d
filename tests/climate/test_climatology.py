"""The climatology, against long runs by SciPy, the model's symmetries, and damaged caches."""

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.integrate import solve_ivp

from pyvda.climate.background import Background
from pyvda.climate.climatology import START_REMEDY, climatology, regular, with_climatology
from pyvda.engine import get_engine
from pyvda.errors import InputError
from pyvda.models.from_torch import torch_model
from pyvda.models.model import Model
from pyvda.models.registry import get_model, resolve

pytestmark = pytest.mark.julia


class NoEngine:
    """An engine that must not be used."""

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


def test_the_file_of_another_model_is_not_used(cache: Path) -> None:
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


def test_a_model_that_diverges_has_no_climatology() -> None:
    runaway = Model("lorenz63", 3, (10.0, 28.0, -50.0), 0.01)
    with pytest.raises(InputError, match="diverges"):
        climatology(runaway, get_engine())


# --- users' models -------------------------------------------------------------------------------


def oscillators(**changed):
    """Return limit cycles of radius 1 at three amplitudes of start: mean 0, covariance I / 2."""

    def f(x):
        u, v = x.unbind(-1)
        growth = 1 - u * u - v * v
        return torch.stack((growth * u - v, growth * v + u), -1)

    return torch_model(f, variables=("u", "v"), time_step=0.1, **changed)


def test_a_model_without_a_start_gets_a_climatology(cache: Path) -> None:
    found = climatology(oscillators(), get_engine("torch"))
    np.testing.assert_allclose(np.hypot(*found.states.T), 1, atol=1e-5)
    np.testing.assert_allclose(found.covariance, np.eye(2) / 2, atol=0.03)
    assert not cache.exists()


def test_the_climatology_of_a_function_is_cached_in_the_process() -> None:
    model = oscillators()
    made = climatology(model, get_engine("torch"))
    np.testing.assert_array_equal(climatology(model, NoEngine()).states, made.states)


def test_the_climatology_of_a_file_is_cached_by_its_source(cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "models.py"
    text = """
import torch, pyvda
def f(x):
    return torch.stack((x[..., 1], -x[..., 0]), -1)
model = pyvda.torch_model(f, variables=("u", "v"), time_step=0.1, spinup=1.0)
"""
    path.write_text(text)
    made = climatology(resolve(f"{path}:model"), get_engine("torch"))
    again = climatology(resolve(f"{path}:model"), NoEngine())
    np.testing.assert_array_equal(again.states, made.states)
    path.write_text(text.replace("-x[", "-2 * x["))
    with pytest.raises(AssertionError, match="not used"):
        climatology(resolve(f"{path}:model"), NoEngine())


def test_runs_that_diverge_are_dropped_and_reported(caplog) -> None:
    def f(x):  # from beyond 1 it runs away, from below it swings around 0
        u, v = x.unbind(-1)
        return torch.stack((v, -u + u.clamp(min=1.5) ** 5 - 1.5**5), -1)

    model = torch_model(f, variables=("u", "v"), time_step=0.1, spread=0.7, spinup=5.0)
    found = climatology(model, get_engine("torch"))
    (record,) = [r for r in caplog.records if "left out" in r.getMessage()]
    assert record.getMessage().endswith("on the way to its climatology and are left out")
    assert 0 < len(found.states) < 16384
    assert np.abs(found.states).max() < 3
    caplog.clear()
    climatology(
        torch_model(f, variables=("u", "v"), time_step=0.1, spinup=5.0), get_engine("torch")
    )
    (record,) = [r for r in caplog.records if "left out" in r.getMessage()]
    assert record.getMessage().endswith(START_REMEDY)


def test_a_model_that_comes_to_rest_is_refused() -> None:
    model = torch_model(lambda x: -x, variables=("x",), time_step=1.0, spinup=1e3)
    with pytest.raises(InputError, match="comes to rest"):
        climatology(model, get_engine("torch"))


def test_a_climatology_given_by_the_user(tmp_path: Path) -> None:
    model, rng = oscillators(), np.random.default_rng(0)
    states = rng.standard_normal((50, 2)) @ [[2.0, 0.5], [0.0, 1.0]] + [1.0, -1.0]
    mean, covariance = states.mean(0), np.cov(states.T)
    ds = xr.Dataset({"u": ("time", states[:, 0]), "v": ("time", states[:, 1])})
    ds.to_netcdf(tmp_path / "states.nc")
    np.savez(tmp_path / "states.npz", states=states)
    np.savez(tmp_path / "moments.npz", mean=mean, covariance=covariance)
    flat = xr.Dataset({"truth": (("window", "time", "state"), states[None])})
    for given in (ds, tmp_path / "states.nc", tmp_path / "states.npz", (mean, covariance),
                  tmp_path / "moments.npz", flat):  # fmt: skip
        mine = with_climatology(model, given)
        found = climatology(mine, NoEngine())
        np.testing.assert_allclose(found.mean, mean)
        np.testing.assert_allclose(found.covariance, covariance)
        np.testing.assert_allclose(np.cov(found.states.T), covariance, rtol=0.05, atol=0.05)
        assert mine.with_parameters(()).climatology is found


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("missing.nc", "does not exist"),
        (3, "expected a Dataset"),
        ((np.zeros(3), np.eye(3)), "3 components"),
        ((np.zeros(2), np.eye(3)), r"symmetric matrix \(2, 2\)"),
        ((np.zeros(2), -np.eye(2)), "positive definite"),
        ((np.zeros(2), np.full((2, 2), np.nan)), "finite"),
        (({"a": 1}, np.eye(2)), "real numbers"),
        (xr.Dataset({"w": ("time", np.zeros(3))}), "expected those of the model"),
        (xr.Dataset({"u": ("time", [1.0]), "v": ("time", [1.0])}), "1 states"),
        (xr.Dataset({"u": ("time", [1.0, 1]), "v": ("time", [1.0, 2])}), "comes to rest"),
    ],
)
def test_an_invalid_climatology_is_refused(given, said) -> None:
    with pytest.raises(InputError, match=said):
        with_climatology(oscillators(), given)


def test_a_step_model_is_sampled_at_its_steps() -> None:
    def turn(x):
        u, v = x.unbind(-1)
        return torch.stack((0.6 * u - 0.8 * v, 0.8 * u + 0.6 * v), -1)

    model = torch_model(step=turn, variables=("u", "v"), time_step=2.0, spinup=4.0)
    found = climatology(model, get_engine("torch"))
    assert found.states.shape == (16384, 2)
    np.testing.assert_allclose(found.covariance, np.eye(2), atol=0.3)


def test_a_covariance_without_variance_in_some_directions_gets_a_little() -> None:
    directions = np.random.default_rng(4).normal(size=(3, 6)) * [1, 1, 1e4, 1, 1e-4, 1]
    singular = directions.T @ directions
    found = regular(singular)
    deviation = np.sqrt(np.diag(singular))
    np.testing.assert_allclose(
        found / np.outer(deviation, deviation),
        singular / np.outer(deviation, deviation),
        atol=1e-11,
    )
    Background.full(np.zeros(6), found)
    with pytest.raises(InputError, match="singular"):
        Background.full(np.zeros(6), singular)
    whole = np.diag([1.0, 1e8])
    assert regular(whole) is whole
