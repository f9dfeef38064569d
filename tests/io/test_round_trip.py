"""Any file, opened, assimilated, saved and opened again, keeps its coordinates and attributes."""

import tempfile
from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import pyvda

STEPS, COMPONENTS, WINDOWS = 12, 3, 2
CLIMATOLOGY = (np.zeros(COMPONENTS), np.eye(COMPONENTS))
CALENDARS = ("standard", "proleptic_gregorian", "noleap", "360_day", "julian", "all_leap")
UNITS = ("hours since 2001-02-03", "days since 1990-01-01", "seconds since 2001-01-01")
ATTRIBUTES = {
    "comment": "Grüße", "number": 3, "real": 0.25, "numbers": [1, 2], "words": ["a", "b"],
    "small": np.int8(3), "references": "doi:10.1", "source": "a buoy", "institution": "",
}  # fmt: skip


@st.composite
def files(draw):
    """Return what makes a netCDF file: its dimensions, times, storage and attributes."""
    dims = draw(st.permutations(["time", "state"] + (["window"] if draw(st.booleans()) else [])))
    return {
        "dims": tuple(dims),
        "units": draw(st.sampled_from([None, *UNITS])),
        "calendar": draw(st.sampled_from(CALENDARS)),
        "integer_time": draw(st.booleans()),
        "packed": draw(st.booleans()),
        "dtype": draw(st.sampled_from(["f4", "f8"])),
        "unlimited": draw(st.booleans()),
        "chunksizes": draw(st.booleans()),
        "attrs": draw(st.dictionaries(st.sampled_from(list(ATTRIBUTES)), st.none(), max_size=4)),
        "bounds": draw(st.booleans()),
    }


def write(path, file):
    sizes = {"time": STEPS, "state": COMPONENTS, "window": WINDOWS}
    shape = [sizes[dim] for dim in file["dims"]]
    with netCDF4.Dataset(path, "w") as nc:
        for dim in file["dims"]:
            endless = dim == "time" and file["unlimited"]
            nc.createDimension(dim, None if endless else sizes[dim])
        time = nc.createVariable("time", "i4" if file["integer_time"] else "f8", ("time",))
        time.long_name = "time of the measurement"
        time[:] = 6 * np.arange(STEPS)
        if file["units"] is not None:
            time.units, time.calendar, time.standard_name = file["units"], file["calendar"], "time"
            if file["bounds"]:
                nc.createDimension("nv", 2)
                time.bounds = "time_bnds"
                bounds = nc.createVariable("time_bnds", time.dtype, ("time", "nv"))
                bounds[:] = 6 * np.arange(STEPS)[:, None] + [0, 3]
        label = nc.createVariable("state", str, ("state",))
        label[:] = np.array(["x", "y", "z"], dtype=object)
        depth = nc.createVariable("depth", "f4", ("state",))
        depth.setncatts({"units": "m", "positive": "down"})
        depth[:] = [1, 2, 3]
        kind = {"datatype": "i2", "fill_value": -999} if file["packed"] else {
            "datatype": file["dtype"], "fill_value": -999.0}  # fmt: skip
        storage = {"chunksizes": shape, "zlib": True} if file["chunksizes"] else {}
        one = nc.createVariable("level", dimensions=file["dims"], **kind, **storage)
        one.setncatts({"units": "m", "cell_methods": "time: mean", "coordinates": "depth"})
        if file["packed"]:
            one.scale_factor, one.add_offset = 0.25, 1.0
        values = np.ma.masked_array(np.arange(np.prod(shape)).reshape(shape) % 7.0)
        values[values == 3.0] = np.ma.masked
        one[:] = values
        nc.setncatts({name: ATTRIBUTES[name] for name in file["attrs"]})


@settings(max_examples=12, deadline=None)
@given(
    file=files(),
    suffix=st.sampled_from(["nc", "zarr"]),
    chunks=st.sampled_from([None, {"time": 5}, {}]),
    window=st.sampled_from([None, 6]),
)
def test_coordinates_and_attributes_survive(file, suffix, chunks, window):
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "obs.nc", Path(folder) / f"a.{suffix}"
        write(path, file)
        observed = pyvda.open_observations(path, chunks=chunks)
        found = pyvda.assimilate(
            observed, model="lorenz63", engine="torch", iterations=1, step=1.0, time_step=0.01,
            climatology=CLIMATOLOGY, window=None if "window" in file["dims"] else window,
        )  # fmt: skip
        pyvda.save_analysis(found, out)
        with (
            xr.open_dataset(path, decode_timedelta=False) as before,
            xr.open_dataset(out, engine="zarr" if suffix == "zarr" else None) as after,
        ):
            kept = [*before.coords, *(["time_bnds"] if "time_bnds" in before else [])]
            for name in kept:
                np.testing.assert_array_equal(after[name].values, before[name].values)
                assert after[name].dims == before[name].dims
                expected = dict(before[name].attrs)
                assert {k: after[name].attrs.get(k) for k in expected} == expected
            for name in file["attrs"]:
                np.testing.assert_array_equal(after.attrs[name], before.attrs[name])
            assert after.analysis.attrs["units"] == "m"
            assert after.analysis.attrs["cell_methods"] == "time: mean"
            assert set(after.analysis.dims) == set(before["level"].dims)
            assert "window_number" in after or "window" in file["dims"]
            if file["units"] is not None:
                assert after.time.encoding["units"] == before.time.encoding["units"]
                assert after.time.encoding["calendar"] == before.time.encoding["calendar"]
        if suffix == "nc":
            with netCDF4.Dataset(out) as nc:
                assert nc.dimensions["time"].isunlimited() == file["unlimited"]
