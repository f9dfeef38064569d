"""Scores of analyses, only against the truth of their windows, with the stated model."""

import json
import warnings

import numpy as np
import pytest
import xarray as xr
from command_line import run
from gridded_models import advection
from problems import rossler_model

import pyvda
from pyvda.engine import get_engine
from pyvda.errors import InputError
from pyvda.notices import Notice


@pytest.fixture(scope="module")
def pair():
    truth = pyvda.simulate("lorenz63", 3, 1)
    return pyvda.assimilate(pyvda.observe(truth, "lorenz63", 2), iterations=5), truth


def changed(analysis, **model):
    configuration = json.loads(analysis.attrs["pyvda_configuration"])
    configuration["model"] |= model
    return analysis.assign_attrs(pyvda_configuration=json.dumps(configuration))


def test_shifted_and_reversed_windows_are_refused(pair):
    analysis, truth = pair
    assert np.isfinite(pyvda.evaluate(analysis, truth)["r_score"]).all()
    with pytest.raises(InputError, match="window is 2 in the truth and 0 in the analysis"):
        pyvda.evaluate(analysis, truth.isel(window=slice(None, None, -1)))
    with pytest.raises(InputError, match="window is 1 in the truth and 0 in the analysis"):
        pyvda.evaluate(analysis.isel(window=slice(2)), truth.isel(window=slice(1, None)))


@pytest.mark.parametrize("parameters", [[], [10.0, 28.0], [10.0, 28.0, 2.7, 1.0], [None] * 3])
def test_parameters_that_are_not_the_models_are_refused(pair, parameters):
    analysis, truth = pair
    with pytest.raises(InputError, match="pyvda_configuration") as refused:
        pyvda.evaluate(changed(analysis, parameters=parameters), truth)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "model", [{"state_size": np.inf}, {"parameters": [10**400] * 3}, {"sizes": {"n": np.inf}}]
)
def test_numbers_that_are_none_are_refused(pair, model):
    analysis, truth = pair
    with pytest.raises(InputError, match="pyvda_configuration") as refused:
        pyvda.evaluate(changed(analysis, **model), truth)
    assert "\n" not in str(refused.value)


def test_a_state_of_another_size_than_the_models_is_refused(pair):
    analysis, truth = pair
    with pytest.raises(InputError, match="pyvda_configuration"):
        pyvda.evaluate(changed(analysis, state_size=4), truth)
    other = changed(analysis, name="lorenz96", parameters=[8.0], state_size=40)
    with pytest.raises(InputError, match="3 components, but states that it was made with lorenz96"):
        pyvda.evaluate(other, truth)


def test_named_variables_are_scored_like_a_state(pair):
    analysis, truth = pair
    observed = pyvda.observe(truth, "lorenz63", 2)

    def by_name(array):
        return {n: array.isel(state=i, drop=True) for i, n in enumerate("xyz")}

    named = xr.Dataset(by_name(observed.observation), attrs=observed.attrs)
    found = pyvda.assimilate(named, variable="x,y,z", iterations=5)
    expected = pyvda.evaluate(analysis, truth)
    for true in (truth, xr.Dataset(by_name(truth.truth))):
        scores = pyvda.evaluate(found, true)
        for name in expected:
            np.testing.assert_array_equal(scores[name], expected[name])


def test_state_vectors_are_scored_by_a_truth_in_the_models_variables(pair):
    analysis, truth = pair
    dims = ("window", "time")
    named = {n: (dims, truth.truth.values[..., i]) for i, n in enumerate("xyz")}
    found = pyvda.evaluate(analysis, xr.Dataset(named, {"time": truth.time.values}))
    for name, expected in pyvda.evaluate(analysis, truth).items():
        np.testing.assert_array_equal(found[name], expected)
    with pytest.raises(InputError, match="no variable has the name or standard_name 'z'"):
        pyvda.evaluate(analysis, xr.Dataset(named).drop_vars("z"))
    with pytest.raises(InputError, match="the file has no variable 'truth'"):
        pyvda.evaluate(analysis, xr.Dataset())


