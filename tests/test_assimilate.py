"""From a file of observations to an analysis, also with files that pyvda did not make."""

import json
from collections import Counter

import dask
import dask.array
import netCDF4
import numpy as np
import pytest
import xarray as xr

import pyvda
import pyvda.io.netcdf
import pyvda.methods
from pyvda import names
from pyvda.engine import CostSettings, get_engine
from pyvda.errors import InputError
from pyvda.models.registry import get_model, get_preset

ITERATIONS = 400


@pytest.fixture(scope="module")
def truth() -> xr.Dataset:
    return pyvda.simulate("lorenz63", 9, 21)


@pytest.fixture(scope="module")
def observed(truth: xr.Dataset) -> xr.Dataset:
    return pyvda.observe(truth, "lorenz63", 22)


@pytest.fixture(scope="module")
def analysis(observed: xr.Dataset) -> xr.Dataset:
    return pyvda.assimilate(observed, model="lorenz63", iterations=ITERATIONS)


def test_the_analysis_holds_what_the_file_format_promises(observed, analysis) -> None:
    x = analysis["analysis"].values
    y = observed["observation"].values
    np.testing.assert_allclose(analysis["innovation"].values, y - x)
    mask = np.isfinite(y).astype(float)
    cost = get_engine().cost(
        get_model("lorenz63"), CostSettings(0.01), x, np.nan_to_num(y), mask, gradient=False
    )
    np.testing.assert_allclose(analysis["cost"].values, cost.total)
    np.testing.assert_allclose(
        analysis["cost_observation"] + analysis["cost_dynamics"], analysis["cost"]
    )
    assert (analysis["flag"].values[mask > 0] == names.Flag.OBSERVED).all()
    assert (analysis["iterations"] == ITERATIONS).all()
    configuration = json.loads(analysis.attrs["pyvda_configuration"])
    assert configuration["method"] == "fsgd"
    assert configuration["options"]["iterations"] == ITERATIONS
    assert configuration["cost"]["time_step"] == 0.01
    lines = analysis.attrs["history"].splitlines()
    assert len(lines) == 3
    assert "assimilate, fsgd on lorenz63" in lines[-1]


def test_assimilation_beats_the_first_guess(truth, observed, analysis) -> None:
    start = pyvda.assimilate(observed, model="lorenz63", iterations=0)
    before = pyvda.evaluate(start, truth)
    after = pyvda.evaluate(analysis, truth)
    assert after["r_score"].mean() < 0.7 * before["r_score"].mean()
    assert (after["four_dvar_score"] < before["four_dvar_score"]).all()


def test_scores_are_those_of_the_paper(truth, analysis) -> None:
    found = pyvda.evaluate(analysis, truth)
    error = (analysis["analysis"].values - truth["truth"].values) ** 2
    np.testing.assert_allclose(found["r_score"], error.mean((1, 2)))
    np.testing.assert_allclose(found["r_score_steps_20_179"], error[:, 20:180].mean((1, 2)))
    # With every observation of weight 1 the 4DVar-score is the cost that was minimised.
    np.testing.assert_allclose(found["four_dvar_score"], analysis["cost"].values, rtol=1e-10)
    assert (found["ode_score"] < 1e-9).all()


def test_dask_blocks_give_the_same_bits(observed, analysis, tmp_path) -> None:
    pyvda.save_analysis(observed, tmp_path / "obs.nc")
    lazy = pyvda.open_observations(tmp_path / "obs.nc", chunks={"window": 4})
    result = pyvda.assimilate(lazy, model="lorenz63", iterations=ITERATIONS)
    assert result["analysis"].chunks is not None
    assert result["analysis"].chunks[0] == (4, 4, 1)
    pyvda.save_analysis(result, tmp_path / "analysis.nc")
    stored = pyvda.io.netcdf.open_dataset(tmp_path / "analysis.nc")
    for name in ("analysis", "innovation", "flag", "cost", "status", "iterations"):
        np.testing.assert_array_equal(stored[name].values, analysis[name].values)


