"""Networks on whole files: tiles, gaps of every kind, and what cannot be done."""

import numpy as np
import pytest
import torch
import xarray as xr
from field_models import STACK, TOGETHER, UNET, VARIATIONAL, random_model
from gappy import COVARIANCE, as_mapping, field, tracks

import pyvda
from pyvda.errors import InputError
from pyvda.fields import points as of_points
from pyvda.fields.gridded import Cells
from pyvda.fields.learned.configuration import UNetSettings
from pyvda.fields.learned.network import Inputs
from pyvda.fields.target import on_grid
from pyvda.learned.patterns import PatternWarning
from pyvda.names import FieldFlag

pytestmark = pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")
SMALL = UNetSettings(kind="unet", days=1, widths=(4,), dropout=0.0)
OI = {"method": "oi", "covariance": as_mapping(), "engine": "torch", "nearest": 8}


def used(ds, folder, **options):
    return pyvda.assimilate(ds, checkpoint=folder, engine="torch", **options)


def wide(ny=24, nx=70, times=2, seed=3):
    """Return observations of a field larger than a tile, of no known covariance."""
    rng = np.random.default_rng(seed)
    values = 15 + rng.normal(size=(times, ny, nx))
    values[rng.random(values.shape) < 0.7] = np.nan
    time = np.datetime64("2020-03-01", "ns") + np.arange(times) * np.timedelta64(1, "D")
    return xr.Dataset(
        {"sst": (("time", "y", "x"), values, {"units": "degC"})},
        {"time": time, "y": ("y", 10.0 * np.arange(ny), {"units": "km"}),
         "x": ("x", 10.0 * np.arange(nx), {"units": "km"})},
    ).assign(mask=(("y", "x"), np.ones((ny, nx))))  # fmt: skip


def test_tiles_of_a_unet_give_what_the_whole_domain_gives(tmp_path) -> None:
    ds = wide(ny=40, nx=90)
    random_model(ds, UNET, first_guess="mean").save(tmp_path)
    whole = used(ds, tmp_path)
    tiles = used(ds, tmp_path, tile=16)
    for name in ("sst", "sst_stdev"):
        np.testing.assert_allclose(tiles[name], whole[name], rtol=1e-5, atol=1e-5)
    assert float(abs(whole.sst - 15).max()) > 0.1


def test_tiles_of_the_variational_form_differ_little(tmp_path) -> None:
    """The solver's steps reach farther, and are scaled by the gradient over the tile."""
    ds = wide(ny=32, nx=72)
    random_model(ds, VARIATIONAL, first_guess="mean").save(tmp_path)
    whole = used(ds, tmp_path)
    tiles = used(ds, tmp_path, tile=16)
    size = float((whole.sst - 15).std())
    assert 0 < float(abs(tiles.sst - whole.sst).max()) < 0.02 * size


def test_two_seas_with_land_between_them(tmp_path) -> None:
    """Land wider than a tile is skipped, and what is on one side does not depend on the other."""
    ds = wide(ny=24, nx=150)
    ds.mask[:, 20:130] = 0
    ds["sst"] = ds.sst.where(ds.mask > 0)
    random_model(ds, SMALL).save(tmp_path)
    found = used(ds, tmp_path, tile=16)
    land = (ds.mask == 0).values
    assert np.isnan(found.sst.values[:, land]).all()
    assert np.isfinite(found.sst.values[:, ~land]).all()
    assert (found.sst_flag.values[:, land] == FieldFlag.LAND).all()
    np.testing.assert_allclose(used(ds, tmp_path).sst, found.sst, rtol=1e-5, atol=1e-5)


def test_where_no_datum_is_near_the_estimate_is_that_of_the_first_guess(tmp_path) -> None:
    ds = wide(ny=24, nx=70)
    ds["sst"] = ds.sst.where(ds.x < 100)
    random_model(ds, SMALL).save(tmp_path)
    found = used(ds, tmp_path, tile=16)
    far = found.x > 10 * (10 + 8 + 20)
    np.testing.assert_allclose(found.sst.where(far, drop=True), 15.0, atol=0.2)
    stdev = np.sqrt(COVARIANCE.variance)
    np.testing.assert_allclose(found.sst_stdev.where(far, drop=True), stdev, rtol=0.02)
    assert (found.sst_flag.where(far, drop=True) == FieldFlag.NEVER_OBSERVED).all()
    assert float(found.sst_stdev.where(found.x < 100).mean()) < 0.9 * stdev


