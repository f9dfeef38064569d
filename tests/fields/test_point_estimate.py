"""Estimates from points against a dense solve, in Python and from the command line."""

import json

import numpy as np
import pytest
import xarray as xr
import yaml
from command_line import run
from gappy import COVARIANCE, as_mapping, field, tracks

import pyvda
from pyvda.errors import InputError
from pyvda.fields.places import on_sphere
from pyvda.fields.point_mean import read_map
from pyvda.names import FieldFlag

pytestmark = pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")
GRID = "5:6.2:0.3,40:40.75:0.25"
ALL = {"nearest": 1000, "nearest_other": 1000, "within_days": 100.0, "engine": "torch"}
SHARED = COVARIANCE.model_copy(update={"track_variance": 0.3, "track_km": 25.0})


def with_tracks():
    return {"variables": {"sst": SHARED.as_dict()}}


def dense(position, days, position0, days0, track, covariance=SHARED):
    """Return weights and variances of the estimate at places from data, by dense matrices."""
    km = np.linalg.norm(position[:, None] - position, axis=-1)
    a = covariance(km, days[:, None] - days) + covariance.nugget * np.eye(len(days))
    shared = covariance.track_variance * np.exp(-km / covariance.track_km)
    a += shared * (track[:, None] == track)
    c = covariance(np.linalg.norm(position0[:, None] - position, axis=-1), days0[:, None] - days)
    weights = np.linalg.solve(a, c.T).T
    return weights, covariance.variance - (weights * c).sum(1)


@pytest.mark.parametrize("engine", ["torch", pytest.param("auto", marks=pytest.mark.julia)])
def test_passes_that_share_errors_against_a_dense_solve(engine) -> None:
    ds = tracks()
    found = pyvda.assimilate(
        ds, method="oi", grid=GRID, covariance=with_tracks(), **ALL | {"engine": engine}
    )
    place = on_sphere(ds.lat.values, ds.lon.values).position
    lat, lon = (g.ravel() for g in np.meshgrid(found.lat, found.lon, indexing="ij"))
    start = np.datetime64("2020-03-01")
    days, days0 = (
        (t - start) / np.timedelta64(1, "D") for t in (ds.time.values, found.time.values)
    )
    track = np.repeat(np.arange(14), 12)
    level = ds.sst.values.mean()
    weights, variance = dense(place, days, np.tile(on_sphere(lat, lon).position, (6, 1)),
                              np.repeat(days0, len(lat)), track)  # fmt: skip
    expected = (weights @ (ds.sst.values - level) + level).reshape(found.sst.shape)
    np.testing.assert_allclose(found.sst, expected, atol=1e-8)
    np.testing.assert_allclose(found.sst_stdev.values.ravel() ** 2, variance, atol=1e-8)
    weights, variance = dense(place, days, place, days, track)
    np.testing.assert_allclose(
        found.sst_point, weights @ (ds.sst.values - level) + level, atol=1e-8
    )
    np.testing.assert_allclose(found.sst_point_stdev**2, variance, atol=1e-8)
    np.testing.assert_allclose(found.sst_point + found.sst_point_innovation, ds.sst)


def test_what_is_withheld_at_points_is_not_used() -> None:
    ds = tracks()
    out = np.repeat(np.arange(14) < 3, 12)
    given = {"method": "oi", "grid": GRID, "times": "2020-03-01/2020-03-06/1d",
             "covariance": as_mapping(), "engine": "torch"}  # fmt: skip
    found = pyvda.assimilate(ds, withhold=out, **given)
    left = ds.isel(obs=~out, **{"pass": slice(3, None)})
    xr.testing.assert_allclose(found.sst, pyvda.assimilate(left, **given).sst)
    np.testing.assert_array_equal(found.sst_point_flag == FieldFlag.WITHHELD, out)


def test_points_beside_a_field_fill_its_gaps_better() -> None:
    """The same random field, drawn together on a grid and along passes."""
    ds, truth = field(times=6, cloud=0.8, land=False, seed=4)
    ds = ds.assign(mask=(("lat", "lon"), np.ones(truth.shape[1:], int)))
    rng = np.random.default_rng(0)
    t, y, x = (rng.integers(0, n, 60) for n in truth.shape)
    rows = xr.Dataset({
        "sst": ("obs", truth[t, y, x] + 0.01 * rng.normal(size=60), {"units": "degC"}),
        "time": ("obs", ds.time.values[t]), "lat": ("obs", ds.lat.values[y]),
        "lon": ("obs", ds.lon.values[x]),
    })  # fmt: skip
    given = {"method": "oi", "covariance": as_mapping(), "engine": "torch"}
    gap = ds.sst.isnull().values
    errors = [
        np.sqrt(((pyvda.assimilate(ds, **given, **more).sst.values - truth)[gap] ** 2).mean())
        for more in ({}, {"points": rows})
    ]
    assert errors[1] < 0.8 * errors[0]
    celsius = rows.assign(sst=rows.sst.assign_attrs(units="K"))
    with pytest.raises(InputError, match="'K' in the point data, but in 'degC' in the field"):
        pyvda.assimilate(ds, points=celsius, **given)