def test_a_model_of_ones_own_is_scored_by_the_engine_that_has_it():
    model = advection()
    start = np.random.default_rng(0).normal(size=(2, 4, 5))
    states = np.stack([np.roll(start, k, -1) for k in range(8)], 1)
    truth = xr.Dataset({"u": (("window", "time", "y", "x"), states)}, {"time": np.arange(8.0)})
    observed = truth.where(np.random.default_rng(1).random(states.shape) < 0.5)
    analysis = pyvda.assimilate(observed, model=model, method="gauss-newton")
    scores = pyvda.evaluate(analysis, truth.transpose("x", ...), model=model)
    expected = ((analysis.u - truth.u) ** 2).mean(("time", "y", "x"))
    np.testing.assert_allclose(scores["r_score"], expected)
    np.testing.assert_allclose(scores["ode_score"], 0.0, atol=1e-20)
    with pytest.raises(InputError, match=r"no built-in model; give .* \(--model FILE"):
        pyvda.evaluate(analysis, truth)


@pytest.fixture(scope="module")
def own():
    """An analysis by a model of one's own with c = 9, and its truth."""
    model = rossler_model(c=9.0)
    x = np.random.default_rng(0).normal(size=(2, 6, 3))
    times = {"time": 0.05 * np.arange(6)}
    truth = xr.Dataset({"truth": (("window", "time", "state"), x)}, times)
    observed = truth.rename(truth="observation")
    return pyvda.assimilate(observed, model=model, iterations=3, engine="torch"), truth, model


def test_another_model_than_the_analysis_states_is_refused(own):
    analysis, truth, model = own
    for other in ("lorenz63", pyvda.get_model("lorenz63"), pyvda.get_model("lorenz96"),
                  rossler_model("other", c=9.0)):  # fmt: skip
        with pytest.raises(InputError, match="give the model that made it") as refused:
            pyvda.evaluate(analysis, truth, model=other)
        assert "\n" not in str(refused.value)
        with pytest.raises(InputError, match="give the model that made it"):
            pyvda.forecast(analysis, 2, model=other)
    assert np.isfinite(pyvda.evaluate(analysis, truth, model=model)["ode_score"]).all()


def test_parameters_that_are_not_the_analysis_are_used_or_refused(own):
    analysis, truth, model = own
    for call in (lambda **k: pyvda.evaluate(analysis, truth, **k),
                lambda **k: pyvda.forecast(analysis, 2, **k)):  # fmt: skip
        with pytest.raises(InputError, match=r"made with c 9\.0, but the model given has 5\.7"):
            call(model=rossler_model())
    with pytest.raises(InputError, match=r"made with c 9\.0, but the model given has 8\.0"):
        pyvda.evaluate(analysis, truth, model=rossler_model(), parameters={"c": 8.0, "a": 0.2})
    same = pyvda.forecast(analysis, 2, model=model)
    assert "pyvda_forecast_parameters" not in same.attrs
    found = pyvda.forecast(analysis, 2, model=model, parameters={"c": "8.0"})
    assert found.attrs["pyvda_forecast_parameters"] == "c=8.0"
    last = analysis["analysis"].values[:, -1]
    expected = get_engine("torch").forecast(rossler_model(c=8.0), last, time_step=0.05)
    np.testing.assert_allclose(found["forecast"].values[:, 0], expected, rtol=1e-12)


def test_parameters_of_a_built_in_model_may_be_changed_for_a_forecast(pair):
    analysis, truth = pair
    with pytest.raises(InputError, match=r"made with rho 28\.0, but the model given has 20\.0"):
        pyvda.evaluate(analysis, truth, model="lorenz63", parameters={"rho": 20.0})
    for model in (None, "lorenz63"):
        found = pyvda.forecast(analysis, 1, model=model, parameters={"rho": 20})
        expected = get_engine().forecast(
            pyvda.get_model("lorenz63", rho=20.0), analysis["analysis"].values[:, -1],
            time_step=0.01,
        )  # fmt: skip
        np.testing.assert_allclose(found["forecast"].values[:, 0], expected, rtol=1e-12)
        assert found.attrs["pyvda_forecast_parameters"] == "rho=20.0"


