"""Small fields with gaps and a known covariance, for the tests of methods without a model."""

from dataclasses import replace

import numpy as np
import xarray as xr

from pyvda.fields.covariance import Factor, SpaceTimeCovariance

COVARIANCE = SpaceTimeCovariance(
    factors=(
        Factor(variance=0.8, km=60.0, days=3.0),
        Factor(variance=0.3, km=200.0, days=8.0, space="gaussian", time="matern32"),
    ),
    nugget=0.02,
)


def field(times=6, ny=4, nx=5, seed=0, cloud=0.4, land=True, name="sst"):
    """Return a Dataset drawn from COVARIANCE, with clouds and one point of land, and the truth."""
    rng = np.random.default_rng(seed)
    lat, lon = 40 + 0.25 * np.arange(ny), 5 + 0.3 * np.arange(nx)
    time = np.datetime64("2020-03-01", "ns") + np.arange(times) * np.timedelta64(1, "D")
    from pyvda.fields.places import on_sphere

    grid = [g.ravel() for g in np.meshgrid(lat, lon, indexing="ij")]
    position = on_sphere(*grid).position
    km = np.linalg.norm(position[:, None] - position, axis=-1)
    days = np.arange(float(times))
    whole = COVARIANCE(km[None, :, None, :], (days[:, None] - days)[:, None, :, None])
    matrix = whole.reshape(times * len(position), -1)
    root = np.linalg.cholesky(matrix + 1e-9 * np.eye(len(matrix)))
    truth = (root @ rng.normal(size=len(matrix))).reshape(times, ny, nx) + 15.0
    values = truth + np.sqrt(COVARIANCE.nugget) * rng.normal(size=truth.shape)
    for t in range(times if cloud else 0):
        centre = rng.uniform(0, ny), rng.uniform(0, nx)
        y, x = np.mgrid[:ny, :nx]
        distance = np.hypot(y - centre[0], x - centre[1])
        values[t, distance <= np.quantile(distance, cloud)] = np.nan
    if land:
        values[:, ny // 2, nx // 2] = np.nan
    ds = xr.Dataset(
        {name: (("time", "lat", "lon"), values, {"units": "degC", "standard_name": "sea_water"})},
        {
            "time": time,
            "lat": ("lat", lat, {"units": "degrees_north"}),
            "lon": ("lon", lon, {"units": "degrees_east"}),
        },
        {"title": "a test"},
    )
    return ds, truth


def as_mapping(name="sst", **more):
    """Return COVARIANCE as the contents of a file."""
    return {"variables": {name: COVARIANCE.as_dict()}, **more}


def tracks(count=14, of_pass=12, seed=1, noise=0.1, bias=0.0):
    """Return passes over the area of `field` as a CF trajectory file, drawn from COVARIANCE."""
    from pyvda.fields.places import on_sphere

    rng = np.random.default_rng(seed)
    start = np.stack([40 + 0.75 * rng.uniform(size=count), 5 + 1.2 * rng.uniform(size=count)], 1)
    course = rng.uniform(-1, 1, (count, 2)) * 0.05
    step = np.arange(of_pass)
    lat = (start[:, :1] + course[:, :1] * step).ravel()
    lon = (start[:, 1:] + course[:, 1:] * step).ravel()
    seconds = np.sort(rng.uniform(0, 6 * 86400, count))[:, None] + 2.0 * step
    days = seconds.ravel() / 86400
    position = on_sphere(lat, lon).position
    km = np.linalg.norm(position[:, None] - position, axis=-1)
    matrix = COVARIANCE(km, days[:, None] - days)
    root = np.linalg.cholesky(matrix + 1e-9 * np.eye(len(matrix)))
    values = root @ rng.normal(size=len(matrix)) + noise * rng.normal(size=len(matrix)) + 15.0
    values += np.repeat(bias * rng.normal(size=count), of_pass)
    time = np.datetime64("2020-03-01", "ns") + (days * 86400e9).astype("timedelta64[ns]")
    return xr.Dataset(
        {
            "sst": ("obs", values, {"units": "degC", "standard_name": "sea_water"}),
            "row_size": ("pass", np.full(count, of_pass), {"sample_dimension": "obs"}),
            "number": ("pass", np.arange(count) + 7, {"cf_role": "trajectory_id"}),
        },
        {
            "time": ("obs", time, {"standard_name": "time"}),
            "lat": ("obs", lat, {"units": "degrees_north"}),
            "lon": ("obs", lon, {"units": "degrees_east"}),
        },
        {"featureType": "trajectory"},
    )


def drawn_passes(count=40, each=20, track_variance=0.0, seed=0):
    """Return data along straight passes at a time each, drawn from COVARIANCE and their errors."""
    from pyvda.fields.places import on_plane
    from pyvda.fields.scattered import ScatteredRows

    rng = np.random.default_rng(seed)
    start, end = (400 * rng.uniform(size=(2, count, 1)) for _ in range(2))
    share = np.linspace(0, 1, each) ** 1.3  # no two are as far from a third
    places = on_plane(*(start + share * (end - start)).reshape(2, -1))
    days = np.repeat(np.sort(rng.uniform(0, 20, count)), each)
    km = np.linalg.norm(places.position[:, None] - places.position, axis=-1)
    matrix = COVARIANCE(km, days[:, None] - days) + COVARIANCE.nugget * np.eye(len(days))
    track = np.repeat(np.arange(count), each)
    matrix += track_variance * (track[:, None] == track) * np.exp(-km / 20.0)
    value = np.linalg.cholesky(matrix) @ rng.normal(size=len(days))
    return ScatteredRows(places, days, value, np.zeros(len(days)), track, np.zeros((len(days), 0)))


def varying(rows):
    """Return rows whose field has another standard deviation at each place."""
    deviation = np.random.default_rng(5).uniform(0.5, 2.0, len(rows.value))
    return rows._replace(places=replace(rows.places, deviation=deviation))


def worst_slope(monkeypatch, module, fit):
    """Return the largest error of the gradient of what `fit` of `module` minimises.

    Compared to differences, away from where the search starts.
    """
    seen = {}

    def kept(objective, start, *given, **options):
        seen["found"] = objective, start
        return start

    monkeypatch.setattr(module, "minimised", kept)
    fit()
    objective, start = seen["found"]
    at = start + np.random.default_rng(0).normal(size=len(start)) / 2
    slopes = [
        (objective(at + small)[0] - objective(at - small)[0]) / 2e-5
        for small in 1e-5 * np.eye(len(at))
    ]
    gradient = objective(at)[1]
    assert np.abs(gradient).min() > 1e-6
    return float(np.abs(gradient - slopes).max())
