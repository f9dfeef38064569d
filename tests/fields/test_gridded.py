"""Data at points put into the cells of a grid."""

import numpy as np
import pytest
import xarray as xr
from gappy import as_mapping, field, tracks

import pyvda
from pyvda.errors import InputError
from pyvda.fields.gridded import Cells
from pyvda.fields.points import read
from pyvda.fields.target import on_grid
from pyvda.names import FieldFlag


def table(days, lat, lon, values, errors=None):
    """Return a Dataset of data at points."""
    time = np.datetime64("2020-03-01", "ns") + (np.array(days) * 86400e9).astype("timedelta64[ns]")
    rows = xr.Dataset(
        {"sst": ("obs", np.array(values, float), {"units": "degC"})},
        {"time": ("obs", time), "lat": ("obs", lat, {"units": "degrees_north"}),
         "lon": ("obs", lon, {"units": "degrees_east"})},
    )  # fmt: skip
    if errors is not None:
        rows["observation_error"] = ("obs", np.array(errors, float))
    return rows


def cells(*data, **more):
    """Return data at points, their grid (that of `gappy.field`, 4 × 5, 3 days), and their cells."""
    points = read(table(*data, **more), "sst")
    grid = on_grid(points, field(times=3, land=False)[0])
    return points, grid, Cells.with_data(grid, points)


def test_each_cell_has_the_mean_of_its_data() -> None:
    points, grid, found = cells(
        [0.0, 0.3, 0.6, 2.0], [40.02, 39.95, 40.0, 40.7], [5.0, 5.05, 5.0, 6.15],
        [1.0, 3.0, 7.0, np.nan], errors=[0.2, 0.4, 0.1, 0.1],
    )  # fmt: skip
    made = found.values(points.values["sst"])
    values, variance = grid.on_grid(made.values), grid.on_grid(made.variance)
    assert values[0, 0, 0] == 2.0
    assert values[1, 0, 0] == 7.0
    assert np.isfinite(values).sum() == 2
    assert variance[0, 0, 0] == pytest.approx((0.2**2 + 0.4**2) / 4)


def test_data_beyond_the_grid_or_its_times_belong_to_no_cell() -> None:
    _, _, found = cells([1.0, 1.0, 2.4, 2.6], [40.0, 41.6, 40.0, 40.0], [5.0] * 4, [1.0] * 4)
    np.testing.assert_array_equal(found.inside, [True, False, True, False])
    one = np.arange(60.0).reshape(3, 20)
    at = found.at_points(one, one + 1, one + 2)
    np.testing.assert_array_equal(at.value, [20.0, np.nan, 40.0, np.nan])
    np.testing.assert_array_equal(at.noise, [22.0, np.nan, 42.0, np.nan])
    with pytest.raises(InputError, match="no datum lies within"):
        cells([1.0], [45.0], [5.0], [1.0])


def test_tracks_keep_their_sum() -> None:
    rows = tracks()
    points = read(rows, "sst")
    grid = on_grid(points, field(times=6, land=False)[0])
    found = Cells.with_data(grid, points)
    made = found.values(points.values["sst"]).values
    data = points.values["sst"].values[found.inside]
    counts = np.bincount((found.time * 20 + found.point)[found.inside], minlength=120)
    assert np.nansum(made * counts.reshape(made.shape)) == pytest.approx(data.sum())


@pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")
def test_the_flags_of_an_analysis_are_those_of_the_cells() -> None:
    """Data near corners of cells, 0.7 spacings from the points, and one outside."""
    lat, lon = np.array([40.0, 40.12, 40.63, 40.75, 41.6]), np.array([5.0, 5.14, 5.75, 6.05, 5.0])
    days = np.array([0.0, 0.0, 1.0, 2.4, 2.0])
    rows = table(days, lat, lon, [1.0, 2.0, 3.0, 4.0, 5.0])
    grid = field(times=3, land=False, cloud=0.0)[0]
    points = read(rows, "sst")
    found = Cells.of(on_grid(points, grid), points)
    np.testing.assert_array_equal(found.inside, [True, True, True, True, False])
    analysis = pyvda.assimilate(
        rows, method="oi", variable="sst", grid=grid, covariance=as_mapping(), engine="torch"
    )
    flags = analysis.sst_flag.transpose("time", "lat", "lon").values.reshape(3, -1)
    observed = np.zeros(flags.shape, bool)
    observed[found.time[found.inside], found.point[found.inside]] = True
    np.testing.assert_array_equal(flags == FieldFlag.OBSERVED, observed)
    never = np.broadcast_to(~observed.any(0), flags.shape)
    np.testing.assert_array_equal(flags == FieldFlag.NEVER_OBSERVED, never)
