"""Complete fields as targets: their values, data of other times, and whole trainings on them."""

import numpy as np
import pytest
import xarray as xr
from gappy import drawn_passes
from point_networks import configuration, passes, scaled

from pyvda.engine import get_engine
from pyvda.errors import InputError
from pyvda.fields.learned_points.samples import PointSamples
from pyvda.fields.learned_points.train import train_points
from pyvda.fields.learned_points.truth import Truth
from pyvda.fields.places import on_plane

pytestmark = pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")


def wave(y, x, days):
    return 2 * np.cos(x / 60) * np.cos(y / 60) + 0.1 * days


def truth(spacing=20.0):
    """Return a wave that grows in time, on 25 days."""
    along = np.arange(0.0, 400.0 + spacing, spacing)
    y, x = (g.ravel() for g in np.meshgrid(along, along, indexing="ij"))
    days = np.arange(25.0)
    return Truth(on_plane(y, x), days, 1.0, wave(y, x, days[:, None]))


def test_between_points_and_times() -> None:
    rows = drawn_passes()
    x, y = rows.places.map.T
    found = truth(5.0).at(rows.places, rows.days)
    np.testing.assert_allclose(found, wave(y, x, rows.days), atol=0.03)
    known = truth()
    at = known.at(known.places, np.full(len(known.places), 3.0))
    np.testing.assert_allclose(at, known.values[3], atol=1e-6)


def test_data_of_other_times_keep_places_and_errors() -> None:
    known, rows = truth(), drawn_passes()
    error = np.random.default_rng(1).normal(size=len(rows.days))
    rows = rows._replace(value=known.at(rows.places, rows.days) + error)
    assert len(known.within(rows).days) == len(rows.days)
    assert len(known.within(rows._replace(days=rows.days + 10.0)).days) < len(rows.days)
    found = known.observed_later(rows, np.random.default_rng(2))
    later = np.mod(found.days - rows.days, 25.0)
    np.testing.assert_allclose(later, later[0])
    assert 1 <= later[0] <= 24
    assert (found.days >= -0.5).all()
    assert (found.days < 24.5).all()
    left = found.value - known.at(rows.places, found.days)
    np.testing.assert_allclose(np.abs(left), np.abs(error), atol=1e-9)
    kept = left * error > 0
    of_pass = [kept[rows.track == track] for track in np.unique(rows.track)]
    assert all(one.all() or not one.any() for one in of_pass)
    assert 0 < kept.mean() < 1


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return passes over a wave, their file and one with the wave."""
    folder = tmp_path_factory.mktemp("truth")
    ds = passes(count=60, each=12)
    error = 0.1 * np.random.default_rng(0).normal(size=ds.sizes["obs"])
    values = wave(ds.y.values, ds.x.values, 0.0) + error + 15
    ds = ds.assign(sst=("obs", values, ds.sst.attrs))
    ds.to_netcdf(folder / "tracks.nc")
    along = np.arange(0.0, 401.0, 20.0)
    axes = {n: (n, along, {"units": "km", "axis": n.upper()}) for n in "yx"}
    fields = np.broadcast_to(wave(along[:, None], along, 0.0) + 15, (20, 21, 21))
    complete = xr.Dataset(
        {"sst": (("time", "y", "x"), fields, {"units": "degC"})},
        {"time": ("time", np.arange(20) + 0.5, {"units": "days"}), **axes},
    )
    complete.to_netcdf(folder / "truth.nc")
    return folder


GIVEN = {"within_days": 20.0, "group_days": 5.0, "samples": 400}


def test_targets_are_the_truth_less_what_data_say(files) -> None:
    settings = configuration(files / "tracks.nc", truth=str(files / "truth.nc"), draws=2, **GIVEN)
    made = PointSamples(settings.points, settings.network, get_engine("torch"))
    first, second = made.checks(), made.epoch(1)
    assert len(first.track) == 400
    assert set(first.track.tolist()) == {0, 1, 2, 3}  # of 5 days each
    for track, fold in ((0, 0), (1, 0), (2, 1), (3, 2)):
        assert set(first.fold[first.track == track].tolist()) == {fold}
    # The interpolation of data with errors of 0.1 is about as good.
    assert 0.02 < float(first.error.std()) < 0.5
    assert abs(float(second.error.std() / first.error.std()) - 1) < 0.5
    assert not np.array_equal(first.track, second.track)


def test_a_network_learns_from_the_truth(files, tmp_path) -> None:
    settings = configuration(
        files / "tracks.nc", 0.3, {"epochs": 12, "averaging": 0.9}, truth=str(files / "truth.nc"),
        **GIVEN | {"samples": 1500},
    )  # fmt: skip
    assert scaled(0.3) == settings.points.covariance
    model = train_points(settings, tmp_path / "run", engine="torch")
    assert model.about["scores"].high < 1
    assert model.about["corrects"]
    assert model.about["trained"]["truth"] == "truth.nc"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda ds: ds.isel(time=slice(0, 8)), "spans 8 days, too few for each of 3 members to"),
        (lambda ds: ds.assign_coords(time=ds.time + 100), "0 passes lie within the times of"),
        (lambda ds: ds.where((ds.x > 50) | (ds.time > 1)), "is missing at 63 points of the sea"),
        (lambda ds: ds.isel(time=0, drop=True), "has no sst over"),
    ],
)
def test_complete_fields_that_are_refused(files, tmp_path, change, said) -> None:
    with xr.open_dataset(files / "truth.nc") as ds:
        change(ds.load()).to_netcdf(tmp_path / "other.nc")
    settings = configuration(files / "tracks.nc", truth=str(tmp_path / "other.nc"), **GIVEN)
    with pytest.raises(InputError, match=said):
        PointSamples(settings.points, settings.network, get_engine("torch"))
