"""What a file calls bad is not assimilated, and said."""

import numpy as np
import pytest
import xarray as xr

import pyvda
from pyvda.errors import InputError
from pyvda.io.netcdf import open_observations
from pyvda.names import Flag
from pyvda.notices import Notice

QUICK = {"model": "lorenz63", "engine": "torch", "iterations": 3, "step": 1.0}


def observed(steps=12, chunks=None):
    """Return observations with a flagged, an invalid and a missing value."""
    values = np.random.default_rng(0).normal(size=(steps, 3))
    flags = np.zeros(values.shape, "i1")
    values[2, 0], flags[2, 0] = 60.0, 4
    values[3, 1] = -999.0
    values[4, 2] = np.nan
    flags[4, 2] = 4
    good = {"flag_values": np.array([0, 4], "i1"), "flag_meanings": "good bad"}
    ds = xr.Dataset(
        {
            "observation": (
                ("time", "state"), values,
                {"ancillary_variables": "qc", "valid_range": [-100.0, 100.0]},
            ),
            "qc": (("time", "state"), flags, good),
        },
        {"time": 0.01 * np.arange(steps)},
    )  # fmt: skip
    return ds if chunks is None else ds.chunk(chunks)


def cleaned(ds):
    """Return the same observations without bad values, and without what tells that they are."""
    clean = ds[["observation"]].copy(deep=True).load()
    clean.observation.attrs = {}
    clean.observation[2, 0] = clean.observation[3, 1] = np.nan
    return clean


@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize("chunks", [None, {"time": 4}])
def test_the_analysis_is_that_without_the_bad_values(chunks, window):
    ds = observed(chunks=chunks)
    said = r"2 observations are not used: 1 with a flag that is not good and 1 outside of the valid"
    with pytest.warns(Notice, match=said):
        found = pyvda.assimilate(ds, window=window, **QUICK).compute()
    expected = pyvda.assimilate(cleaned(ds), window=window, **QUICK)
    for name in ("analysis", "innovation", "cost"):
        np.testing.assert_array_equal(found[name], expected[name])
    assert (found.flag == Flag.REJECTED).sum() == 1
    assert found.flag.values.reshape(12, 3)[2, 0] == Flag.REJECTED
    same = (found.flag == expected.flag).values.reshape(12, 3)
    assert same.sum() == same.size - 1
    assert "rejected" in found.flag.attrs["flag_meanings"]


@pytest.mark.parametrize("chunks", [None, {"time": 4}])
def test_a_file_is_screened_once(tmp_path, chunks):
    observed().to_netcdf(tmp_path / "a.nc")
    with pytest.warns(Notice, match="2 observations are not used"):
        ds = open_observations(tmp_path / "a.nc", chunks=chunks)
    assert ds.rejected.dtype == np.int8
    assert "good flags of qc: good; valid range: -100 to 100" in ds.rejected.attrs["comment"]
    found = pyvda.assimilate(ds, **QUICK)  # a second notice would be an error
    expected = pyvda.assimilate(cleaned(observed()), **QUICK)
    np.testing.assert_array_equal(found.analysis, expected.analysis)
    assert (found.flag == Flag.REJECTED).sum() == 1


@pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")
def test_named_variables_have_flags_of_their_own():
    whole = observed()
    values, flags = whole.observation.values, whole.qc.values
    ds = xr.Dataset(coords={"time": whole.time})
    for k, name in enumerate("xyz"):
        ds[name] = ("time", values[:, k], {"valid_max": 100.0, "valid_min": -100.0})
        ds[f"{name}_qc"] = ("time", flags[:, k], whole.qc.attrs)
    found = pyvda.assimilate(ds, variable="x,y,z", **QUICK)
    expected = pyvda.assimilate(cleaned(whole), **QUICK)
    np.testing.assert_array_equal(found.x, expected.analysis.values[:, 0])
    assert found.x_flag.values.tolist().count(Flag.REJECTED) == 1
    assert Flag.REJECTED not in found.y_flag
    assert found.x.attrs["valid_max"] == 100.0


@pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")
def test_the_choice_of_flags():
    ds = observed()
    bad = pyvda.assimilate(ds, good_flags="all", **QUICK)
    assert bad.flag.values.reshape(12, 3)[2, 0] == Flag.OBSERVED
    only = pyvda.assimilate(ds, good_flags="bad", **QUICK)
    assert (only.flag == Flag.OBSERVED).sum() == 1
    with pytest.raises(InputError, match="observation has no quality flags"):
        pyvda.assimilate(ds.drop_vars("qc"), good_flags=0, **QUICK)


@pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")
def test_a_choice_after_opening_comes_too_late_and_its_remedy_works(tmp_path):
    observed().to_netcdf(tmp_path / "a.nc")
    ds = open_observations(tmp_path / "a.nc")
    with pytest.raises(InputError, match=r"open_observations\(path, good_flags=...\)"):
        pyvda.assimilate(ds, good_flags=0, **QUICK)
    ds = open_observations(tmp_path / "a.nc", good_flags="all")
    assert float(ds.observation[2, 0]) == 60.0


def test_nothing_good_is_refused_with_the_reason():
    ds = observed()
    ds["qc"] = ds.qc.copy(data=np.full(ds.qc.shape, 4, "i1"))
    with (
        pytest.warns(Notice, match="35 observations are not used"),
        pytest.raises(InputError, match=r"no values that the file calls good \(35 it calls bad\)"),
    ):
        pyvda.assimilate(ds, **QUICK)


def test_a_table_is_screened():
    ds = xr.Dataset(
        {
            "y": ("n", [1.0, 60.0, 3.0, 4.0]),
            "y_qc": ("n", np.array([b"1", b"4", b"1", b"2"])),
            "component": ("n", [0, 0, 1, 2]),
        },
        {"time": ("n", [0.0, 0.01, 0.02, 0.03])},
    )
    with pytest.warns(Notice, match="1 observation is not used: 1 with a flag"):
        found = pyvda.on_grid(ds, 0.01, 3)
    assert found.point_observation.values.tolist() == [1.0, 3.0, 4.0]
    assert pyvda.on_grid(ds, 0.01, 3, good_flags="all").sizes["datum"] == 4
