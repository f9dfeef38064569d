"""How a field may differ from that of the training."""

import json

import numpy as np
import pytest
from field_models import random_model
from gappy import field

from pyvda.errors import InputError
from pyvda.fields.field import opened
from pyvda.fields.learned.description import (
    Grid,
    _digest,
    digest_of_data,
    is_of_fields,
    read_description,
    spacing,
)

pytestmark = pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")


@pytest.fixture
def trained(tmp_path):
    ds, _ = field()
    random_model(ds).save(tmp_path)
    return ds, read_description(tmp_path)


def test_the_trainings_own_field_is_no_different(trained) -> None:
    ds, about = trained
    found = opened(ds)
    about.check(found)
    assert about.same_grid(found)
    assert about.differences(found, about.cover) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda ds: ds.isel(time=slice(None, None, 2)), "a step of 2 days, trained on 1"),
        (lambda ds: ds.isel(lon=slice(None, None, 2)), "km apart, trained on 25.5 km"),
        (lambda ds: ds.assign_coords(lat=ds.lat + 1), "another grid or land mask"),
        (lambda ds: ds.isel(lon=slice(1, None)), "another grid or land mask"),
    ],
)
def test_differences_are_said(trained, change, said) -> None:
    ds, about = trained
    found = "; ".join(about.differences(opened(change(ds)), about.cover))
    assert said in found


def test_another_cover_is_said(trained) -> None:
    ds, about = trained
    [found] = about.differences(opened(ds), 0.1)
    assert "10.0% of the points observed" in found


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (lambda ds: ds.rename(sst="chl"), {}, "trained for sst, but the variables are chl"),
        (lambda ds: ds.assign(sst=ds.sst.assign_attrs(units="K")), {}, "convert the field"),
        (lambda ds: ds, {"transform": "log10"}, "trained with transform none"),
    ],
)
def test_another_variable_unit_or_transform_is_refused(trained, change, options, said) -> None:
    ds, about = trained
    with pytest.raises(InputError, match=said):
        about.check(opened(change(ds), **options))


@pytest.mark.parametrize(("lat", "lon"), [(0.25, 0.3), (0.0025, 0.003)])
def test_a_grid_is_the_same_to_a_hundredth_of_its_spacing(lat, lon, tmp_path) -> None:
    """Whether it has a wide spacing or that of a harbour; single precision leaves it the same."""
    ds, _ = field()
    ds = ds.assign_coords(lat=40 + lat * np.arange(4), lon=5 + lon * np.arange(5))
    random_model(ds).save(tmp_path)
    about = read_description(tmp_path)
    assert about.same_grid(opened(ds))
    for shift, same in ((0.005, True), (0.05, False)):
        assert about.same_grid(opened(ds.assign_coords(lon=ds.lon + shift * lon))) == same
    single = ds.assign_coords(lat=ds.lat.astype("f4"), lon=ds.lon.astype("f4"))
    assert about.same_grid(opened(single))
    assert not about.same_grid(opened(ds.isel(lat=slice(None, None, -1))))


def test_a_grid_of_pyvda_0_2_is_told_by_its_digest(tmp_path) -> None:
    """Its weights have no positions."""
    ds, _ = field()
    grid = Grid.of(opened(ds)).model_copy(update={"digest": _digest(opened(ds))})
    model = random_model(ds, grid=grid)
    model.position = None
    model.save(tmp_path)
    about = read_description(tmp_path)
    assert about.same_grid(opened(ds))
    assert not about.same_grid(opened(ds.assign_coords(lon=ds.lon + 1e-1)))


def test_data_are_the_same_whatever_the_order_and_the_land_of_points() -> None:
    days, values = np.arange(3.0), np.random.default_rng(1).normal(size=(3, 6))
    values[1, 2:4] = np.nan
    land = np.insert(values[:, ::-1].astype(np.float32), 2, np.nan, axis=1)
    one = digest_of_data(days, {"sst": values})
    assert digest_of_data(days + 1e-9, {"sst": land}) == one
    hidden = np.where(np.arange(6) == 3, np.nan, values)
    others = [(days + 1, {"sst": values}), (days, {"chl": values}), (days, {"sst": values[::-1]}),
              (days, {"sst": hidden})]  # fmt: skip
    assert len({one, *(digest_of_data(*other) for other in others)}) == 5


def test_the_spacing_is_that_of_neighbours() -> None:
    ds, _ = field()
    km = 6371 * np.radians(0.3) * np.cos(np.radians(40.375))
    np.testing.assert_allclose(spacing(opened(ds)), km, rtol=0.01)


def test_another_folder_is_refused(tmp_path) -> None:
    assert not is_of_fields(tmp_path)
    with pytest.raises(InputError, match="holds no network for fields"):
        read_description(tmp_path)
    (tmp_path / "field.json").write_text('{"format": 1}')
    with pytest.raises(InputError, match=r"field\.json"):
        read_description(tmp_path)


def test_the_first_unets_saw_no_means(trained, tmp_path) -> None:
    _, about = trained
    assert about.network.means
    contents = json.loads(about.text())
    del contents["network"]["means"]
    (tmp_path / "field.json").write_text(json.dumps(contents))
    assert not read_description(tmp_path).network.means
