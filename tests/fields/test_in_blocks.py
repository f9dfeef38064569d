"""Fields in blocks: the same numbers as in memory, and memory that does not grow with the file."""

import json
import tracemalloc

import numpy as np
import pytest
import xarray as xr
import yaml
from command_line import run
from gappy import as_mapping, field

import pyvda
from pyvda import cluster
from pyvda.engine import get_engine
from pyvda.engine.data import Interpolated
from pyvda.errors import InputError
from pyvda.fields import field as of_field
from pyvda.fields import in_blocks, optimal_interpolation
from pyvda.fields.field import opened
from pyvda.fields.interpolation_options import OptimalInterpolationOptions
from pyvda.io.netcdf import save_analysis

pytestmark = pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")
GIVEN = {"method": "oi", "covariance": as_mapping(), "engine": "torch", "nearest": 3,
         "within_days": 2.0}  # fmt: skip


@pytest.fixture(scope="module")
def ds():
    return field(times=11, ny=3, nx=4, seed=6)[0]


@pytest.mark.parametrize("more", [{}, {"local_variance": True}, {"season_days": 10.0}])
def test_blocks_give_the_numbers_of_the_whole(ds, more) -> None:
    whole = pyvda.assimilate(ds, **GIVEN, **more)
    found = pyvda.assimilate(ds, block=4, **GIVEN, **more)
    assert found.sst.chunksizes["time"] == (4, 4, 3)
    for name in whole.data_vars:
        np.testing.assert_allclose(found[name], whole[name], atol=1e-12, err_msg=name)
        assert (found[name].dims, found[name].dtype) == (whole[name].dims, whole[name].dtype)
    assert found.sst.attrs == whole.sst.attrs


def test_chunks_of_dask_are_blocks_and_what_is_withheld_is_not_used(ds) -> None:
    chosen = (ds.sst.notnull() & (ds.time == ds.time[5])).astype(int)
    with_mask = ds.assign(out=chosen).transpose("lat", "time", "lon")
    whole = pyvda.assimilate(with_mask, variable="sst", withhold="out", **GIVEN)
    lazy = pyvda.assimilate(with_mask.chunk(time=3, lat=2), variable="sst", withhold="out", **GIVEN)
    xr.testing.assert_allclose(lazy[list(whole.data_vars)].load(), whole, atol=1e-12)
    with pytest.raises(InputError, match="only a variable of its own file"):
        pyvda.assimilate(ds, block=4, withhold=chosen, **GIVEN)


def test_a_covariance_is_fitted_to_stretches_of_a_long_field(ds, monkeypatch) -> None:
    found = opened(ds)
    np.testing.assert_array_equal(optimal_interpolation.sampled(found), np.arange(11))
    monkeypatch.setattr(optimal_interpolation, "_SAMPLED", 66)
    monkeypatch.setattr(optimal_interpolation, "_STRETCH", 3)
    np.testing.assert_array_equal(optimal_interpolation.sampled(found), [0, 1, 2, 8, 9, 10])


def test_a_block_is_chosen_by_size_and_workers(ds, monkeypatch) -> None:
    options = OptimalInterpolationOptions(within_days=2.0)
    found = opened(ds)
    assert in_blocks.default_block(found, options.reach_days(found)) == 11
    assert in_blocks.default_block(found, options.reach_days(found), workers=2) == 3
    monkeypatch.setattr(in_blocks, "VALUES", 66)
    assert in_blocks.default_block(found, options.reach_days(found)) == 2


@pytest.mark.slow
def test_workers_share_the_blocks(ds, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    ds.to_netcdf("sst.nc")
    (tmp_path / "cov.yaml").write_text(yaml.safe_dump(as_mapping()))
    arguments = ["assimilate", "sst.nc", "--method", "oi", "--engine", "torch",
                 "--covariance", "cov.yaml", "--set", "nearest=3", "--set",
                 "within_days=2.0"]  # fmt: skip
    assert run(monkeypatch, *arguments, "-o", "two.nc", "--workers", 2) == 0
    assert "two.nc: on torch" in capsys.readouterr().out
    whole = pyvda.assimilate(ds, **GIVEN)
    with xr.open_dataset("two.nc") as written:
        np.testing.assert_allclose(written.sst, whole.sst)
        np.testing.assert_array_equal(written.sst_flag, whole.sst_flag)
        configuration = json.loads(written.attrs["pyvda_configuration"])
    assert configuration["run"]["input"]["block"] == 3


class Nothing:
    """An engine that estimates nothing, so that the memory is that of what is around it."""

    info = get_engine("torch").info

    def optimal_interpolation(self, data, targets, *_):
        return Interpolated(*np.zeros((4, len(targets.point))))


@pytest.mark.slow
def test_memory_is_that_of_a_block(tmp_path, monkeypatch) -> None:
    side, block, peaks = 60, 10, []
    monkeypatch.setattr(of_field, "_AT_ONCE", block * side**2)
    monkeypatch.setattr(in_blocks, "get_engine", lambda name: Nothing())
    monkeypatch.setattr(cluster, "get_engine", lambda name: Nothing())
    for times in (60, 180):
        rng = np.random.default_rng(0)
        values = rng.normal(size=(times, side, side))
        values[rng.uniform(size=values.shape) < 0.5] = np.nan
        path = str(tmp_path / f"{times}.nc")
        xr.Dataset(
            {"sst": (("time", "lat", "lon"), values)},
            {"time": np.datetime64("2020-01-01", "ns") + np.arange(times) * np.timedelta64(1, "D"),
             "lat": ("lat", np.linspace(30, 40, side), {"units": "degrees_north"}),
             "lon": ("lon", np.linspace(0, 10, side), {"units": "degrees_east"})},
        ).to_netcdf(path)  # fmt: skip
        del values
        tracemalloc.start()
        found = pyvda.assimilate(path, **GIVEN | {"within_days": 1.0}, block=block)
        save_analysis(found, path + ".out.nc")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