def test_a_map_of_the_mean_is_subtracted_and_added_again() -> None:
    ds = tracks(noise=0.0)
    slope = xr.Dataset(
        {"sst": (("lat", "lon"), 100 * np.add.outer(np.arange(38, 43.0), np.arange(0, 10.0)))},
        {"lat": ("lat", np.arange(38, 43.0), {"units": "degrees_north"}),
         "lon": ("lon", np.arange(0, 10.0), {"units": "degrees_east"})},
    )  # fmt: skip
    steep = ds.assign(sst=ds.sst + 100 * (ds.lat + ds.lon))
    given = {"method": "oi", "grid": GRID, "covariance": as_mapping(), "engine": "torch"}
    plain = pyvda.assimilate(ds, **given)
    found = pyvda.assimilate(steep, mean=slope, **given)
    np.testing.assert_allclose(found.sst - 100 * (found.lat + found.lon), plain.sst, atol=1e-6)


def test_maps_over_time_tell_how_much_a_field_varies_around_a_place() -> None:
    ds = tracks()
    size = np.broadcast_to(np.linspace(0.5, 2.5, 21), (9, 21))  # larger in the east
    axes = {"lat": ("lat", np.linspace(39, 42, 9), {"units": "degrees_north"}),
            "lon": ("lon", np.linspace(4, 8, 21), {"units": "degrees_east"})}  # fmt: skip
    maps = xr.Dataset({"sst": (("time", "lat", "lon"), np.stack([15 - size, 15 + size]))}, axes)
    found = pyvda.assimilate(
        ds, method="oi", grid=GRID, covariance=as_mapping(), mean=maps, local_variance=True, **ALL
    )
    deviation = read_map(maps, "sst", "", varying=True).deviation_at
    lat, lon = (g.ravel() for g in np.meshgrid(found.lat, found.lon, indexing="ij"))
    at, of = on_sphere(lat, lon), on_sphere(ds.lat.values, ds.lon.values)
    s0, s = deviation(at), deviation(of)
    assert s0.max() > 1.3 * s0.min()
    start = np.datetime64("2020-03-01")
    days, day0 = (
        (t - start) / np.timedelta64(1, "D") for t in (ds.time.values, found.time.values[2])
    )
    km = np.linalg.norm(of.position[:, None] - of.position, axis=-1)
    matrix = np.outer(s, s) * COVARIANCE(km, days[:, None] - days)
    matrix += COVARIANCE.nugget * np.eye(len(s))
    km = np.linalg.norm(at.position[:, None] - of.position, axis=-1)
    cross = np.outer(s0, s) * COVARIANCE(km, day0 - days)
    weights = np.linalg.solve(matrix, cross.T).T
    level = ds.sst.values.mean()
    np.testing.assert_allclose(
        found.sst[2].values.ravel(), weights @ (ds.sst.values - level) + level, atol=1e-8
    )
    np.testing.assert_allclose(
        found.sst_stdev[2].values.ravel() ** 2,
        s0**2 * COVARIANCE.variance - (weights * cross).sum(1), atol=1e-8,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"method": "oi", "grid": GRID, "local_variance": True}, r"give these \(mean\), or leave"),
        ({"method": "oi"}, "give a grid"),
        ({"method": "eof"}, "takes fields on a grid"),
        ({"method": "oi", "grid": GRID, "points": "other.nc"}, "list all files as observations"),
        (
            {"method": "oi", "grid": GRID, "withhold": np.ones(3)},
            r"shape \(3,\), expected \(168,\)",
        ),
        ({"method": "oi", "grid": GRID, "withhold": np.ones(168)}, "no observation of sst is left"),
        ({"method": "oi", "grid": "-40:-39:1,0:1:1", "mean": field()[0]}, "does not cover"),
    ],
)
def test_points_that_cannot_be_analysed(more, message) -> None:
    with pytest.raises(InputError, match=message):
        pyvda.assimilate(tracks(), engine="torch", **more)


