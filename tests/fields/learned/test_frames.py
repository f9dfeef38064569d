import numpy as np
import pytest
from gappy import field

from pyvda.fields.field import opened
from pyvda.fields.learned.description import Grid
from pyvda.fields.learned.frames import Frames, Tile, stacked

pytestmark = pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")


def frames(ds, half=1, step=1.0):
    found = opened(ds)
    values = found.read("sst").values - 15.0
    return found, Frames(found, values[None], half, step, Grid.of(found))


def none(ny, nx):
    """Return no other interpolations."""
    return np.zeros((1, 0, ny, nx))


def test_a_sample_has_the_times_around_and_hides_its_own() -> None:
    ds, _ = field(times=6, seed=1)
    _found, made = frames(ds)
    tile = Tile(slice(1, 4), slice(0, 3))
    guess = np.ones((1, 3, 3))
    hidden = np.zeros((3, 3), bool)
    hidden[0] = True
    values, mask, *_ = made.inputs(2, tile, guess, guess, none(3, 3), hidden)
    sst = ds.sst.values[1:4, 1:4, :3] - 15.0
    expected = np.isfinite(sst)
    expected[1, 0] = False
    np.testing.assert_array_equal(mask[0], expected)
    np.testing.assert_allclose(values[0], np.where(expected, sst, 0), atol=1e-6)
    assert made.mask.any()
    assert made.mask[0, 2, 1].sum() > mask[0, 1, 0].sum()


def test_a_mean_without_what_is_hidden_moves_the_times_around_at_its_points() -> None:
    _, made = frames(field(times=6, seed=1, land=False)[0])
    tile, guess = Tile(slice(1, 4), slice(0, 3)), np.ones((1, 3, 3))
    hidden = np.zeros((3, 3), bool)
    hidden[0, 1:] = True
    shift = np.arange(6.0).reshape(1, 3, 2)
    plain, mask, *_ = made.inputs(2, tile, guess, guess, none(3, 3), hidden)
    moved, *_ = made.inputs(2, tile, guess, guess, none(3, 3), hidden, shift)
    expected = np.where(mask[..., hidden], shift, 0)
    assert expected.any()
    np.testing.assert_allclose((plain - moved)[..., hidden], expected, atol=1e-6)
    np.testing.assert_array_equal(plain[..., ~hidden], moved[..., ~hidden])


def test_before_the_first_time_and_in_a_hole_nothing_is_seen() -> None:
    ds, _ = field(times=6, cloud=0.0)
    _, made = frames(ds.isel(time=[0, 1, 3, 5]))
    tile, guess = Tile(slice(0, 4), slice(0, 5)), np.ones((1, 4, 5))
    seen = [
        made.inputs(t, tile, guess, guess, none(4, 5))[1][0].any((1, 2)).tolist() for t in range(4)
    ]
    assert seen == [
        [False, True, True], [True, True, False], [False, True, False], [False, True, False]
    ]  # fmt: skip


def test_land_is_zero_in_every_channel() -> None:
    ds, _ = field()
    _, made = frames(ds)
    guess = np.where(made.index >= 0, 1.0, 0.0)[None]
    tile = Tile(slice(0, 4), slice(0, 5))
    values, mask, *_, static = made.inputs(3, tile, guess, guess, none(4, 5))
    land = made.index < 0
    assert land.sum() == 1
    for channels in (values[0], mask[0], static):
        assert not channels[:, land].any()
    assert static[0].sum() == 19


def test_a_batch_is_of_tensors() -> None:
    ds, _ = field()
    _, made = frames(ds)
    guess = np.ones((1, 4, 5))
    tile = Tile(slice(0, 4), slice(0, 5))
    batch = stacked([made.inputs(t, tile, guess, guess, none(4, 5)) for t in (0, 1)])
    assert batch.others.shape == (2, 1, 0, 4, 5)
    assert batch.values.shape == (2, 1, 3, 4, 5)
    assert batch.static.shape == (2, 5, 4, 5)


def test_a_time_is_estimated_by_the_window_with_the_most_times_around_it() -> None:
    ds, _ = field(times=9, cloud=0.0)
    _, made = frames(ds, half=2)
    middle, place = made.middles(np.arange(9))
    assert middle.tolist() == [2, 2, 2, 3, 4, 5, 6, 6, 6]
    assert place.tolist() == [0, 1, 2, 2, 2, 2, 2, 3, 4]


def test_windows_do_not_cross_a_gap() -> None:
    ds, _ = field(times=20, cloud=0.0)
    _, made = frames(ds.isel(time=[0, 1, 2, 3, 4, 12, 13, 14]), half=1)
    middle, place = made.middles(np.arange(8))
    assert middle.tolist() == [1, 1, 2, 3, 3, 6, 6, 6]
    assert place.tolist() == [0, 1, 1, 1, 2, 0, 1, 2]
