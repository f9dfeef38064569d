"""Observations at arbitrary times: engines compared, files, and recovered truths."""

import json
import re

import numpy as np
import pytest
import xarray as xr
from problems import MODELS, random_points, random_windows

import pyvda
from pyvda import names
from pyvda.engine import CostSettings, get_engine
from pyvda.errors import InputError
from pyvda.io.tables import point_observations
from pyvda.models.registry import get_model
from pyvda.operators.points import Points


@pytest.mark.parametrize(
    ("name", "scheme"),
    [*((name, scheme) for name in MODELS for scheme in ("rk4", "euler")),
     ("kuramoto-sivashinsky", "rk4")],
)  # fmt: skip
def test_julia_agrees_with_autograd(name, scheme):
    """The last of the models is given by its step, between which the data are interpolated."""
    model = get_model(name)
    x, y, mask = random_windows(model.state_size, 5, 9)
    points = random_points(model.state_size, *x.shape[:2])
    settings = CostSettings(model.time_step, 0.3, 2.0, scheme)
    found, expected = (
        get_engine(engine).cost(model, settings, x, y, mask, points=points)
        for engine in ("julia", "torch")
    )
    np.testing.assert_allclose(found.observation, expected.observation, rtol=1e-12)
    np.testing.assert_allclose(found.dynamics, expected.dynamics, rtol=1e-12)
    scale = np.abs(expected.gradient).max()
    np.testing.assert_allclose(found.gradient, expected.gradient, atol=1e-12 * scale)
    without = get_engine("torch").cost(model, settings, x, y, mask)
    assert np.all(without.observation != expected.observation)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_both_engines_descend_alike(dtype):
    model = get_model("lorenz63")
    x, y, mask = (a.astype(dtype) for a in random_windows(model.state_size, 11, 9))
    points = random_points(model.state_size, *x.shape[:2])
    found, expected = (
        get_engine(engine).descend(
            model, CostSettings(0.01), x, y, mask, step=2.0, iterations=20, points=points
        )
        for engine in ("julia", "torch")
    )
    assert found.dtype == dtype
    tolerance = 1e-11 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * np.abs(x).max())


def test_chosen_windows_have_their_own_points():
    model = get_model("lorenz63")
    points = random_points(model.state_size, 7, 9)
    chosen = points[np.array([False, True, False, False, True, False, False])]
    np.testing.assert_array_equal(chosen.step, points.step[[1, 4]])
    np.testing.assert_array_equal(chosen.operator, points.operator[[1, 4]])
    np.testing.assert_array_equal(points.counted(), np.count_nonzero(points.weight, axis=1))


def test_arrays_that_do_not_fit_are_refused():
    model = get_model("lorenz63")
    points = random_points(model.state_size, 2, 9)
    with pytest.raises(ValueError, match="weight has shape"):
        Points(points.step, points.fraction, points.value, points.weight[:, :3], points.operator)
    x, y, mask = random_windows(model.state_size, 2, 9)
    with pytest.raises(ValueError, match="outside the 4 steps"):
        get_engine("torch").cost(
            model, CostSettings(0.01), x[:, :4], y[:, :4], mask[:, :4], points=points
        )


# --- from a table to an analysis ------------------------------------------------------------------


def table_of(truth, times, components, error=0.1, seed=3):
    """A table of one component each at times between the steps, from a fine simulation."""
    rng = np.random.default_rng(seed)
    value = truth[np.rint(times / FINE).astype(int), components]
    value = value + error * rng.standard_normal(len(times))
    return xr.Dataset(
        {
            "value": ("obs", value, {"units": "1"}),
            "component": ("obs", components),
            "observation_error": ("obs", np.full(len(times), error)),
        },
        {"time": ("obs", times)},
    )


FINE = 0.001  # a tenth of the analysis step


