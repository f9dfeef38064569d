"""Windows one after the other: a Kalman filter if linear, and normal equations with a static B."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr
from command_line import run
from test_cycling import START, STATISTICAL, A, Q, R, kalman_filter, linear_model, observations

import pyvda
from pyvda import cycling, names
from pyvda.climate.ensemble import Ensemble
from pyvda.engine import CostSettings, get_engine
from pyvda.errors import InputError
from pyvda.methods.incremental import IncrementalOptions
from pyvda.names import Status
from pyvda.notices import Notice

LENGTH, STEPS = 13, 30  # the last window has four steps
COMMON = {"observation_variance": R, "engine": "torch"}
B = np.diag([2.0, 1.0, 3.0]) + 0.3


def test_a_cycle_of_a_linear_model_is_one_kalman_filter() -> None:
    ds = observations(STEPS)
    ds["observation"][LENGTH : 2 * LENGTH] = np.nan  # the second window has no data
    found = pyvda.assimilate(
        ds, model=linear_model(), background=START, cycle=LENGTH, tolerance=1e-14, **STATISTICAL,
        **COMMON,
    )  # fmt: skip
    for window, count in enumerate((LENGTH, 2 * LENGTH, STEPS)):
        mean, P = kalman_filter(ds["observation"].values[:count], Q)
        np.testing.assert_allclose(found["analysis"].values[count - 1], mean, atol=1e-10)
        np.testing.assert_allclose(found["final_covariance"].values[window], P, atol=1e-10)
        stdev = found["state_stdev"].values[count - 1]
        np.testing.assert_allclose(stdev, np.sqrt(np.diag(P)), atol=1e-10)
    assert found["status"].values[1] == Status.NO_OBSERVATIONS
    free = [START.mean]
    for end in (LENGTH, None):
        while len(free) < (end or STEPS):
            free.append(A @ free[-1])
        if end:
            free.append(A @ found["analysis"].values[LENGTH - 1])
    one = found["background"].values
    np.testing.assert_allclose(one[: 2 * LENGTH], free[: 2 * LENGTH], atol=1e-10)
    assert found["window_number"].values.tolist() == [0] * 13 + [1] * 13 + [2] * 4
    xr.testing.assert_equal(found["time"].drop_vars("window_number"), ds["time"])
    innovation = ds["observation"] - found["analysis"]
    np.testing.assert_array_equal(found["innovation"], innovation)


def test_with_a_static_covariance_each_window_has_its_normal_equations() -> None:
    ds = observations(2 * LENGTH)
    found = pyvda.assimilate(
        ds, model=linear_model(), method="incremental", background=(START.mean, B), cycle=LENGTH,
        inflation=1.5, members=0, inner_tolerance=1e-14, tolerance=1e-15, **COMMON,
    )  # fmt: skip
    mean, y = START.mean, ds["observation"].values
    for window in range(2):
        hessian, step = np.linalg.inv(1.5 * B), np.eye(3)
        right = hessian @ mean
        for row in y[window * LENGTH :][:LENGTH]:
            H = step[np.isfinite(row)]
            hessian, right = hessian + H.T @ H / R, right + H.T @ row[np.isfinite(row)] / R
            step = A @ step
        start = np.linalg.solve(hessian, right)
        at = found["analysis"].values[window * LENGTH]
        np.testing.assert_allclose(at, start, atol=1e-9)
        mean = step @ start  # one step after the end
    data = [np.isfinite(part).sum() for part in (y[:LENGTH], y[LENGTH:])]
    np.testing.assert_allclose(found["chi_square"], 2 * found["objective"].values / data)


@pytest.mark.parametrize("ensemble_of", ["draws", "analyses"])
def test_an_ensemble_covariance_follows_the_kalman_filter(ensemble_of) -> None:
    """With many members and the whole weight, B is the filter's to the noise of the sample."""
    ds, count = observations(2 * LENGTH), 300 if ensemble_of == "draws" else 60
    found = pyvda.assimilate(
        ds, model=linear_model(), method="incremental", background=(START.mean, B), cycle=LENGTH,
        ensemble=count, ensemble_of=ensemble_of, ensemble_weight=1, localisation=0,
        **({"members": 300} if ensemble_of == "draws" else {}), **COMMON,
    )  # fmt: skip
    expected = pyvda.assimilate(
        ds, model=linear_model(), method="strong-constraint", starts="mean", cycle=LENGTH,
        background=(START.mean, B), **COMMON,
    )  # fmt: skip
    ratio = found["state_stdev"] / expected["state_stdev"]
    np.testing.assert_allclose(ratio, 1.0, atol=0.35)
    np.testing.assert_allclose(found["analysis"], expected["analysis"], atol=0.25)
    members = found["final_ensemble"]
    np.testing.assert_allclose(members[-1].mean("member"), found["analysis"][-1], atol=1e-9)
    assert members.attrs["cycle"] == 2


