"""CF's discrete sampling geometries, written with plain netCDF4 in each of their layouts.

All of them hold the same data: values of the three components of Lorenz-63, or of the sites of a
ring, and must give the same observations as the array of these.
"""

import netCDF4
import numpy as np
import pytest
import xarray as xr

import pyvda
from pyvda.errors import InputError
from pyvda.io.sources.open import open_observations
from pyvda.io.sources.sources import as_dataset
from pyvda.io.tables import sampling_geometry
from pyvda.io.tables.point_observations import rows_of

STEPS, NAMES = 9, np.array(["x", "y", "z"])
RNG = np.random.default_rng(6)
VALUES = RNG.normal(size=(STEPS, 3))
# The stations are of different lengths: y ends early, z begins late.
LENGTHS, FIRST = (9, 5, 6), (0, 0, 3)
EXPECTED = VALUES.copy()
EXPECTED[5:, 1], EXPECTED[:3, 2] = np.nan, np.nan
MODEL = pyvda.get_model("lorenz63")


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return station, hour and value of each datum, station by station."""
    station = np.repeat(np.arange(3), LENGTHS)
    hour = np.concatenate([np.arange(f, f + n) for f, n in zip(FIRST, LENGTHS, strict=True)])
    return station, hour, VALUES[hour, station]


def stations(file: netCDF4.Dataset, kind: str, role: str, names: np.ndarray = NAMES) -> None:
    file.Conventions, file.featureType = "CF-1.11", kind
    file.createDimension("station", len(names))
    file.createDimension("strlen", 8)
    name = file.createVariable("station_name", "S1", ("station", "strlen"))
    name.cf_role = role
    name[:] = netCDF4.stringtochar(names.astype("S8"))
    for k, place in enumerate(("lat", "lon")):
        one = file.createVariable(place, "f8", ("station",))
        one.units = ("degrees_north", "degrees_east")[k]
        one[:] = 50.0 + np.arange(len(names))


def times(file: netCDF4.Dataset, dims: tuple[str, ...], hours: np.ndarray) -> None:
    time = file.createVariable("time", "f8", dims, fill_value=-1.0)
    time.units, time.standard_name = "hours since 2020-01-01", "time"
    time[:] = hours


def values(file: netCDF4.Dataset, dims: tuple[str, ...], found: np.ndarray) -> None:
    one = file.createVariable("temperature", "f8", dims, fill_value=-999.0)
    one.units, one.coordinates = "K", "time lat lon station_name"
    one.ancillary_variables = "temperature_error"
    one[:] = np.where(np.isnan(found), -999.0, found)
    error = file.createVariable("temperature_error", "f8", dims)
    error.standard_name = "air_temperature standard_error"
    error[:] = 0.25


def orthogonal(file: netCDF4.Dataset) -> None:
    stations(file, "timeSeries", "timeseries_id")
    file.createDimension("time", STEPS)
    times(file, ("time",), np.arange(STEPS))
    values(file, ("station", "time"), EXPECTED.T)


def incomplete(file: netCDF4.Dataset) -> None:
    stations(file, "timeSeries", "timeseries_id")
    file.createDimension("obs", STEPS)
    hours, found = np.full((3, STEPS), -1.0), np.full((3, STEPS), np.nan)
    for k, (first, length) in enumerate(zip(FIRST, LENGTHS, strict=True)):
        hours[k, :length] = np.arange(first, first + length)
        found[k, :length] = VALUES[first : first + length, k]
    times(file, ("station", "obs"), hours)
    values(file, ("station", "obs"), found)


def contiguous(file: netCDF4.Dataset) -> None:
    stations(file, "timeSeries", "timeseries_id")
    file.createDimension("obs", sum(LENGTHS))
    size = file.createVariable("row_size", "i4", ("station",))
    size.sample_dimension = "obs"
    size[:] = LENGTHS
    _, hour, value = data()
    times(file, ("obs",), hour)
    values(file, ("obs",), value)


def indexed(file: netCDF4.Dataset) -> None:
    stations(file, "timeSeries", "timeseries_id")
    file.createDimension("obs", sum(LENGTHS) + 1)
    station, hour, value = data()
    mixed = RNG.permutation(len(station))
    index = file.createVariable("station_index", "i4", ("obs",), fill_value=-9)
    index.instance_dimension = "station"
    index[:] = np.append(station[mixed], -9)  # the last datum belongs to no station
    times(file, ("obs",), np.append(hour[mixed], 1))
    values(file, ("obs",), np.append(value[mixed], 77.0))


def trajectories(file: netCDF4.Dataset) -> None:
    contiguous(file)
    file.featureType = "trajectory"
    file["station_name"].cf_role = "trajectory_id"


def profiles_of_stations(file: netCDF4.Dataset) -> None:
    """Ragged in ragged: profiles belong to stations, data to profiles of one level."""
    stations(file, "timeSeriesProfile", "timeseries_id")
    station, hour, value = data()
    file.createDimension("profile", len(station))
    file.createDimension("obs", len(station))
    index = file.createVariable("station_index", "i4", ("profile",))
    index.instance_dimension = "station"
    index[:] = station
    size = file.createVariable("row_size", "i4", ("profile",))
    size.sample_dimension = "obs"
    size[:] = 1
    times(file, ("profile",), hour)
    file.createVariable("depth", "f8", ("obs",))[:] = 10.0
    values(file, ("obs",), value)


def points(file: netCDF4.Dataset) -> None:
    file.featureType = "point"
    station, hour, value = data()
    file.createDimension("obs", len(station))
    name = file.createVariable("component", str, ("obs",))
    name[:] = NAMES[station].astype(object)
    times(file, ("obs",), hour)
    values(file, ("obs",), value)


LAYOUTS = [
    orthogonal, incomplete, contiguous, indexed, trajectories, profiles_of_stations, points,
]  # fmt: skip


@pytest.fixture
def path(tmp_path):
    return tmp_path / "dsg.nc"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_stations_with_the_names_of_components(path, layout):
    with netCDF4.Dataset(path, "w") as file:
        layout(file)
    found = open_observations(path, model=MODEL)
    assert found.observation.dims == ("time", "state")
    np.testing.assert_array_equal(found.observation, EXPECTED)
    error = found.observation_error.values
    np.testing.assert_array_equal(error[~np.isnan(EXPECTED)], 0.25)
    assert str(found.time.values[-1]).startswith("2020-01-01T08")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_infinite_datum_is_refused_not_dropped(path, layout):
    with netCDF4.Dataset(path, "w") as file:
        layout(file)
        found = file["temperature"]
        found[np.unravel_index(np.ma.array(found[:]).argmin(), found.shape)] = np.inf
    with pytest.raises(InputError, match=r"has 1 infinite value; mark missing data by NaN"):
        open_observations(path, model=MODEL, grid_step="2h")


@pytest.mark.parametrize("layout", LAYOUTS[1:])
def test_between_the_analysis_times(path, layout):
    with netCDF4.Dataset(path, "w") as file:
        layout(file)
    found = open_observations(path, model=MODEL, grid_step="2h")
    assert found.sizes["datum"] == np.isfinite(EXPECTED).sum()
    component = np.asarray(rows_of(found)).argmax(-1)
    hour = (found.point_time - found.time[0]) / np.timedelta64(1, "h")
    np.testing.assert_array_equal(
        found.point_observation, EXPECTED[hour.astype(int), component.astype(int)]
    )


def test_the_command_line_and_its_remedies(path, monkeypatch, capsys):
    from command_line import run

    with netCDF4.Dataset(path, "w") as file:
        contiguous(file)
        file["station_name"][:] = netCDF4.stringtochar(np.array(["A", "B", "C"], "S8"))
    out = path.with_name("a.nc")
    common = ["assimilate", path, "--model", "lorenz63", "-o", out, "--time-step", 0.01, "-q"]
    common += ["--iterations", 2, "--engine", "torch"]
    assert run(monkeypatch, *common) == 2
    said = capsys.readouterr().err
    assert "'temperature' at the positions lat, lon" in said
    assert "add 'component'" in said
    table = sampling_geometry.table(as_dataset(path))
    named = table.assign(component=("obs", data()[0]))
    named.drop_attrs().to_netcdf(path.with_name("named.nc"))
    common[1] = path.with_name("named.nc")
    assert run(monkeypatch, *common) == 0
    assert xr.open_dataset(out).sizes["time"] == STEPS


def test_stations_that_are_no_components_are_refused_until_they_are_called_so(path):
    with netCDF4.Dataset(path, "w") as file:
        orthogonal(file)
        file["station_name"][:] = netCDF4.stringtochar(np.array(["A", "B", "C"], "S8"))
    with pytest.raises(InputError, match="rename 'station' to 'state'"):
        open_observations(path, model=MODEL)
    renamed = as_dataset(path).rename(station="state")
    found = open_observations(renamed, model=MODEL)
    np.testing.assert_array_equal(found.observation, EXPECTED)


def test_a_declared_feature_needs_no_role_to_be_no_state():
    ds = xr.Dataset(
        {"t": (("time", "site"), VALUES)}, {"time": 0.01 * np.arange(STEPS)},
        {"featureType": "timeSeries"},
    )  # fmt: skip
    with pytest.raises(InputError, match="rename 'site' to 'state'"):
        open_observations(ds)
    np.testing.assert_array_equal(open_observations(ds.rename(site="state")).observation, VALUES)


def ring(positions: np.ndarray, hours: np.ndarray, value: np.ndarray) -> xr.Dataset:
    """Return a trajectory along the ring of Lorenz-96."""
    time = ("obs", hours, {"standard_name": "time"})
    return xr.Dataset(
        {"x": ("obs", value), "row_size": ("trajectory", [len(value)])},
        {"time": time, "site": ("obs", positions), "trajectory_id": ("trajectory", ["a"])},
        {"featureType": "trajectory"},
    )


def test_positions_on_a_ring_are_interpolated():
    position, hours = np.array([3.0, 4.25, 38.5]), np.array([0.0, 0.05, 0.1])
    ds = ring(position, hours, np.array([1.0, 2.0, 3.0]))
    ds["row_size"].attrs["sample_dimension"] = "obs"
    ds["trajectory_id"].attrs["cf_role"] = "trajectory_id"
    found = open_observations(ds, model=pyvda.get_model("lorenz96"), grid_step=0.05)
    expected = np.zeros((3, 40))
    expected[0, 3], expected[1, [4, 5]], expected[2, [38, 39]] = 1.0, [0.75, 0.25], 0.5
    np.testing.assert_allclose(np.asarray(rows_of(found)), expected)
    # On the sites alone the data are an array.
    ds["site"] = np.floor(ds["site"])
    found = open_observations(ds, model=pyvda.get_model("lorenz96"))
    np.testing.assert_array_equal(np.argwhere(found.observation.notnull().values)[:, 1], [3, 4, 38])


def test_positions_in_degrees_need_the_coordinates_of_the_model():
    """The remedy of the refusal: the operator with the coordinates of the model."""
    ds = ring(np.array([3.0, 4.25]), np.array([0.0, 0.05]), np.array([1.0, 2.0]))
    ds = ds.drop_vars(["row_size", "trajectory_id"]).rename(x="sst", site="lon")
    ds["lon"].attrs = {"units": "degrees_east", "standard_name": "longitude"}
    ds["lon"] = ds["lon"] * 9
    model = pyvda.get_model("lorenz96")
    with pytest.raises(InputError, match=r"Interpolation\(coordinates=\{\.\.\.\}\)"):
        pyvda.assimilate(ds, model=model)
    with pytest.raises(InputError, match=r"Interpolation\(coordinates=\{\.\.\.\}\)"):
        pyvda.assimilate(ds, model=model, grid_step=0.05)
    operator = pyvda.operators.Interpolation({"site": 9.0 * np.arange(40)})
    found = pyvda.assimilate(
        ds.rename(lon="site"), model=model, operator=operator, method="gauss-newton",
        iterations=1, engine="torch",
    )  # fmt: skip
    assert found["point_innovation"].notnull().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ds: ds["row_size"].values.__setitem__(0, 3), "are 3 data along 'obs', which has 2"),
        (lambda ds: ds["row_size"].attrs.update(sample_dimension="sea"), "the file does not have"),
    ],
)
def test_counts_that_do_not_fit_are_refused(change, message):
    ds = ring(np.array([3.0, 4.25]), np.array([0.0, 0.05]), np.array([1.0, 2.0]))
    ds["row_size"].attrs["sample_dimension"] = "obs"
    change(ds)
    with pytest.raises(InputError, match=message):
        sampling_geometry.table(ds)


def test_an_index_beyond_the_instances_is_refused(path):
    with netCDF4.Dataset(path, "w") as file:
        indexed(file)
        file["station_index"][0] = 3
    with pytest.raises(InputError, match="is 3 somewhere, but 'station' has 3 instances"):
        open_observations(path, model=MODEL)


def test_stations_that_are_called_like_their_dimension():
    """The names of the instances travel to the data also where they are a coordinate."""
    ds = xr.Dataset(
        {"temp": ("obs", np.arange(6.0)), "row_size": ("station", [1, 2, 3])},
        {"station": ("station", ["x", "y", "z"], {"cf_role": "timeseries_id"})},
        {"featureType": "timeSeries"},
    )
    ds["row_size"].attrs["sample_dimension"] = "obs"
    found = sampling_geometry.table(ds)
    assert list(found["station"].values) == list("xyyzzz")
    assert found["station"].attrs["cf_role"] == "timeseries_id"