@pytest.fixture(scope="module")
def fine_truth():
    """Lorenz-63 on its attractor over four time units, (4001, 3)."""
    return get_engine("julia").simulate(
        get_model("lorenz63"), np.array([[1.0, 2.0, 20.0]]), time_step=FINE, steps=4001, spinup=20.0
    )[0]


@pytest.fixture
def table(fine_truth):
    rng = np.random.default_rng(5)
    times = np.sort(rng.choice(3999, 120, replace=False) + 1) * FINE
    return table_of(fine_truth, times, rng.integers(0, 2, len(times)))


@pytest.mark.parametrize("shuffled", [False, True])
def test_irregular_times_bring_the_truth_back(table, fine_truth, shuffled):
    if shuffled:
        table = table.isel(obs=np.random.default_rng(0).permutation(table.sizes["obs"]))
    ds = pyvda.on_grid(table, 0.01, 3, start=0.0, stop=4.0)
    assert ds.sizes == {"time": 401, "state": 3, "datum": 120, "term": 1}
    options = {"form": "statistical", "model_error": 1e-6}
    analysis = pyvda.assimilate(
        ds, model="lorenz63", method="gauss-newton", window=101, overlap=1, **options
    )
    error = analysis["analysis"].values - fine_truth[::10]
    assert np.sqrt(np.mean(error**2)) < 0.15
    # The innovations are about as large as the errors: between the steps, not at the nearest one,
    # where the state is off by up to half a step times a velocity of tens, 0.5.
    assert np.nanstd(analysis["point_innovation"]) < 0.12
    rounded = table.assign_coords(time=("obs", np.rint(table["time"].values / 0.01) * 0.01))
    coarse = pyvda.on_grid(rounded, 0.01, 3, start=0.0, stop=4.0)
    worse = pyvda.assimilate(
        coarse, model="lorenz63", method="gauss-newton", window=101, overlap=1, **options
    )
    assert np.nanstd(worse["point_innovation"]) > 1.5 * np.nanstd(analysis["point_innovation"])


@pytest.mark.parametrize("parameters", [False, True])
def test_strong_constraint_finds_the_window_of_irregular_times(table, fine_truth, parameters):
    ds = pyvda.on_grid(table, 0.01, 3, start=0.0, stop=2.0)
    # In the truth's basin the error is that of the noise, 0.1, over what 60 data leave of it.
    found = pyvda.assimilate(
        ds, model="lorenz63", method="strong-constraint", parameters=parameters, count=5
    )
    assert found["status"].values == 0
    error = found["analysis"].values - fine_truth[:2001:10]
    assert np.sqrt(np.mean(error**2)) < 0.1
    assert np.mean((error / found["state_stdev"].values) ** 2) < 4
    assert 0.05 < np.nanstd(found["point_innovation"]) < 0.15


def test_every_datum_is_in_the_window_of_its_time(table):
    located = point_observations.located(pyvda.on_grid(table, 0.01, 3, start=0.0, stop=4.0))
    windows = pyvda.state.windows.cut(located, 100, 20)
    position = windows["point_position"].values
    start = windows["window_start"].values[:, None]
    chosen = np.isfinite(position)
    assert ((position >= 0) & (position < 100))[chosen].all()
    time = (position + start) * 0.01
    np.testing.assert_allclose(windows["point_time"].values[chosen], time[chosen], atol=1e-9)
    seen = {round(t, 6) for t in time[chosen]}
    assert seen == {round(float(t), 6) for t in table["time"].values}


def test_a_linear_operator_is_observed(fine_truth):
    rng = np.random.default_rng(7)
    times = np.sort(rng.choice(999, 150, replace=False) + 1) * FINE
    operator = rng.standard_normal((150, 3))
    value = (operator * fine_truth[np.rint(times / FINE).astype(int)]).sum(1)
    table = xr.Dataset(
        {"observation": ("obs", value), "operator": (("obs", "state"), operator)},
        {"time": ("obs", times)},
    )
    ds = pyvda.on_grid(table, 0.01, 3, start=0.0, stop=1.0)
    analysis = pyvda.assimilate(
        ds, model="lorenz63", method="gauss-newton", form="statistical", observation_variance=1e-4,
        model_error=1e-2,
    )  # fmt: skip
    assert np.sqrt(np.mean((analysis["analysis"].values - fine_truth[:1001:10]) ** 2)) < 0.05