def test_without_a_method_and_a_covariance_an_ensemble_of_incremental_takes_its_place() -> None:
    model = pyvda.get_model("lorenz63")
    truth = pyvda.simulate(model, windows=1, steps=80, seed=5)
    ds = pyvda.observe(truth, "lorenz63", seed=6, variance=2.0, every=4).isel(window=0)
    how = {"model": model, "observation_variance": 2.0, "cycle": 20}
    found = pyvda.assimilate(ds, **how)
    assert json.loads(found.attrs["pyvda_configuration"])["method"] == "incremental"
    assert found["final_ensemble"].sizes["member"] == 30
    full = pyvda.assimilate(ds, method="strong-constraint", **how)  # propagates the covariance
    error, least = (
        np.sqrt(np.mean([(one[v] - truth[v][0]) ** 2 for v in "xyz"])) for one in (found, full)
    )
    spread = np.sqrt(np.mean([found[f"{v}_stdev"] ** 2 for v in "xyz"]))
    assert error < 1.5 * least
    assert 0.3 < error / spread < 1.2


def test_the_mean_of_the_others_stands_for_a_member_that_diverged() -> None:
    torch = pytest.importorskip("torch")
    model = pyvda.torch_model(
        step=lambda x: torch.where(x > 5, torch.nan, x), variables=("x",), time_step=1.0
    )
    cost = CostSettings(1.0, 1.0, 1.0)
    start = Ensemble(np.array([[1.0], [2.0], [9.0], [6.0]]))
    with pytest.warns(Notice, match="2 of 4 members of the background diverged"):
        found = cycling.later(start, 1, IncrementalOptions(), model, cost, get_engine("torch"))
    assert found.members.tolist() == [[1.0], [2.0], [1.5], [1.5]]


def test_the_members_of_a_smoother_go_on() -> None:
    ds = observations(2 * LENGTH)
    how = {"model": linear_model(), "method": "ensemble-smoother", "members": 12, **COMMON}
    found = pyvda.assimilate(ds, background=START, cycle=LENGTH, **how)
    first = pyvda.assimilate(ds.isel(time=slice(LENGTH)), background=START, **how)
    how.pop("members")
    second = pyvda.assimilate(ds.isel(time=slice(LENGTH, None)), background=first, **how)
    np.testing.assert_allclose(found["analysis"][:LENGTH], first["analysis"], atol=1e-12)
    np.testing.assert_allclose(found["analysis"][LENGTH:], second["analysis"], atol=1e-9)
    assert "chi_square" not in found  # of an objective, which the smoother has not


def test_lazy_series_and_a_single_step_at_the_end() -> None:
    ds = observations(2 * LENGTH + 1)
    how = {"model": linear_model(), "background": START, "cycle": LENGTH, **STATISTICAL, **COMMON}
    found = pyvda.assimilate(ds, **how)
    assert found["window_start"].values.tolist() == [0, LENGTH]
    lazy = pyvda.assimilate(ds.chunk(time=5), **how)
    np.testing.assert_array_equal(lazy["analysis"], found["analysis"])


