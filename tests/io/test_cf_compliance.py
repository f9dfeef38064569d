"""Files pass the compliance checker for the CF conventions without an error, offline.

One complaint is left out. Of a model in numbers without a unit, such as Lorenz-63, the time has no
unit and no reference date; the checker demands both of every dimension called `time`.
"""

import functools
import json
import socket
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import pyvda
from pyvda.models.registry import get_preset

checker = pytest.importorskip("compliance_checker.runner")

CONVENTIONS = "cf:1.11"
OF_MODEL_TIME = "Coordinate variable 'time' should have standard_name='time', found: 'None'"
RUN = {"iterations": 2, "step": 1.0, "engine": "torch"}
DATES = np.datetime64("2020-01-01", "ns") + np.arange(40) * np.timedelta64(1, "h")
UNITS = {"units": "m", "long_name": "height"}


def errors(path, folder):
    """Return the messages of the priority that the checker calls errors."""
    checker.CheckSuite.load_all_available_checkers()
    report = folder / "report.json"
    checker.ComplianceChecker.run_checker(
        str(path), [CONVENTIONS], 0, "normal", output_filename=str(report), output_format="json"
    )
    found = json.loads(report.read_text())[CONVENTIONS]
    assert found["all_priorities"], "nothing was checked"
    return [message for check in found["high_priorities"] for message in check["msgs"]]


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Refuse every connection."""

    def refuse(*_):
        raise AssertionError("the test went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def values(*shape):
    found = np.random.default_rng(1).normal(size=shape)
    found[..., 1::2, :] = np.nan
    return found


def series():
    """Return a state vector over dates."""
    ds = xr.Dataset({"observation": (("time", "state"), values(40, 3), UNITS)})
    return ds.assign_coords(time=DATES)


def of_series(**keywords):
    return pyvda.assimilate(series(), model="lorenz63", time_step=0.01, **RUN, **keywords)


def of_windows():
    starts = DATES[:4]
    ds = xr.Dataset({"observation": (("window", "time", "state"), values(4, 40, 3), UNITS)})
    ds = ds.assign_coords(time=("time", DATES), start=("window", starts, {"long_name": "start"}))
    return pyvda.assimilate(ds, model="lorenz63", time_step=0.01, **RUN)


@functools.cache
def of_variables():
    names = {"x": "eastward_wind", "y": "northward_wind", "z": "air_temperature"}
    units = {"x": "m s-1", "y": "m s-1", "z": "K"}
    attrs = {n: {"standard_name": s, "units": units[n], "cell_methods": "time: point",
                 "grid_mapping": "crs"} for n, s in names.items()}  # fmt: skip
    ds = xr.Dataset({n: ("time", values(40, 1)[:, 0], attrs[n]) for n in "xyz"})
    ds["crs"] = ((), 0, {"grid_mapping_name": "latitude_longitude"})
    bounds = np.stack([DATES, DATES + np.timedelta64(1, "h")], 1)
    ds = ds.assign_coords(time=("time", DATES, {"bounds": "time_bnds"}))
    ds["time_bnds"] = (("time", "nv"), bounds)
    place = {"lat": ("latitude", "degrees_north"), "lon": ("longitude", "degrees_east")}
    for name, (standard_name, unit) in place.items():
        ds.coords[name] = ((), 10.0, {"standard_name": standard_name, "units": unit})
    return pyvda.assimilate(
        ds, model="lorenz63", time_step=0.01, method="gauss-newton", engine="torch",
        form="statistical", observation_variance=1.0, iterations=2,
    )  # fmt: skip


def of_twin():
    preset = replace(get_preset("lorenz63"), steps=20, spinup=0.0)
    return pyvda.simulate(preset, 2, 1)


def of_observing():
    return pyvda.observe(of_twin(), "lorenz63", 2)


OUTPUTS = {
    "series": of_series,
    "series in windows": lambda: of_series(window=20, overlap=4),
    "lazy series": lambda: pyvda.assimilate(
        series().chunk(time=20), model="lorenz63", time_step=0.01, window=20, **RUN
    ),
    "windows": of_windows,
    "variables": of_variables,
    "gauss-newton": lambda: pyvda.assimilate(
        series(), model="lorenz63", time_step=0.01, method="gauss-newton", engine="torch"
    ),
    "forecast": lambda: pyvda.forecast(of_series(), 5, engine="torch"),
    "forecast of variables": lambda: pyvda.forecast(of_variables(), 5, engine="torch"),
    "simulate": of_twin,
    "observe": of_observing,
    "twin": lambda: pyvda.assimilate(of_observing(), model="lorenz63", **RUN),
}


@pytest.mark.parametrize("make", OUTPUTS.values(), ids=OUTPUTS)
def test_files_have_no_error(tmp_path, make):
    ds = make()
    pyvda.save_analysis(ds, tmp_path / "a.nc")
    found = errors(tmp_path / "a.nc", tmp_path)
    if ds.time.attrs.get("units") == "1":
        found = [message for message in found if message != OF_MODEL_TIME]
    assert found == []


def test_the_checker_finds_what_is_wrong(tmp_path):
    ds = of_series().assign_attrs(Conventions="none")
    ds["analysis"].attrs |= {"units": "no unit", "standard_name": "no_name"}
    ds.to_netcdf(tmp_path / "a.nc")
    assert len(errors(tmp_path / "a.nc", tmp_path)) > 1