def test_of_one_day_land_and_mean_are_those_of_the_training(tmp_path) -> None:
    ds, _ = field(times=6)
    random_model(ds, SMALL).save(tmp_path)
    day = used(ds.isel(time=[2]), tmp_path)
    assert day.sizes["time"] == 1
    assert int(day.sst.notnull().sum()) == 19
    assert (day.sst_flag == FieldFlag.LAND).sum() == 1
    # As the same day among others without data.
    alone = used(ds.where(ds.time == ds.time[2]), tmp_path)
    np.testing.assert_allclose(alone.sst[2], day.sst[0], atol=1e-5)


@pytest.mark.parametrize("network", [UNET, STACK])
def test_two_variables_with_different_gaps(network, tmp_path) -> None:
    ds = field(times=4, seed=1)[0].rename(sst="u")
    ds["v"] = field(times=4, seed=2)[0].sst
    model = random_model(ds, network, ("u", "v"))
    model.save(tmp_path)
    both = used(ds, tmp_path)
    assert {"u", "v", "u_stdev", "v_flag"} <= set(both.data_vars)
    for name in ("u", "v"):
        np.testing.assert_array_equal(
            both[f"{name}_flag"] == FieldFlag.OBSERVED, ds[name].notnull()
        )
    # The network sees both variables: a change of one changes the other.
    changed = used(ds.assign(u=ds.u + ds.u.notnull()), tmp_path)
    assert float(abs(changed.v - both.v).max()) > 1e-4
    with pytest.raises(InputError, match="trained for u, v, but the variables are u"):
        used(ds, tmp_path, variable="u")


def test_a_stack_of_another_grid_has_the_mean_of_its_data(tmp_path) -> None:
    """Of data that are the same at all times, both means are the data."""
    ds, _ = field(times=4, cloud=0.0, land=False)
    random_model(ds, STACK).save(tmp_path)
    other = ds.assign_coords(lat=ds.lat + 1.0)
    other["sst"] = other.sst.isel(time=0, drop=True).broadcast_like(ds.sst)
    with pytest.warns(PatternWarning, match="another grid"):
        found = used(other, tmp_path)
    np.testing.assert_allclose(found.sst, other.sst, atol=0.6)
    assert float(found.sst.std("time").max()) < 0.2


@pytest.mark.parametrize("turned", [("lat",), ("lon",), ("lat", "lon")])
def test_axes_may_run_the_other_way(turned, tmp_path) -> None:
    ds, _ = field(times=3)
    random_model(ds).save(tmp_path)
    other = {dim: slice(None, None, -1) for dim in turned}
    out = ds.sst.notnull() & (ds.lat > 40.3)
    for options, same in (({}, {}), ({"withhold": out}, {"withhold": out.isel(other)})):
        found = used(ds.isel(other), tmp_path, **same)
        xr.testing.assert_equal(found, used(ds, tmp_path, **options).isel(other))


def test_another_grid_is_said(tmp_path) -> None:
    ds, _ = field(times=3)
    random_model(ds).save(tmp_path)
    with pytest.warns(PatternWarning, match="another grid"):
        found = used(ds.isel(lat=slice(1, None)), tmp_path)
    assert "another grid" in found.attrs["pyvda_pattern_difference"]
    assert int(found.sst.notnull().sum()) == 3 * 13


def test_a_complete_field_comes_back_to_within_its_noise(tmp_path) -> None:
    ds, _ = field(times=4, cloud=0.0)
    model = random_model(ds)
    model.network.unet.last.weight.data.zero_()  # as new: trained ones are scored elsewhere
    model.network.unet.last.bias.data.zero_()
    model.save(tmp_path)
    found = used(ds, tmp_path)
    error = (found.sst - ds.sst).values
    assert np.sqrt(np.nanmean(error**2)) < np.sqrt(COVARIANCE.nugget)
    assert float(found.sst_stdev.max()) < 1.2 * np.sqrt(COVARIANCE.nugget)


@pytest.mark.parametrize("size", [0.1, 1.0])
def test_several_networks_are_averaged_and_the_error_of_the_mean_is_smaller(size, tmp_path) -> None:
    ds, _ = field(times=3)
    for seed in (0, 1):
        model = random_model(ds, seed=seed)
        for parameter in model.network.unet.last.parameters():
            parameter.data *= size
        model.save(tmp_path / str(seed))
    folders = [str(tmp_path / str(seed)) for seed in (0, 1)]
    one, other = (used(ds, folder) for folder in folders)
    both = used(ds, "+".join(folders))
    np.testing.assert_allclose(both.sst, (one.sst + other.sst) / 2)
    # Of each time: the mean squared error of the mean, if the networks' own are as they say; at
    # least that of the mean of independent ones.
    variance = (one.sst_stdev**2 + other.sst_stdev**2) / 2
    less = ((one.sst - other.sst) / 2) ** 2
    space = ("lat", "lon")
    expected = np.maximum(variance.mean(space) - less.mean(space), variance.mean(space) / 2)
    assert (expected > variance.mean(space) / 2).all() == (size < 1)
    np.testing.assert_allclose((both.sst_stdev**2).mean(space), expected)
    ratio = both.sst_stdev**2 / variance
    assert (ratio.max(space) - ratio.min(space) < 1e-9).all()


