"""Groups of files and DataTrees, and the groups of IODA."""

import netCDF4
import numpy as np
import pytest
import xarray as xr

from pyvda import get_model
from pyvda.errors import InputError
from pyvda.io.sources.open import open_observations
from pyvda.io.sources.sources import as_dataset
from pyvda.notices import Notice

VALUES = np.random.default_rng(3).normal(size=(12, 3))
SERIES = xr.Dataset({"observation": (("time", "state"), VALUES)}, {"time": 0.01 * np.arange(12)})


@pytest.fixture(params=["nc", "zarr"])
def grouped(request, tmp_path):
    path = tmp_path / f"obs.{request.param}"
    tree = xr.DataTree.from_dict({"/morning/high": SERIES, "/evening": SERIES + 1})
    if request.param == "zarr":
        tree.to_zarr(path, zarr_format=2)
    else:
        tree.to_netcdf(path)
    return path


def test_a_group_is_chosen_as_the_message_says(grouped):
    with pytest.raises(InputError, match=r"groups .*morning/high.*choose one with") as refused:
        open_observations(grouped)
    advised = str(refused.value).partition("group='")[2].partition("'")[0]
    assert open_observations(grouped, group=advised).observation.shape == VALUES.shape
    for name in ("morning/high", "/morning/high", "morning"):
        found = open_observations(grouped, group=name)
        np.testing.assert_array_equal(found.observation, VALUES)
    with pytest.raises(InputError, match=r"no group 'noon'; the groups are .*evening"):
        open_observations(grouped, group="noon")


def test_data_trees_are_read_like_files(grouped):
    tree = xr.open_datatree(grouped)
    np.testing.assert_array_equal(open_observations(tree["morning"]).observation, VALUES)
    np.testing.assert_array_equal(open_observations(tree, group="evening").observation, VALUES + 1)
    with pytest.raises(InputError, match="choose one with group="):
        open_observations(tree)
    root = xr.DataTree.from_dict({"/": SERIES, "/other": SERIES + 1})
    np.testing.assert_array_equal(open_observations(root).observation, VALUES)


def test_the_only_group_with_data_is_taken_with_the_coordinates_around_it(tmp_path):
    inside = SERIES.drop_vars("time")
    tree = xr.DataTree.from_dict({"/": SERIES[["time"]], "/science": inside})
    tree.to_netcdf(tmp_path / "obs.nc")
    found = open_observations(tmp_path / "obs.nc")
    np.testing.assert_array_equal(found.time, SERIES.time)
    np.testing.assert_array_equal(found.observation, VALUES)


def test_a_group_of_something_without_groups():
    with pytest.raises(InputError, match="the group 'a' is one of a file or a DataTree"):
        open_observations(SERIES, group="a")


@pytest.fixture
def ioda(tmp_path):
    """Write a file in IODA's layout with plain netCDF4."""
    with netCDF4.Dataset(tmp_path / "ioda.nc", "w") as file:
        file.createDimension("Location", 12)
        file.createVariable("Location", "i8", ("Location",))[:] = np.arange(12)
        time = file.createVariable("MetaData/dateTime", "i8", ("Location",))
        time.units = "seconds since 1970-01-01T00:00:00Z"
        time[:] = 1_600_000_000 + 3600 * np.arange(12)
        file.createVariable("MetaData/latitude", "f4", ("Location",))[:] = 50.0
        for n, name in enumerate("xyz"):
            for group, values in (("ObsValue", VALUES[:, n]), ("ObsError", np.full(12, 0.5 + n))):
                file.createVariable(f"{group}/{name}", "f4", ("Location",))[:] = values
            flag = file.createVariable(f"PreQC/{name}", "i4", ("Location",), fill_value=-1)
            flag[:] = np.where(np.arange(12) == 3, 9, 0)
    return tmp_path / "ioda.nc"


def test_the_groups_of_ioda_are_joined(ioda):
    ds = as_dataset(ioda)
    assert ds.x.attrs["ancillary_variables"] == "x_error x_preqc"
    np.testing.assert_allclose(ds.z, VALUES[:, 2], rtol=1e-6)
    assert ds.time.dtype.kind == "M"
    with pytest.warns(Notice, match="3 observations are not used"):
        found = open_observations(ioda, model=get_model("lorenz63"))
    assert found.observation[3].isnull().all()  # the flag PreQC is 9
    np.testing.assert_array_equal(found.observation_error[0], [0.5, 1.5, 2.5])
    expected = VALUES.astype("f4").copy()
    np.testing.assert_array_equal(found.observation.isel(time=[0, 1, 2, 4]), expected[[0, 1, 2, 4]])


def test_the_first_version_of_ioda(tmp_path):
    time = [f"2020-01-01T{hour:02d}:00:00Z" for hour in range(12)]
    data = {f"{n}@ObsValue": ("nlocs", VALUES[:, k]) for k, n in enumerate("xyz")}
    data |= {f"{n}@ObsError": ("nlocs", np.ones(12)) for n in "xyz"}
    xr.Dataset({**data, "datetime@MetaData": ("nlocs", time)}).to_netcdf(tmp_path / "old.nc")
    ds = as_dataset(tmp_path / "old.nc")
    assert set(ds.data_vars) == {"x", "y", "z", "x_error", "y_error", "z_error"}
    assert ds.time.dims == ("nlocs",)


def test_ioda_without_times_is_refused(ioda):
    tree = xr.open_datatree(ioda)
    tree["MetaData"] = xr.DataTree(tree["MetaData"].to_dataset().drop_vars("dateTime"))
    with pytest.raises(InputError, match="MetaData has no dateTime"):
        as_dataset(tree)
