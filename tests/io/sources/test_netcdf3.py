"""The announced size of classic files, against what the netCDF library writes."""

import netCDF4
import numpy as np
import pytest

from pyvda.io.sources.netcdf3 import announced_size

FORMATS = ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"]


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize(
    "variables",
    [
        {"a": ("f8", ("x", "y"))},
        {"a": ("i1", ("x",)), "b": ("i2", ("x", "y")), "c": ("S1", ("y",))},
        {"scalar": ("f4", ())},
        {"a": ("i2", ("t", "x")), "b": ("f8", ("x",))},  # one record variable: not padded
        {"a": ("i2", ("t", "x")), "b": ("i1", ("t", "x")), "c": ("f8", ("x", "y"))},
        {},
    ],
)
def test_size_is_the_file_size(tmp_path, format_, variables):
    path = tmp_path / "a.nc"
    with netCDF4.Dataset(path, "w", format=format_) as file:
        file.title = "odd length"
        file.numbers = np.arange(3, dtype="i2")
        for name, size in (("t", None), ("x", 3), ("y", 5)):
            file.createDimension(name, size)
        for name, (kind, dims) in variables.items():
            variable = file.createVariable(name, kind, dims)
            variable.units = "m"
            shape = tuple({"t": 7, "x": 3, "y": 5}[dim] for dim in dims)
            variable[...] = np.ones(shape, kind) if kind != "S1" else np.full(shape, b"z")
    announced = announced_size(path)
    # The library may pad the end of the last variable to 4 bytes.
    assert 0 <= path.stat().st_size - announced < 4


def test_other_formats_announce_nothing(tmp_path):
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        file.createDimension("x", 1)
    assert announced_size(tmp_path / "a.nc") is None
    (tmp_path / "b").write_bytes(b"CD")
    assert announced_size(tmp_path / "b") is None


def test_damaged_headers(tmp_path):
    path = tmp_path / "a.nc"
    with netCDF4.Dataset(path, "w", format="NETCDF3_CLASSIC") as file:
        file.createDimension("x", 3)
        file.createVariable("a", "f8", ("x",))[:] = 1.0
    whole = path.read_bytes()
    for size in range(4, 80):
        path.write_bytes(whole[:size])
        with pytest.raises(EOFError, match="within its header"):
            announced_size(path)
    path.write_bytes(whole[:12] + b"\xff\xff\xff\x00" + whole[16:])
    with pytest.raises(ValueError, match="negative count"):
        announced_size(path)
