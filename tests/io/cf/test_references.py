"""Bounds, grid mappings and measures of cells go the whole way from one file to the other."""

import netCDF4
import numpy as np
import pytest
import xarray as xr

import pyvda
from pyvda.io.cf.references import named_by, written

TIMES = np.datetime64("2020-01-01", "ns") + np.arange(60) * np.timedelta64(1, "h")


def grid():
    """Return three variables over time and a dimension with bounds, and a grid mapping."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, 8))
    values[1::2] = np.nan
    attrs = {"grid_mapping": "crs", "cell_methods": "time: mean", "cell_measures": "area: area",
             "units": "m"}  # fmt: skip
    ds = xr.Dataset(
        {
            "x": (("time", "k"), values, attrs),
            "crs": ((), 0, {"grid_mapping_name": "latitude_longitude"}),
            "time_bnds": (("time", "nv"), np.stack([TIMES, TIMES + np.timedelta64(1, "h")], 1)),
            "k_bnds": (("k", "nv"), np.arange(16.0).reshape(8, 2)),
            "area": ("k", np.ones(8), {"standard_name": "cell_area", "units": "m2"}),
            "unrelated": ("k", np.ones(8)),
        },
        {
            "time": ("time", TIMES, {"bounds": "time_bnds"}),
            "k": ("k", np.arange(8.0), {"bounds": "k_bnds", "long_name": "place", "units": "1"}),
        },
        {"source": "mooring, instrument 7", "references": "doi:10.1"},
    )
    ds.encoding["unlimited_dims"] = {"time"}
    return ds


@pytest.mark.parametrize("window", [None, 30])
@pytest.mark.parametrize("decode", [True, "all"])
@pytest.mark.parametrize("name", ["x", "level"])
@pytest.mark.parametrize("lazy", [False, True])
def test_what_the_observations_refer_to_is_in_the_analysis(tmp_path, window, decode, name, lazy):
    source = grid().rename(x=name)
    source.to_netcdf(tmp_path / "obs.nc", encoding={"time": {"units": "hours since 2019-01-01"}})
    with xr.open_dataset(tmp_path / "obs.nc", decode_coords=decode) as ds:
        analysis = pyvda.assimilate(
            ds.chunk() if lazy else ds, model=pyvda.get_model("lorenz96", state_size=8),
            variable=name, iterations=2, step=1.0, time_step=0.05, window=window, engine="torch",
        )  # fmt: skip
        pyvda.save_analysis(analysis, tmp_path / "a.nc")
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        assert file.dimensions["time"].isunlimited()
        assert file.source == "mooring, instrument 7"
        assert file.references == "doi:10.1"
        values = file["analysis" if "analysis" in file.variables else name]
        assert values.grid_mapping == "crs"
        assert values.cell_methods == "time: mean"
        assert file["crs"].grid_mapping_name == "latitude_longitude"
        assert file["time"].bounds == "time_bnds"
        assert file["time"].standard_name == "time"
        assert file["time"].units == "hours since 2019-01-01"
        np.testing.assert_array_equal(file["time_bnds"][:, 1], file["time"][:] + 1)
        assert "unrelated" not in file.variables
        assert "crs" not in getattr(values, "coordinates", "")
        assert "time_bnds" not in getattr(values, "coordinates", "")
        windows = 1 if window is None else 2
        assert set(file["window_number"][:]) == set(range(windows))
        assert file.dimensions["window"].size == windows


def test_names_are_read_from_all_forms_of_reference():
    assert named_by({"formula_terms": "a: ha b: hb ps: PS"}) == ["ha", "hb", "PS"]
    assert named_by({"grid_mapping": "crs: lat lon other: x y"}) == ["crs", "other"]
    assert named_by({"bounds": 3, "units": "K"}) == []


def test_references_to_what_is_missing_are_left_out():
    attrs = {"bounds": "gone", "coordinates": "k gone", "cell_measures": "area: far"}
    ds = xr.Dataset({"x": ("k", [1.0], attrs)}, {"k": [1.0]}, {"external_variables": "far"})
    assert written(ds).x.attrs == {"coordinates": "k", "cell_measures": "area: far"}
    assert ds.x.attrs == attrs
