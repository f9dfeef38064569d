"""Whole files: read, estimated, written, in Python and from the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml
from command_line import run
from field_models import random_model
from gappy import as_mapping, field

import pyvda
from pyvda.errors import InputError
from pyvda.names import FieldFlag

pytestmark = pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")
OPTIONS = {"method": "oi", "covariance": as_mapping(), "engine": "torch", "nearest": 3}


def test_the_analysis_has_the_files_own_variables() -> None:
    ds, _ = field(times=3)
    analysis = pyvda.assimilate(ds, **OPTIONS)
    assert set(analysis.data_vars) == {
        f"sst{suffix}" for suffix in ("", "_stdev", "_innovation", "_flag", "_distance", "_lag")
    }
    assert analysis.sst.dims == ds.sst.dims
    assert analysis.sst.attrs["units"] == "degC"
    assert analysis.sst_stdev.attrs["standard_name"] == "sea_water standard_error"
    assert analysis.attrs["title"] == "a test"
    xr.testing.assert_identical(analysis.lat, ds.lat)
    np.testing.assert_array_equal(np.isnan(analysis.sst), analysis.sst_flag == FieldFlag.LAND)
    observed = analysis.sst_flag == FieldFlag.OBSERVED
    np.testing.assert_array_equal(observed, ds.sst.notnull())
    np.testing.assert_allclose((analysis.sst + analysis.sst_innovation).where(observed), ds.sst)
    assert (analysis.sst_distance.where(observed).max(skipna=True)) < 1e-6
    assert json.loads(analysis.attrs["pyvda_configuration"])["variables"]["sst"]["covariance"]


def test_what_is_withheld_is_not_used_and_flagged() -> None:
    ds, _ = field(times=3)
    chosen = ds.sst.notnull() & (ds.time == ds.time[1])
    analysis = pyvda.assimilate(
        ds.assign(out=chosen.astype(int)), variable="sst", withhold="out", **OPTIONS
    )
    np.testing.assert_array_equal(analysis.sst_flag == FieldFlag.WITHHELD, chosen)
    without = pyvda.assimilate(ds.where(~chosen), **OPTIONS)
    both = np.isfinite(without.sst)
    np.testing.assert_array_equal(analysis.sst.where(both), without.sst)
    again = pyvda.assimilate(ds, withhold=chosen, **OPTIONS)
    xr.testing.assert_equal(again.sst, analysis.sst)


def test_a_logarithm_only_where_it_is_asked_for() -> None:
    ds, _ = field(times=3)
    chl = ds.assign(sst=10 ** (ds.sst - 15))
    covariance = as_mapping(transform="log10")
    analysis = pyvda.assimilate(chl, **OPTIONS | {"covariance": covariance, "transform": "log10"})
    log = pyvda.assimilate(ds, **OPTIONS)
    np.testing.assert_allclose(np.log10(analysis.sst), log.sst - 15, atol=1e-9)
    assert "log10" in analysis.sst.attrs["comment"]
    with pytest.raises(InputError, match="zero or negative"):
        pyvda.assimilate(ds - 15, **OPTIONS, transform="log10")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "lorenz63"}, "model would have no effect"),
        ({"window": 5}, "window would have no effect"),
        ({"withhold": "nothing"}, "neither a variable"),
        ({"withhold": np.ones((2, 3))}, "different|dimensions|expected"),
        ({"withhold": np.ones((3, 4, 5))}, "no observation of sst is left"),
        ({"colour": 1}, "unknown key colour"),
        ({"mask": "shore"}, "not a variable of the file"),
    ],
)
def test_options_that_cannot_be_used(options, message) -> None:
    with pytest.raises((InputError, ValueError), match=message):
        pyvda.assimilate(field(times=3)[0], **OPTIONS | options)


def test_from_the_command_line(tmp_path, monkeypatch, capsys) -> None:
    ds, _ = field(times=3)
    monkeypatch.chdir(tmp_path)
    ds.to_netcdf("sst.nc")
    Path("cov.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(as_mapping()))))
    arguments = ["assimilate", "sst.nc", "--method", "oi", "--set", "covariance=cov.yaml",
                 "--engine", "torch", "-o", "out.nc"]  # fmt: skip
    assert run(monkeypatch, *arguments) == 0
    said = capsys.readouterr()
    assert "observed" in said.out
    assert "sst: " in said.out
    with xr.open_dataset("out.nc") as written:
        assert "assimilate sst.nc" in written.attrs["history"]
        assert np.isfinite(written.sst).sum() == 3 * ds.sst.notnull().any("time").sum()
    eof = ["assimilate", "sst.nc", "--method", "eof", "-o", "out.nc"]
    assert run(monkeypatch, *eof, "--workers", "2") == 2
    assert "--workers would have no effect" in capsys.readouterr().err


@pytest.fixture(params=["oi", "eof", "network"])
def how(request, tmp_path):
    """The options of each method."""
    if request.param == "network":
        random_model(field(times=3, cloud=0.0, land=False)[0]).save(tmp_path)
        return {"checkpoint": tmp_path, "engine": "torch"}
    return OPTIONS if request.param == "oi" else {"method": "eof", "modes": 1, "engine": "torch"}


def test_a_file_without_land_or_gaps_is_estimated_everywhere(how) -> None:
    ds, _ = field(times=3, cloud=0.0, land=False)
    if how.get("method") == "eof":
        with pytest.raises(InputError, match="use the method oi with a covariance"):
            pyvda.assimilate(ds, **how)
        return
    analysis = pyvda.assimilate(ds, **how)
    assert (analysis.sst_flag == FieldFlag.OBSERVED).all()
    assert np.isfinite(analysis.sst).all()
    assert (analysis.sst_stdev > 0).all()
    # Closer to the data than these differ among each other.
    assert float(analysis.sst_innovation.std()) < 0.8 * float(ds.sst.std())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda ds: ds.assign(mask=(("lat", "lon"), np.zeros((4, 5)))), "all points are land"),
        (lambda ds: ds.where(False), "no observation"),
    ],
)
def test_a_file_of_land_or_of_gaps_alone_is_refused(how, change, said) -> None:
    with pytest.raises(InputError, match=said):
        pyvda.assimilate(change(field(times=3)[0]), **how)