@pytest.mark.parametrize("what", ["analysis", "covariance"])
def test_after_a_window_that_diverged_comes_the_forecast_of_its_background(
    monkeypatch, what: str
) -> None:
    ds = observations(STEPS)
    how = {"model": linear_model(), "background": START, "cycle": LENGTH, **STATISTICAL, **COMMON}
    usual = cycling.solve

    def lost(method, problem, *rest):
        found = usual(method, problem, *rest)
        if problem.window_numbers()[0] == 1:
            if what == "covariance":
                found.per_window[names.FINAL_COVARIANCE][:] = np.nan
                return found
            found.x[:] = np.nan
            found.status[:] = Status.DIVERGED
        return found

    monkeypatch.setattr(cycling, "solve", lost)
    said = {"analysis": "diverged", "covariance": "has no finite covariance at its end"}[what]
    with pytest.warns(Notice, match=f"window 1 {said}: the next one starts"):
        found = pyvda.assimilate(ds, **how)
    assert (found["status"].values[1] == Status.DIVERGED) == (what == "analysis")
    y = ds["observation"].values.copy()
    y[LENGTH : 2 * LENGTH] = np.nan
    mean, _ = kalman_filter(y, Q)
    np.testing.assert_allclose(found["analysis"].values[-1], mean, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "fsgd"}, "fsgd takes no background from an earlier window"),
        ({"method": "gauss-newton"}, "weighted form of gauss-newton has no background"),
        ({**STATISTICAL, "final_covariance": False}, "final_covariance is false"),
        ({"method": "ensemble-smoother", "final_ensemble": False}, "final_ensemble is false"),
        ({"method": "incremental", "ensemble": 0}, "have no B; give covariance"),
        ({"method": "strong-constraint", "parameters": True}, "not carried to the next"),
        ({**STATISTICAL, "window": 5}, "cycle cuts the series itself"),
        ({**STATISTICAL, "cycle": 40}, "windows of 40 steps .--cycle. do not fit"),
        ({"method": "incremental", "covariance": 1.0, "localisation": 3.0}, "there is no ensemble"),
        ({"method": "incremental", "covariance": 1.0, "ensemble": 2}, "at least 3 members"),
        (
            {"method": "incremental", "covariance": 1.0, "ensemble_of": "analyses"},
            "ensemble is 0",
        ),
    ],
)
def test_what_cannot_be_cycled(options, message) -> None:
    with pytest.raises(InputError, match=message) as refused:
        pyvda.assimilate(
            observations(STEPS), model=linear_model(), engine="torch",
            **{"cycle": LENGTH, **options},
        )  # fmt: skip
    assert "\n" not in str(refused.value)


def test_independent_windows_do_not_follow_one_another() -> None:
    ds = observations(2 * LENGTH)
    both = xr.concat([ds, ds], "window").transpose("window", "time", "state")
    with pytest.raises(InputError, match="2 windows already, which do not follow one another"):
        pyvda.assimilate(
            both, model=linear_model(), cycle=LENGTH, background=START, **STATISTICAL, **COMMON
        )


def test_the_first_window_from_the_climatology_has_its_covariance_and_grows() -> None:
    options = IncrementalOptions(covariance=1.0).cycled()
    first = options.for_first_window()
    assert (options.covariance, options.growth) == (1.0, 0)
    assert first.covariance is None
    assert first.growth[:4] == (2, 4, 8, 12)
    given = IncrementalOptions(covariance=1.0, growth=5)
    assert given.for_first_window().growth == 5
    known = IncrementalOptions(covariance=1.0, background=np.ones(3))
    assert known.for_first_window() is known


MODEL = """
import pyvda, torch
M = torch.tensor([[0.95, 0.2, 0.0], [-0.2, 0.9, 0.1], [0.0, -0.1, 1.02]], dtype=torch.float64)
linear = pyvda.torch_model(
    step=lambda x: x @ M.T.to(x), variables=("x", "y", "z"), time_step=1.0, start=(0.0, 0.0, 0.0)
)
"""


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_to_the_same_bits(tmp_path, monkeypatch) -> None:
    pyvda.save_analysis(observations(8 * LENGTH), tmp_path / "obs.nc")
    (tmp_path / "models.py").write_text(MODEL)
    np.savez(tmp_path / "b.npz", mean=START.mean, covariance=B)
    command = [
        "assimilate", "obs.nc", "--model", "models.py:linear",
        "--method", "incremental", "--set", "covariance=2.0", "--set", "observation_variance=0.25",
        "--background", "b.npz", "--set", "ensemble=5", "--set", "localisation=0",
        "--cycle", str(LENGTH), "--engine", "torch", "-q",
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed = [*command, "-o", "killed.nc"]
    in_process = [sys.executable, "-m", "pyvda", *killed]
    running = subprocess.Popen(in_process, env=environment, cwd=tmp_path)
    third = tmp_path / "killed.nc.cycle" / "window-00002.npz"
    while not third.exists() and running.poll() is None:
        time.sleep(0.005)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed.nc").exists()
    monkeypatch.chdir(tmp_path)
    for arguments in (killed, [*command, "-o", "whole.nc"]):
        assert run(monkeypatch, *arguments) == 0
    one, other = (xr.load_dataset(tmp_path / name) for name in ("killed.nc", "whole.nc"))
    assert one.sizes["window"] == 8
    assert all(one[name].identical(other[name]) for name in other.variables)
    assert not list(tmp_path.glob("*.cycle"))
