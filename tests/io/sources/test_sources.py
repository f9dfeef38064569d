"""What may be given in place of a Dataset, and what is said of the rest."""

import io

import netCDF4
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

import pyvda
from pyvda.errors import InputError
from pyvda.io.sources.sources import as_dataset

VALUES = np.random.default_rng(3).normal(size=(12, 3))
TIME = 0.01 * np.arange(12)
SERIES = xr.Dataset({"observation": (("time", "state"), VALUES)}, {"time": TIME})
HOW = {"model": "lorenz63", "method": "gauss-newton", "iterations": 2, "engine": "torch"}


@pytest.fixture(scope="module")
def expected() -> xr.Dataset:
    return pyvda.assimilate(SERIES, **HOW)


def states(analysis: xr.Dataset) -> xr.DataArray:
    """Return the states of an analysis, whatever its variables are."""
    if "analysis" in analysis:
        return analysis["analysis"]
    return analysis[["x", "y", "z"]].to_array("state").transpose("time", "state")


def named(array: xr.DataArray, name: object) -> xr.DataArray:
    return array.rename(name)


FRAME = pd.DataFrame(VALUES, index=pd.Index(TIME, name="time"), columns=list("xyz"))
LONG = FRAME.stack().rename("value").rename_axis(["time", "component"])
FORMS = {
    "array": SERIES.observation,
    "array without a name": named(SERIES.observation, None),
    "array of another name": named(SERIES.observation, "sst"),
    "array called as a component": named(SERIES.observation, "x"),
    "array called truth": named(SERIES.observation, "truth"),
    "array of dask": SERIES.observation.chunk({"time": 4}),
    "array with named components": SERIES.observation.rename(state="component").assign_coords(
        component=["x", "y", "z"]
    ),
    "array with components in another order": SERIES.observation[:, ::-1].assign_coords(
        state=["z", "y", "x"]
    ),
    "to_array": SERIES.observation.assign_coords(state=list("xyz")).to_dataset("state").to_array(),
    "tree": xr.DataTree(SERIES),
    "tree of one group": xr.DataTree.from_dict({"/day": SERIES}),
    "frame": FRAME,
    "frame in another order": FRAME[["y", "z", "x"]],
    "frame with a column of times": FRAME.reset_index(),
    "frame of numbered columns": FRAME.set_axis(range(3), axis=1),
    "long frame": LONG.reset_index(),
    "long frame of numbers": LONG.reset_index().replace({"component": {"x": 0, "y": 1, "z": 2}}),
    "long frame shuffled": LONG.reset_index().sample(frac=1, random_state=1),
    "melted frame": FRAME.reset_index().melt("time"),
    "series of two levels": LONG,
    "frame of two levels": LONG.to_frame(),
    "to_xarray of a frame": FRAME.to_xarray(),
    "to_xarray of two levels": LONG.to_xarray(),
    "to_xarray of rows": LONG.reset_index().to_xarray(),
    "list of datasets": [SERIES.isel(time=slice(6, 12)), SERIES.isel(time=slice(0, 6))],
    "list of one array": [SERIES.observation],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_analysis(form, expected):
    found = pyvda.assimilate(FORMS[form], **HOW)
    np.testing.assert_allclose(states(found), expected["analysis"], rtol=1e-12)


def test_a_component_that_a_table_lacks_is_not_observed(expected):
    part = FRAME[["z", "x"]]
    without = SERIES.assign(observation=SERIES.observation.where(SERIES.state != 1))
    known = pyvda.assimilate(without, **HOW)
    for form in (part, part.stack().rename_axis(["time", "component"])):
        np.testing.assert_allclose(states(pyvda.assimilate(form, **HOW)), known["analysis"])
    labelled = SERIES.observation[:, [2, 0]].assign_coords(state=["z", "x"])
    np.testing.assert_allclose(pyvda.assimilate(labelled, **HOW)["analysis"], known["analysis"])


def test_a_path_a_store_and_a_list_of_paths(tmp_path, expected):
    SERIES.to_netcdf(tmp_path / "obs.nc")
    for n in range(3):
        SERIES.isel(time=slice(4 * n, 4 * n + 4)).to_netcdf(tmp_path / f"part_{n}.nc")
    SERIES.to_zarr(tmp_path / "obs.zarr", zarr_format=2)
    LONG.reset_index().to_csv(tmp_path / "table.csv", index=False)
    given = [
        tmp_path / "obs.nc",
        str(tmp_path / "part_*.nc"),
        [tmp_path / f"part_{n}.nc" for n in (2, 0, 1)],
        zarr.storage.LocalStore(tmp_path / "obs.zarr"),
        tmp_path / "table.csv",
    ]
    for one in given:
        np.testing.assert_allclose(pyvda.assimilate(one, **HOW)["analysis"], expected["analysis"])


def test_truths_and_analyses_are_read_from_files(tmp_path):
    truth = pyvda.simulate("lorenz63", 2, 1, steps=20)
    pyvda.save_analysis(truth, tmp_path / "truth.nc")
    observed = pyvda.observe(tmp_path / "truth.nc", "lorenz63", 2)
    xr.testing.assert_identical(
        observed.drop_attrs(), pyvda.observe(truth, "lorenz63", 2).drop_attrs()
    )
    analysis = pyvda.assimilate(observed, iterations=2, engine="torch")
    pyvda.save_analysis(analysis, tmp_path / "analysis.nc")
    scores = pyvda.evaluate(str(tmp_path / "analysis.nc"), str(tmp_path / "truth.nc"))
    for name, values in pyvda.evaluate(analysis, truth).items():
        np.testing.assert_allclose(scores[name], values)
    forecast = pyvda.forecast(tmp_path / "analysis.nc", 3, engine="torch")
    assert forecast.sizes["time"] == 3


class Frame:
    """What a table of polars or pyarrow offers."""

    def to_pandas(self) -> pd.DataFrame:
        return FRAME


# What was given, what is said, and the remedy, done.
REFUSED = {
    "numpy": (VALUES, "does not say which", lambda v: xr.DataArray(v, dims=("time", "state"))),
    "windows": (
        VALUES.reshape(1, 12, 3), r"dims=\('window', 'time', 'state'\)",
        lambda v: xr.DataArray(v, dims=("window", "time", "state")),
    ),
    "lists": (VALUES.tolist(), "name them", lambda v: xr.DataArray(v, dims=("time", "state"))),
    "columns": (
        {"time": TIME, "x": VALUES[:, 0]}, r"columns \(pandas.DataFrame\)", pd.DataFrame,
    ),
    "arrays": ({"observation": SERIES.observation}, r"\(xarray.Dataset\)", xr.Dataset),
    "dict": (SERIES.to_dict(), "Dataset.from_dict", xr.Dataset.from_dict),
    "polars": (Frame(), "its method to_pandas", Frame.to_pandas),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_the_remedy_of_a_refusal_works(kind):
    given, message, remedy = REFUSED[kind]
    with pytest.raises(InputError, match=message) as refused:
        pyvda.assimilate(given, **HOW)
    assert str(refused.value).startswith("the argument observations is a ")
    found = pyvda.assimilate(remedy(given), time_step=0.01, **HOW)
    assert found.sizes["time"] == 12


@pytest.mark.parametrize("given", [3, None, object(), [1], {"a": 1}, [SERIES, 3], lambda: 1])
def test_anything_else_is_refused(given):
    with pytest.raises(InputError, match=r"the argument observations is a .*expected an"):
        as_dataset(given)


def test_an_open_file_is_refused_with_its_path(tmp_path):
    SERIES.to_netcdf(tmp_path / "obs.nc")
    with (
        netCDF4.Dataset(tmp_path / "obs.nc") as file,
        pytest.raises(InputError, match="give the path of the file") as refused,
    ):
        as_dataset(file)
    advised = str(refused.value).rpartition("'")[0].rpartition("'")[2]
    np.testing.assert_array_equal(as_dataset(advised).observation, VALUES)
    with pytest.raises(InputError, match="the path of the file and not the open file"):
        as_dataset(io.BytesIO(b"CDF"))


def test_numbers_as_names_become_text():
    """As xarray takes them, and netCDF does not."""
    ds = xr.Dataset({5: ((0, "state"), np.zeros((4, 3)))}).rename({0: "time"})
    assert list(as_dataset(ds).data_vars) == ["5"]
    assert pyvda.open_observations(ds).observation.sizes == {"time": 4, "state": 3}


def test_an_iterator_of_paths_is_a_list(tmp_path):
    values = np.random.default_rng(0).normal(size=(8, 3))
    for k in range(2):
        part = xr.Dataset({"observation": (("time", "state"), values[4 * k : 4 * k + 4])})
        part.assign_coords(time=0.01 * np.arange(4 * k, 4 * k + 4)).to_netcdf(tmp_path / f"{k}.nc")
    found = pyvda.open_observations(tmp_path.glob("*.nc"))
    np.testing.assert_array_equal(found.observation, values)
    analysis = pyvda.assimilate(
        tmp_path.glob("*.nc"), model="lorenz63", engine="torch", iterations=1
    )
    assert analysis.sizes["time"] == 8
    for empty in (tmp_path.glob("*.nothing"), [], ()):
        with pytest.raises(InputError, match=r"is an empty .*; give at least one file"):
            pyvda.assimilate(empty, model="lorenz63")
