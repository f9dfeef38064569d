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
    digest_of_values,
    digests,
    digests_of_0_2,
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


def test_places_are_compared_along_the_finer_axis(tmp_path) -> None:
    ds, _ = field()
    ds = ds.assign_coords(lat=40 + 0.01 * np.arange(4), lon=5 + np.arange(5.0))
    random_model(ds).save(tmp_path)
    about = read_description(tmp_path)
    assert about.same_grid(opened(ds.assign_coords(lat=ds.lat + 0.00005)))
    assert not about.same_grid(opened(ds.assign_coords(lat=ds.lat + 0.005)))


@pytest.mark.parametrize("name", ["sea", "position"])
def test_weights_of_another_grid_are_refused_in_a_sentence(name, tmp_path) -> None:
    ds, _ = field()
    model = random_model(ds)
    if name == "sea":
        model.sea = model.sea[1:]
    else:
        model.position = model.position[1:]
    model.save(tmp_path)
    with pytest.raises(InputError, match=f"{name} in .* has shape .* expects .*; copy the whole"):
        read_description(tmp_path).same_grid(opened(ds))


def test_descriptions_of_both_formats_are_read(trained, tmp_path) -> None:
    _, about = trained
    contents = json.loads(about.text())
    assert contents["format"] == 2
    for version, known in ((1, True), (3, False)):
        (tmp_path / "field.json").write_text(json.dumps(contents | {"format": version}))
        if known:
            assert read_description(tmp_path).format == version
        else:
            with pytest.raises(InputError, match="format"):
                read_description(tmp_path)


@pytest.mark.parametrize("made", [digests, digests_of_0_2])
def test_a_training_has_seen_its_file_but_for_what_it_withheld(made) -> None:
    ds, _ = field()
    found = opened(ds)
    values = {"sst": found.read("sst").values}
    hidden = np.isfinite(values["sst"]) & (np.arange(len(found.days)) % 2 == 0)[:, None]
    other = {"sst": values["sst"] + 1}
    whole = random_model(ds, trained=made(found, values, None)).describe(b"")
    part = random_model(ds, trained=made(found, values, hidden)).describe(b"")
    neither = random_model(ds).describe(b"")
    assert [one.has_seen(found, values, None) for one in (whole, part, neither)] == [
        True, True, False,
    ]  # fmt: skip
    assert [one.has_seen(found, values, hidden) for one in (whole, part)] == [True, False]
    assert part.has_seen(found, values, ~hidden)
    assert not whole.has_seen(found, other, None)


def test_digests_of_0_2_are_those_that_it_wrote() -> None:
    """By `digest_of_data` and `digest_of_withheld` of commit a32372c."""
    ds, _ = field(cloud=0)
    time, y, x = np.indices(ds.sst.shape)
    values = np.where(ds.sst.notnull(), 100.0 * time + 10 * y + x, np.nan)
    found = opened(ds.assign(sst=(ds.sst.dims, values, ds.sst.attrs)))
    read = found.read("sst").values
    assert digests_of_0_2(found, {"sst": read}, read > 300) == {
        "data_sha256": "3d2d46aed0621e83b3e9d8ff8b400fcd0dee56e39a99a71db290b13451958d60",
        "withheld_sha256": "6004a54bddbead1a23d4163cfecc835833d9c3714263246e87526c92fb17214b",
    }


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
    one = digest_of_values(days, {"sst": values})
    assert digest_of_values(days + 1e-9, {"sst": land}) == one
    hidden = np.where(np.arange(6) == 3, np.nan, values)
    others = [(days + 1, {"sst": values}), (days, {"chl": values}), (days, {"sst": values[::-1]}),
              (days, {"sst": hidden})]  # fmt: skip
    assert len({one, *(digest_of_values(*other) for other in others)}) == 5


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
