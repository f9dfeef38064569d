"""Chunks, workers and memory: one judgement of the file as a whole."""

import dask
import netCDF4
import numpy as np
import pytest
import xarray as xr
from command_line import run

import pyvda
from pyvda import names
from pyvda.io.netcdf import open_dataset, save_analysis
from pyvda.judgements.lazy_report import is_to_be_judged, unjudged
from pyvda.judgements.report import ATTRIBUTE
from pyvda.names import Doubt, Status

SETTINGS = {"model": "lorenz63", "method": "strong-constraint", "iterations": 4}
JUDGED = (names.STATUS, names.DOUBTS, names.FIT, names.INNOVATION, names.ANALYSIS)


@pytest.fixture(scope="module")
def observed() -> xr.Dataset:
    """Return windows whose errors are three times as large as stated: all are in doubt."""
    truth = pyvda.simulate("lorenz63", 24, 1, steps=40)
    found = pyvda.observe(truth, seed=2, variance=9.0, every=2)
    return found.assign_attrs(observation_error_variance=1.0)


@pytest.fixture(scope="module")
def expected(observed) -> xr.Dataset:
    found = pyvda.assimilate(observed, **SETTINGS)
    assert (found[names.DOUBTS] & int(Doubt.WHOLE_FILE) > 0).all()
    assert (found[names.STATUS] == Status.DOUBTFUL).all()
    return found


def expect_same(found: xr.Dataset, expected: xr.Dataset) -> None:
    for name in JUDGED:
        np.testing.assert_array_equal(found[name].values, expected[name].values)
        assert found[name].dtype == expected[name].dtype


def test_a_lazy_analysis_has_the_status_of_one_in_memory(observed, expected):
    lazy = pyvda.assimilate(observed.chunk(window=5), **SETTINGS)
    assert lazy[names.STATUS].chunks == ((5, 5, 5, 5, 4),)
    expect_same(lazy.compute(), expected)
    part = lazy[[names.STATUS]].isel(window=[3, 20]).compute()
    np.testing.assert_array_equal(part[names.STATUS], expected[names.STATUS][[3, 20]])


def test_each_block_is_computed_once(observed, expected, monkeypatch, tmp_path):
    from pyvda.block_task import BlockTask

    calls = []
    solve = BlockTask.__call__
    monkeypatch.setattr(
        BlockTask, "__call__", lambda s, b, o=None: (calls.append(1), solve(s, b, o))[1]
    )
    lazy = pyvda.assimilate(observed.chunk(window=8), **SETTINGS)
    with dask.config.set(scheduler="threads"):
        lazy.compute()
    assert len(calls) == 3
    save_analysis(lazy, tmp_path / "a.nc")
    assert len(calls) == 6
    # Of a part, the blocks that it needs.
    save_analysis(lazy.isel(window=slice(0, 8)), tmp_path / "b.nc")
    assert len(calls) == 7


@pytest.mark.parametrize("name", ["a.nc", "a.zarr"])
def test_a_file_that_is_written_block_by_block_is_judged_at_the_end(
    observed, expected, name, tmp_path
):
    lazy = pyvda.assimilate(observed.chunk(window=7), **SETTINGS)
    assert is_to_be_judged(lazy)
    assert not is_to_be_judged(expected)
    save_analysis(lazy, tmp_path / name)
    found = open_dataset(tmp_path / name)
    expect_same(found, expected)
    assert found.attrs[ATTRIBUTE] == expected.attrs[ATTRIBUTE]
    assert list(found[names.STATUS].attrs) == list(expected[names.STATUS].attrs)
    if name.endswith("nc"):
        with netCDF4.Dataset(tmp_path / name) as file:
            assert file["status"].dtype == np.int8
    # The windows alone are not.
    alone = unjudged(lazy)[names.DOUBTS].compute()
    assert not (alone & int(Doubt.WHOLE_FILE)).any()


def test_a_series_is_judged_alike(observed, tmp_path):
    values = np.concatenate(list(observed["observation"].values))
    series = xr.Dataset(
        {"observation": (("time", "state"), values)}, {"time": 0.01 * np.arange(len(values))},
        {"observation_error_variance": 1.0},
    )  # fmt: skip
    settings = SETTINGS | {"window": 40, "overlap": 8}
    expected = pyvda.assimilate(series, **settings)
    assert (expected[names.DOUBTS] & int(Doubt.WHOLE_FILE) > 0).all()
    lazy = pyvda.assimilate(series, block=4, **settings)
    expect_same(lazy.compute(), expected)
    save_analysis(lazy, tmp_path / "a.nc")
    expect_same(open_dataset(tmp_path / "a.nc"), expected)


def test_named_variables_are_judged_alike(tmp_path):
    model = pyvda.torch_model(
        lambda x: 0.9 * x, variables=("u", "v"), dimensions={"k": 2}, time_step=1.0, name="decay"
    )
    random = np.random.default_rng(0).normal(size=(2, 12, 30, 2))
    dims = ("window", "time", "k")
    ds = xr.Dataset({"u": (dims, random[0]), "v": (dims, random[1])},
                    {"time": np.arange(30.0)}, {"observation_error_variance": 0.01})  # fmt: skip
    settings = {
        "model": model, "method": "strong-constraint", "engine": "torch", "iterations": 2,
        "climatology": (np.zeros(4), np.eye(4)), "members": 2000,
    }  # fmt: skip
    expected = pyvda.assimilate(ds, **settings)
    lazy = pyvda.assimilate(ds.chunk(window=5), **settings).compute()
    for name in ("u", "v", "u_innovation", "status", "doubts"):
        np.testing.assert_array_equal(lazy[name].values, expected[name].values)
    assert (expected[names.DOUBTS] & int(Doubt.WHOLE_FILE) > 0).any()


@pytest.mark.slow
def test_workers_of_the_command_line(observed, expected, tmp_path, monkeypatch, capsys):
    save_analysis(observed, tmp_path / "obs.nc")
    command = ["assimilate", tmp_path / "obs.nc", "--model", "lorenz63",
               "--method", "strong-constraint", "--iterations", 4]  # fmt: skip
    assert run(monkeypatch, *command, "--workers", 2, "-o", tmp_path / "a.zarr") == 0
    said = capsys.readouterr()
    assert expected.attrs[ATTRIBUTE].splitlines()[0] in said.out + said.err
    expect_same(open_dataset(tmp_path / "a.zarr"), expected)