def test_a_datum_at_a_step_is_an_observation_of_the_grid():
    truth = pyvda.simulate("lorenz63", 4, 1)
    observed = pyvda.observe(truth, "lorenz63", 2)
    values = observed["observation"].values
    there = np.isfinite(values)
    count = there.sum((1, 2)).max()
    point = {name: np.full((4, count), np.nan) for name in ("time", "value")}
    operator = np.zeros((4, count, 3))
    for w in range(4):
        step, component = np.nonzero(there[w])
        point["time"][w, : len(step)] = observed["time"].values[step]
        point["value"][w, : len(step)] = values[w, step, component]
        operator[w, np.arange(len(step)), component] = 1
    as_points = observed.drop_vars("truth", errors="ignore").assign(
        observation=observed["observation"] * np.nan,
        point_observation=(("window", "datum"), point["value"]),
        point_operator=(("window", "datum", "state"), operator),
        point_time=(("window", "datum"), point["time"]),
    )
    methods = (("fsgd", {"iterations": 200}), ("gauss-newton", {}), ("strong-constraint", {}))
    for method, options in methods:
        found = pyvda.assimilate(as_points, model="lorenz63", method=method, **options)
        expected = pyvda.assimilate(observed, model="lorenz63", method=method, **options)
        tolerance = 1e-6 * np.abs(expected["analysis"]).max().item()
        np.testing.assert_allclose(found["analysis"], expected["analysis"], atol=tolerance)
        np.testing.assert_allclose(found["cost"], expected["cost"], rtol=1e-6)


def test_lazy_windows_keep_their_points(table):
    ds = pyvda.on_grid(table, 0.01, 3, start=0.0, stop=4.0)
    eager = pyvda.assimilate(ds, model="lorenz63", iterations=20, window=50, overlap=10)
    lazy = pyvda.assimilate(
        ds.chunk(time=150), model="lorenz63", iterations=20, window=50, overlap=10
    )
    assert lazy["analysis"].chunks is not None
    xr.testing.assert_allclose(eager[["analysis", "point_innovation"]],
                               lazy[["analysis", "point_innovation"]].compute())  # fmt: skip