def test_variances_are_those_of_validation(tmp_path) -> None:
    ds, _ = field(times=3)
    for factor in (1.0, 2.5):
        random_model(ds, variance_factor=factor).save(tmp_path / str(factor))
    one, other = (used(ds, tmp_path / str(factor)) for factor in (1.0, 2.5))
    np.testing.assert_array_equal(one.sst, other.sst)
    np.testing.assert_allclose(other.sst_stdev**2, 2.5 * one.sst_stdev**2)


def test_the_mean_with_oi_lies_half_way(tmp_path) -> None:
    ds, _ = field(times=3)
    random_model(ds).save(tmp_path / "corrected")
    new = random_model(ds)
    for parameter in new.network.unet.last.parameters():
        parameter.data.zero_()  # gives the first guess
    new.save(tmp_path / "guess")
    guess, corrected = (used(ds, tmp_path / name) for name in ("guess", "corrected"))
    mixed = used(ds, tmp_path / "corrected", mean_with_oi=True)
    np.testing.assert_allclose(mixed.sst, (guess.sst + corrected.sst) / 2, atol=1e-5)


def test_interpolation_is_one_of_several_whatever_their_first_guess(tmp_path) -> None:
    """Also of networks that correct the mean; of several, interpolation is one among them."""
    ds, _ = field(times=4)
    folders = [tmp_path / name for name in ("from-oi", "from-mean")]
    for folder, guess in zip(folders, ("oi", "mean"), strict=True):
        random_model(ds, first_guess=guess).save(folder)
    single = [used(ds, folder).sst for folder in folders]
    mixed = used(ds, "+".join(map(str, folders)), mean_with_oi=True)
    guess = 3 * mixed.sst - single[0] - single[1]
    new = random_model(ds)
    for parameter in new.network.unet.last.parameters():
        parameter.data.zero_()
    new.save(tmp_path / "guess")
    np.testing.assert_allclose(guess, used(ds, tmp_path / "guess").sst, atol=1e-4)


def test_a_folder_is_a_method_of_a_cross_validation(tmp_path) -> None:
    ds, _ = field(times=8, seed=4)
    for seed in (0, 1):
        random_model(ds, seed=seed).save(tmp_path / str(seed))
    first, second = str(tmp_path / "0"), str(tmp_path / "1")
    found = pyvda.crossvalidate(ds, [first, f"{first}+{second}"], draws=1, times=4, engine="torch")[
        "variables"
    ]["sst"]
    assert list(found) == [first, f"{first}+{second}"]
    assert found[first]["rmse"] != found[f"{first}+{second}"]["rmse"]
    with pytest.raises(InputError, match="no method for fields"):
        pyvda.crossvalidate(ds, [str(tmp_path)], engine="torch")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda ds: ds.drop_vars(["lat", "lon"]), "has no coordinates that say where"),
        (lambda ds: ds.assign(mask=(("lat", "lon"), np.zeros((4, 5)))), "all points are land"),
        (lambda ds: ds.assign(sst=ds.sst.assign_attrs(units="K")), "convert the field"),
        (lambda ds: ds.rename(sst="chl"), "sst"),
        (lambda ds: ds.where(False), "no observation"),
    ],
)
def test_what_cannot_be_filled_is_refused(change, said, tmp_path) -> None:
    ds, _ = field(times=3)
    random_model(ds).save(tmp_path)
    with pytest.raises(InputError, match=said):
        used(change(ds), tmp_path)


@pytest.mark.parametrize("network", [UNET, VARIATIONAL, STACK])
def test_blocks_of_times_give_what_the_whole_series_gives(network, tmp_path) -> None:
    ds, _ = field(times=9, seed=5)
    ds["sst"] = ds.sst.where(ds.time != ds.time[4])
    random_model(ds, network).save(tmp_path)
    whole = used(ds, tmp_path)
    for turned in ({}, {"lat": slice(None, None, -1)}):
        lazy = used(ds.isel(turned), tmp_path, block=2)
        assert lazy.sst.chunks is not None
        found = lazy.compute().isel(turned)
        for name in ("sst", "sst_stdev", "sst_flag", "sst_distance"):
            np.testing.assert_allclose(found[name], whole[name], rtol=1e-5, atol=1e-6)