SAMPLING: list[dict[str, object]] = [
    {"iterations": 1},
    {"method": "ensemble-smoother", "members": 10, "robust": True},
    {"method": "gauss-newton", "form": "statistical", "observation_variance": "estimate"},
    {"method": "gauss-newton", "form": "statistical", "model_error": "estimate"},
    {"warm_start": "lorenz63-direct", "iterations": 1},
    {"checkpoint": "lorenz63-direct"},
]


@pytest.mark.parametrize("keywords", SAMPLING)
def test_a_file_in_chunks_is_read_at_most_twice(observed, keywords) -> None:
    """Once to check it, and once for the sample from which something is estimated and the rest."""
    learned = {"warm_start", "checkpoint"} & keywords.keys()
    observed = observed.isel(time=slice(0, None if learned else 60))
    values = observed["observation"].values
    reads: Counter[int] = Counter()

    def read(block: np.ndarray, block_info=None) -> np.ndarray:
        reads[block_info[0]["chunk-location"][0]] += 1
        return block

    source = dask.array.from_array(values, chunks=(4, -1, -1))
    counted = source.map_blocks(read, dtype=float, meta=np.empty((0, 0, 0)))
    ds = observed.assign(observation=(names.DIMENSIONS, counted))
    model = {} if "checkpoint" in keywords else {"model": "lorenz63"}
    found = pyvda.assimilate(ds, **model, **keywords)
    assert found["analysis"].chunks[0] == (4, 4, 1)
    with dask.config.set(scheduler="synchronous"):
        found = found.compute()
    assert np.isfinite(found["analysis"]).all()
    assert dict(reads) == {0: 2, 1: 2, 2: 2}


def test_blocks_are_assimilated_one_at_a_time(observed, monkeypatch) -> None:
    sizes = []
    method = pyvda.methods.METHODS["fsgd"]

    def spy(problem, options, **more):
        sizes.append(len(problem.batch))
        return method.solve(problem, options, **more)

    monkeypatch.setitem(pyvda.methods.METHODS, "fsgd", method._replace(solve=spy))
    result = pyvda.assimilate(observed.chunk(window=2), model="lorenz63", iterations=1)
    assert sizes == []
    with dask.config.set(scheduler="synchronous"):
        result.compute()
    assert sorted(sizes) == [1, 2, 2, 2, 2]


@pytest.mark.parametrize("chunks", [None, {"time": 150}])
def test_a_series_is_cut_and_merged(tmp_path, chunks) -> None:
    setting = get_preset("lorenz63")
    x = get_engine().simulate(
        setting.model, np.array([[1.0, 2.0, 20.0]]), time_step=0.01, steps=1000, spinup=20.0
    )[0]
    y = np.where(np.arange(1000)[:, None] % 8 == 0, x, np.nan)
    y[:, 1:] = np.nan
    series = xr.Dataset(
        {"observation": (("time", "state"), y)}, {"time": np.arange(1000) * 0.01 + 5.0}
    )
    pyvda.save_analysis(series, tmp_path / "series.nc")
    observed = pyvda.open_observations(tmp_path / "series.nc", chunks=chunks)
    result = pyvda.assimilate(
        observed, model="lorenz63", window=200, overlap=50, iterations=2000
    ).compute()
    assert result["analysis"].dims == ("time", "state")
    np.testing.assert_allclose(result["time"], series["time"])
    assert result.sizes["window"] == 7
    # The core of the first window is what that window alone gives.
    alone = pyvda.assimilate(series.isel(time=slice(0, 200)), model="lorenz63", iterations=2000)
    np.testing.assert_array_equal(result["analysis"].values[:150], alone["analysis"].values[:150])
    assert np.mean((result["analysis"].values - x) ** 2) < 2.0