def test_the_commands_take_parameters_by_name(pair, tmp_path, monkeypatch, capsys):
    analysis, truth = pair
    pyvda.save_analysis(analysis, tmp_path / "a.nc")
    pyvda.save_analysis(truth, tmp_path / "t.nc")
    forecast = ["forecast", tmp_path / "a.nc", "--steps", 2, "-q", "-o", tmp_path / "f.nc"]
    assert run(monkeypatch, *forecast, "--parameter", "rho=20") == 0
    assert xr.load_dataset(tmp_path / "f.nc").attrs["pyvda_forecast_parameters"] == "rho=20.0"
    score = ["score", tmp_path / "a.nc", "--truth", tmp_path / "t.nc", "--model", "lorenz63"]
    assert run(monkeypatch, *score) == 0
    assert run(monkeypatch, *score, "--parameter", "rho=20") == 2
    assert "made with rho 28.0" in capsys.readouterr().err


def test_a_truth_on_the_grid_in_another_order_is_put_into_that_of_the_analysis():
    model = advection()
    start = np.random.default_rng(0).normal(size=(2, 4, 5))
    states = np.stack([np.roll(start, k, -1) for k in range(8)], 1)
    coords = {"time": np.arange(8.0), "y": [0.0, 0.1, 0.2, 0.3], "x": list("abcde")}
    truth = xr.Dataset({"u": (("window", "time", "y", "x"), states)}, coords)
    observed = truth.where(np.random.default_rng(1).random(states.shape) < 0.5)
    analysis = pyvda.assimilate(observed, model=model, method="gauss-newton")
    expected = pyvda.evaluate(analysis, truth, model=model)
    back = slice(None, None, -1)
    for other in (truth.isel(y=back), truth.isel(y=[2, 0, 1, 3], x=back),
                  truth.assign_coords(y=truth.y.astype("f4"))):  # fmt: skip
        found = pyvda.evaluate(analysis, other, model=model)
        for name in expected:
            np.testing.assert_array_equal(found[name], expected[name])
    for other, sentence in (
        (truth.assign_coords(y=truth.y + 0.1), "along y the truth has the coordinate 0.1 where"),
        (truth.assign_coords(x=list("abcdf")), "along x the truth has the coordinate f where"),
    ):
        with pytest.raises(InputError, match=sentence) as refused:
            pyvda.evaluate(analysis, other, model=model)
        assert "\n" not in str(refused.value)


def test_the_sizes_of_a_built_in_model_are_found_again(tmp_path):
    truth = pyvda.simulate(
        "lorenz96-two-scale", windows=1, steps=6, seed=3, parameters={"K": 6, "J": 3}
    )
    observed = pyvda.observe(truth, variance=0.1, every=2, seed=4)
    analysis = pyvda.assimilate(
        observed, method="fsgd", iterations=5, engine="torch",
        climatology=(np.zeros(24), np.eye(24)),
    )  # fmt: skip
    pyvda.save_analysis(analysis, tmp_path / "analysis.nc")
    with xr.open_dataset(tmp_path / "analysis.nc") as stored:
        scores = pyvda.evaluate(stored, truth)
        assert np.isfinite(scores["r_score"])
        forecast = pyvda.forecast(stored, 2)
    assert forecast.sizes["time"] == 2


MODELS_FILE = """
import pyvda
import torch

def tendency(s):
    x, y = s[..., 0:1], s[..., 1:2]
    return torch.cat((y, (1 - x * x) * y - {factor} * x), -1)

oscillator = pyvda.torch_model(tendency, variables=("x", "y"), time_step=0.05, name="oscillator")
"""