def test_blocks_take_the_mean_of_the_training_and_no_other(tmp_path) -> None:
    ds, _ = field(times=4)
    random_model(ds).save(tmp_path)
    with pytest.raises(InputError, match="train on this grid"):
        used(ds.isel(lat=slice(1, None)), tmp_path, block=2)


def test_tracks_are_estimated_on_a_grid(tmp_path) -> None:
    """As the field of the means of their cells."""
    ds, _ = field(times=6, land=False)
    random_model(ds).save(tmp_path)
    rows = tracks()
    found = used(rows, tmp_path, grid=ds)
    points = of_points.read(rows, "sst")
    grid = on_grid(points, ds)
    cells = Cells.with_data(grid, points)
    values = grid.on_grid(cells.values(points.values["sst"]).values)
    means = ds.assign(
        sst=(ds.sst.dims, values, ds.sst.attrs), mask=(("lat", "lon"), np.ones((4, 5)))
    )
    same = used(means, tmp_path)
    np.testing.assert_allclose(found.sst, same.sst, atol=1e-5)
    at = same.sst.values.reshape(6, -1)[cells.time, cells.point]
    inside = cells.inside
    np.testing.assert_allclose(found.sst_point.values[inside], at[inside], atol=1e-5)
    assert np.isnan(found.sst_point.values[~inside]).all()
    with pytest.raises(InputError, match="give a grid"):
        used(rows, tmp_path)
    with pytest.raises(InputError, match="takes fields on a grid"):
        pyvda.crossvalidate(rows, ["oi", str(tmp_path)])


def test_all_times_together_are_those_of_the_network_on_each_window(tmp_path) -> None:
    ds = wide(ny=12, nx=14, times=9)
    model = random_model(ds, TOGETHER, first_guess="mean")
    model.save(tmp_path)
    found = used(ds, tmp_path)
    values = torch.from_numpy(np.nan_to_num(ds.sst.values - 15).astype(np.float32))
    there = torch.from_numpy(ds.sst.notnull().values.astype(np.float32))
    y, x = np.meshgrid(np.linspace(-1, 1, 12), np.linspace(-1, 1, 14), indexing="ij")
    season = np.float32(2 * np.pi / 365.2425) * (ds.time.dt.dayofyear.values - 1)
    for time, start in ((0, 0), (1, 0), (4, 2), (8, 4)):
        window = slice(start, start + 5)
        middle = np.ones((12, 14)) * season[start + 2]
        static = np.stack([np.ones_like(y), np.sin(middle), np.cos(middle), x, y])
        with torch.no_grad():
            mean, _, _ = model(Inputs(
                values[None, None, window], there[None, None, window], torch.zeros(1, 1, 12, 14),
                torch.ones(1, 1, 12, 14), torch.zeros(1, 1, 0, 12, 14),
                torch.from_numpy(static[None].astype(np.float32)),
            ))  # fmt: skip
        expected = mean[0, 0, time - start].numpy() + 15
        np.testing.assert_allclose(found.sst[time], expected, atol=1e-4)
    assert float(abs(found.sst - 15).max()) > 0.1


def test_the_mean_of_turns_turns_with_the_file(tmp_path) -> None:
    ds = wide(ny=12, nx=14, times=9)
    model = random_model(ds, TOGETHER, first_guess="mean")
    model.save(tmp_path)
    mirrored = (30 - ds.sst).isel(y=slice(None, None, -1)).assign_attrs(ds.sst.attrs)
    other = ds.assign(sst=(ds.sst.dims, mirrored.values, ds.sst.attrs))
    one, two = (used(file, tmp_path, turned="sign y") for file in (ds, other))
    np.testing.assert_allclose(two.sst[:, ::-1], 30 - one.sst, atol=1e-4)
    assert float(abs(one.sst - used(ds, tmp_path).sst).max()) > 0.01
    with pytest.raises(InputError, match="turned"):
        used(ds, tmp_path, turned="sign z")


@pytest.mark.parametrize("more", [{}, {"block": 2}])
def test_a_turn_that_does_nothing_to_a_stack_is_refused(more, tmp_path) -> None:
    ds, _ = field(times=4)
    random_model(ds, STACK).save(tmp_path)
    with pytest.raises(InputError, match="turned has x, which would have no effect"):
        used(ds, tmp_path, turned="sign y, x", **more)


@pytest.mark.parametrize("block", [2, 5])
def test_blocks_of_all_times_together_give_what_the_whole_gives(block, tmp_path) -> None:
    ds = wide(ny=12, nx=14, times=13)
    random_model(ds, TOGETHER, first_guess="mean").save(tmp_path)
    whole = used(ds, tmp_path)
    np.testing.assert_allclose(used(ds, tmp_path, block=block).sst, whole.sst, atol=1e-5)