def test_a_file_made_by_others(tmp_path) -> None:
    """Packed, dated, dimensions shuffled, other variables: the analysis of the plain file."""
    truth = pyvda.simulate("lorenz63", 3, 31)
    plain = pyvda.observe(truth, "lorenz63", 32)
    y = plain["observation"].values
    scale = 0.001
    packed = np.round(y / scale)
    with netCDF4.Dataset(tmp_path / "other.nc", "w") as file:
        for name, size in (("component", 3), ("sample", 3), ("t", 200), ("station", 5)):
            file.createDimension(name, size)
        time = file.createVariable("t", "f8", ("t",))
        time.units, time.calendar, time.standard_name = "hours since 2020-01-01", "standard", "time"
        time[:] = np.arange(200) * 6.0
        value = file.createVariable("level", "i4", ("component", "t", "sample"), fill_value=-99999)
        value.standard_name, value.units = "sea_surface_height", "m"
        value.scale_factor, value.add_offset = scale, 0.0
        value.set_auto_maskandscale(False)
        value[:] = np.where(np.isnan(packed), -99999, packed).astype(int).transpose(2, 1, 0)
        file.createVariable("position", "f8", ("station",))[:] = np.arange(5.0)
        file.createVariable("quality", "i4", ("t",))[:] = 1
    observed = pyvda.open_observations(tmp_path / "other.nc", "sea_surface_height")
    with pytest.raises(InputError, match=r"--time-step.*0\.01"):
        pyvda.assimilate(observed, model="lorenz63")
    result = pyvda.assimilate(observed, model="lorenz63", time_step=0.01, iterations=ITERATIONS)
    expected = pyvda.assimilate(
        plain.assign(observation=(plain["observation"].dims, packed * scale)),
        model="lorenz63", iterations=ITERATIONS,
    )  # fmt: skip
    np.testing.assert_allclose(
        result["analysis"].values, expected["analysis"].values, rtol=1e-9, atol=1e-9
    )
    assert result["analysis"].attrs["units"] == "m"
    assert result["time"].dtype.kind == "M"


def test_errors_of_single_data_are_weights(observed) -> None:
    y = observed["observation"]
    error = xr.full_like(y, np.sqrt(2.0))
    error[:, 96:] = 10.0
    weighted = pyvda.assimilate(
        observed.assign(observation_error=error), model="lorenz63", iterations=0
    )
    x, mask = weighted["analysis"].values, np.isfinite(y.values)
    variance = (error.values**2)[mask].mean()
    weight = np.where(mask, variance / error.values**2, 0.0)
    misfit = np.nansum(weight * (x - y.values) ** 2, (1, 2)) / mask.sum((1, 2))
    np.testing.assert_allclose(weighted["cost_observation"], 0.01 * misfit)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "lorenz"}, "unknown model"),
        ({"model": "lorenz96"}, "state of 3 components, lorenz96 has 40"),
        ({"method": "4dvar"}, "unknown method '4dvar'; choose one of fsgd"),
        ({"iteration": 5}, "unknown key iteration; .* \\(iterations, "),
        ({"iterations": -5}, "options of fsgd: iterations is -5"),
        ({"variable": "nothing"}, "nothing"),
        ({"window": 100}, "have windows already"),
        ({"time_step": -1.0}, "time_step is -1.0"),
        ({"engine": "fortran"}, "unknown engine 'fortran'"),
    ],
)
def test_unusable_input_is_refused_in_one_sentence(observed, arguments, message) -> None:
    with pytest.raises(InputError, match=message) as error:
        pyvda.assimilate(observed, **{"model": "lorenz63", **arguments})
    assert "\n" not in str(error.value)


def test_the_size_in_the_refusal_of_another_state_size_works() -> None:
    ds = xr.Dataset(
        {"observation": (("time", "state"), np.random.default_rng(3).standard_normal((10, 36)))},
        {"time": 0.05 * np.arange(10)},
    )
    with pytest.raises(InputError, match=r"get_model\(name, state_size=36\)"):
        pyvda.assimilate(ds, model="lorenz96", iterations=1)
    model = get_model("lorenz96", state_size=36)
    assert pyvda.assimilate(ds, model=model, iterations=1).sizes["state"] == 36


@pytest.mark.parametrize(("step", "diverged"), [(0.01, False), (1.0, True), (3600.0, True)])
def test_an_analysis_that_the_model_leaves_at_once_has_diverged(step, diverged):
    values = 5 * np.random.default_rng(0).normal(size=(40, 3))
    values[1::2] = np.nan
    ds = xr.Dataset({"observation": (("time", "state"), values)})
    for method in ("fsgd", "gauss-newton"):
        found = pyvda.assimilate(
            ds, model="lorenz63", method=method, time_step=step, iterations=3, engine="torch"
        )
        assert (found.status.item() == names.Status.DIVERGED) == diverged