def test_another_source_of_the_same_name_size_and_parameters_is_said(tmp_path) -> None:
    path = tmp_path / "models.py"
    path.write_text(MODELS_FILE.format(factor=1))
    named = f"{path}:oscillator"
    truth = pyvda.simulate(named, 2, 1, steps=20)
    ds = truth[["x", "y"]].assign_attrs(observation_error_variance=0.1)
    made = pyvda.assimilate(ds, model=named, iterations=5, engine="torch")
    with warnings.catch_warnings():
        warnings.simplefilter("error", Notice)
        pyvda.evaluate(made, truth, model=named)
    path.write_text(MODELS_FILE.format(factor=2))
    with pytest.warns(Notice, match="the source of oscillator is not the one"):
        pyvda.evaluate(made, truth, model=named)


def test_a_file_of_version_0_1_is_evaluated_and_continued(tmp_path, monkeypatch):
    """Variables and attributes are those that the writer of version 0.1 gave an FSGD analysis."""
    random = np.random.default_rng(5)
    x, truth = random.normal([[[-3.0]], [[4.0]]], 2.0, (2, 2, 9, 3))
    configuration = {
        "method": "fsgd",
        "model": {"name": "lorenz63", "state_size": 3, "parameters": [10.0, 28.0, 8 / 3],
                  "time_step": 0.01},
        "cost": {"time_step": 0.01, "lambda1": 0.01, "lambda2": 1.0, "scheme": "rk4"},
        "options": {"iterations": 5, "step": None, "tolerance": None, "check_every": 500,
                    "precision": "float64"},
    }  # fmt: skip
    dims = ("window", "time", "state")
    coords = {"window": [0, 1], "time": 0.01 * np.arange(9), "state": ["x", "y", "z"]}
    zero = ("window", np.zeros(2))
    costs = ("cost", "cost_observation", "cost_dynamics", "gradient_norm")
    status = {"status": ("window", [1, 1]), "iterations": ("window", [5, 5])}
    xr.Dataset(
        {
            "analysis": (dims, x, {"ancillary_variables": "flag"}),
            "innovation": (dims, np.full_like(x, np.nan)),
            "flag": (dims, np.zeros(x.shape, "i1")),
            **dict.fromkeys(costs, zero),
            **status,
        },
        coords,
        {
            "Conventions": "CF-1.11",
            "pyvda_version": "0.1.0",
            "pyvda_engine": "julia (libjulia) 1.5.3, 2 threads",
            "pyvda_configuration": json.dumps(configuration),
            "history": "2026-11-25T19:08:33Z pyvda 0.1.0 assimilate, fsgd on lorenz63",
        },
    ).to_netcdf(tmp_path / "analysis.nc")
    xr.Dataset({"truth": (dims, truth)}, coords).to_netcdf(tmp_path / "truth.nc")
    with xr.open_dataset(tmp_path / "analysis.nc") as old:
        scores = pyvda.evaluate(old, xr.open_dataset(tmp_path / "truth.nc"), engine="torch")
    np.testing.assert_allclose(scores["r_score"], ((x - truth) ** 2).mean((1, 2)), rtol=1e-12)
    arguments = ["--steps", 2, "--engine", "torch", "-o", tmp_path / "forecast.nc"]
    assert run(monkeypatch, "forecast", tmp_path / "analysis.nc", *arguments) == 0
    expected = x[:, -1]
    with xr.open_dataset(tmp_path / "forecast.nc") as later:
        for t in range(2):
            expected = get_engine("torch").forecast(
                pyvda.get_model("lorenz63"), expected, time_step=0.01
            )
            np.testing.assert_allclose(later["forecast"][:, t], expected, rtol=1e-12)


@pytest.mark.parametrize("dims", [("time", "window", "state"), ("state", "time", "window")])
def test_an_analysis_in_another_order_of_dimensions_has_the_same_scores(pair, dims):
    analysis, truth = pair
    expected = pyvda.evaluate(analysis, truth)
    found = pyvda.evaluate(analysis.transpose(*dims, ...), truth)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])