def test_a_grid_has_no_effect_on_a_field() -> None:
    with pytest.raises(InputError, match="grid would have no effect"):
        pyvda.assimilate(field()[0], method="oi", grid=GRID, engine="torch")


def test_a_misspelt_variable_of_points_is_named_before_the_grid() -> None:
    with pytest.raises(InputError, match="no variable has the name or standard_name 'temperature'"):
        pyvda.assimilate(tracks(), variable="temperature", method="oi", grid=GRID, engine="torch")


def test_from_the_command_line(tmp_path, monkeypatch, capsys) -> None:
    ds = tracks()
    monkeypatch.chdir(tmp_path)
    ds.isel(obs=slice(0, 84), **{"pass": slice(0, 7)}).to_netcdf("a.nc")
    ds.isel(obs=slice(84, None), **{"pass": slice(7, None)}).to_netcdf("b.nc")
    (tmp_path / "cov.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(as_mapping()))))
    common = ["--engine", "torch", "--set"]
    arguments = ["assimilate", "a.nc", "b.nc", "--method", "oi", "--grid", GRID, "--times",
                 "2020-03-02/2020-03-03/1d", "-o", "map.nc", *common,
                 "covariance=cov.yaml"]  # fmt: skip
    assert run(monkeypatch, *arguments) == 0
    assert "sst_point: 168 observed" in capsys.readouterr().out
    whole = pyvda.assimilate(
        ds, method="oi", grid=GRID, times="2020-03-02/2020-03-03/1d", covariance=as_mapping(),
        engine="torch",
    )  # fmt: skip
    with xr.open_dataset("map.nc") as written:
        np.testing.assert_allclose(written.sst, whole.sst)
    whole[["sst"]].to_netcdf("truth.nc")
    assert run(monkeypatch, "plot", "map.nc", "--truth", "truth.nc", "-o", "map.png") == 0
    assert run(monkeypatch, "crossvalidate", "a.nc", "b.nc", "--draws", 2, "--json", "s.json",
               *common, "oi.covariance=cov.yaml") == 0  # fmt: skip
    assert "whole passes" in capsys.readouterr().out
    assert json.loads((tmp_path / "s.json").read_text())["variables"]["sst"]["oi"]["count"] == 72


def test_points_on_a_plane_are_those_on_a_small_part_of_the_sphere() -> None:
    ds = tracks(count=6)
    lat, lon = np.radians(ds.lat.values), np.radians(ds.lon.values)
    flat = xr.Dataset({
        "sst": ds.sst, "time": ds.time, "number": ("obs", np.repeat(np.arange(6), 12)),
        "y": ("obs", 6371e3 * (lat - np.radians(40)), {"units": "m", "axis": "Y"}),
        "x": ("obs", 6371.0 * np.cos(np.radians(40.4)) * (lon - np.radians(5)),
              {"units": "km", "axis": "X"}),
    }).drop_vars(["lat", "lon"])  # fmt: skip
    given = {"method": "oi", "covariance": as_mapping(), "engine": "torch"}
    curved = pyvda.assimilate(ds, grid="5.3:5.3:1,40.4:40.4:1", **given)
    x = 6371.0 * np.cos(np.radians(40.4)) * np.radians(0.3)
    y = 6371.0 * np.radians(0.4)
    found = pyvda.assimilate(flat, variable="sst", grid=f"{x}:{x}:1,{y}:{y}:1", **given)
    assert found.sst.dims == ("time", "y", "x")
    np.testing.assert_allclose(found.sst, curved.sst, atol=0.02)
    np.testing.assert_allclose(found.point_y, flat.y / 1000)


@pytest.mark.parametrize(("units", "written"), [("m", "km"), ("1", "1")])
def test_distances_and_coordinates_have_the_unit_of_the_places(units, written) -> None:
    at = {n: ("obs", np.arange(3.0), {"units": units, "axis": n.upper()}) for n in ("y", "x")}
    ds = xr.Dataset({"sst": ("obs", np.arange(3.0)), "time": ("obs", np.arange(3.0)), **at})
    found = pyvda.assimilate(ds, variable="sst", method="oi", grid="0:1:1,0:1:1",
                             covariance=as_mapping(), engine="torch")  # fmt: skip
    for name in ("sst_distance", "point_y", "point_x", "y", "x"):
        assert found[name].attrs["units"] == written, name