def test_dates_are_times_too(table):
    hours = np.datetime64("2001-01-01") + np.rint(table["time"].values * 3.6e6).astype(
        "timedelta64[ms]"
    )
    dated = pyvda.on_grid(table.assign_coords(time=("obs", hours)), "36s", 3)
    plain = pyvda.on_grid(table, 0.01, 3)
    assert dated.sizes == plain.sizes
    found = pyvda.assimilate(dated, model="lorenz63", time_step=0.01, iterations=10)
    expected = pyvda.assimilate(plain, model="lorenz63", iterations=10)
    np.testing.assert_allclose(found["analysis"], expected["analysis"], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop_vars("component"), "what was observed"),
        (lambda t: t.drop_vars("time"), "needs 'time'"),
        (lambda t: t.assign(component=t["component"] + 2), "integers from 0 to 2"),
        (
            lambda t: t.assign(other=t["value"]).rename(value="first"),
            "found first, other; choose one by its name",
        ),
        (lambda t: t.assign(value=t["value"] * np.nan), "no value with a time"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(table, change, message):
    with pytest.raises(InputError, match=message):
        pyvda.on_grid(change(table), 0.01, 3)


def test_data_beyond_the_last_time_asked_for_are_left_out():
    table = xr.Dataset(
        {"value": ("obs", [1.0, 2.0, 3.0, 4.0]), "component": ("obs", [0, 0, 0, 0])},
        {"time": ("obs", [0.0, 0.5, 0.95, 0.97])},
    )
    found = pyvda.on_grid(table, 0.1, 3, stop=0.95)
    np.testing.assert_array_equal(found.point_time, [0.0, 0.5, 0.95])
    assert float(found.time[-1]) >= 0.95
    found = pyvda.on_grid(table, 0.1, 3, start=0.5, stop=0.97)
    np.testing.assert_array_equal(found.point_time, [0.5, 0.95, 0.97])


@pytest.mark.parametrize("step", [0.0, -1.0, "6h", 1e9])
def test_invalid_steps_of_the_axis_are_refused(table, step):
    if step == 1e9:
        assert pyvda.on_grid(table, step, 3).sizes["time"] == 2
        return
    with pytest.raises(InputError, match=r"step|analysis times"):
        pyvda.on_grid(table, step, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.assign(point_observation=d["point_observation"] / 0), "infinite"),
        (lambda d: d.assign(point_coefficient=d["point_coefficient"] * 0), "rows of zeros"),
        (lambda d: d.assign(point_error=d["point_error"] * 0), "positive"),
        (lambda d: d.assign_coords(point_time=d["point_time"] + 10), "outside the analysis times"),
        (lambda d: d.drop_vars("point_time"), "needs point_time"),
    ],
)
def test_data_that_cannot_be_assimilated_are_refused(table, change, message):
    ds = pyvda.on_grid(table, 0.01, 3)
    with pytest.raises(InputError, match=message):
        pyvda.assimilate(change(ds), model="lorenz63", iterations=1)


@pytest.mark.parametrize("method", ["posterior-mean", "annealed"])
def test_methods_that_require_the_grid_refuse_points(table, method):
    said = rf"^{method} takes .* choose fsgd, gauss-newton, .*strong-constraint.* without"
    with pytest.raises(InputError, match=said):
        pyvda.assimilate(pyvda.on_grid(table, 0.01, 3), model="lorenz63", method=method)


def test_names_of_the_file_format_are_those_documented():
    documented = re.findall(r"^ {4}(point_\w+) +\(", point_observations.__doc__, re.MULTILINE)
    assert {*documented} == {*names.POINTS} - {names.POINT_POSITION}


def test_the_command_line_takes_a_table(table, tmp_path, monkeypatch, capsys):
    from command_line import run

    table.to_netcdf(tmp_path / "table.nc")
    out = tmp_path / "analysis.nc"
    common = ["assimilate", tmp_path / "table.nc", "-o", out, "--quiet", "--model", "lorenz63"]
    assert run(monkeypatch, *common, "--grid-step", "0.01", "--iterations", "10") == 0
    found = xr.open_dataset(out)
    expected = pyvda.assimilate(pyvda.on_grid(table, 0.01, 3), model="lorenz63", iterations=10)
    np.testing.assert_allclose(found["analysis"], expected["analysis"], atol=1e-9)
    assert found["point_innovation"].dims == ("window", "datum")
    out.unlink()
    assert run(monkeypatch, *common) == 2
    assert "--grid-step" in capsys.readouterr().err
    assert not out.exists()


def test_a_table_can_be_checked(table, tmp_path, monkeypatch):
    from command_line import run

    table.to_netcdf(tmp_path / "table.nc")
    common = ["check", "--model", "lorenz63", "--obs", tmp_path / "table.nc", "--window", 100]
    found = tmp_path / "checks.json"
    assert run(monkeypatch, *common, "--grid-step", "0.01", "--json", found, "--quiet") == 0
    content = json.loads(found.read_text())
    assert "of 100 steps" in content["subject"]
    between = [c for c in content["checks"] if "between steps" in c["name"]]
    assert len(between) == 8
    assert all(check["passed"] for check in between)
