"""A cycle of a lazy series holds one window, whatever their number, and gives the same bits."""

import tracemalloc

import command_line
import numpy as np
import pytest
import xarray as xr
from test_cycled_windows import COMMON, LENGTH, MODEL, B, linear_model, observations

import pyvda
from pyvda import cycling
from pyvda.errors import InputError
from pyvda.judgements import sampled_file
from pyvda.operators import Dense
from pyvda.state import chunking

SIDE, STEPS = 100, 8
HOW = {"method": "incremental", "members": 5, "background": np.ones(3), "cycle": LENGTH, **COMMON}


def run(ds: xr.Dataset, **more) -> xr.Dataset:
    return pyvda.assimilate(ds, model=linear_model(), covariance=Dense(B), **HOW, **more)


def test_a_lazy_series_gives_the_same_bits_from_its_folder(tmp_path) -> None:
    ds = observations(2 * LENGTH + 4)  # the last window is shorter
    whole = run(ds)
    lazy = run(ds.chunk(time=5), state=tmp_path / "state")
    assert all(lazy[name].chunks is not None for name in ("analysis", "state_stdev", "flag"))
    assert lazy["status"].chunks is None  # a number a window
    assert lazy.attrs["pyvda_report"] == whole.attrs["pyvda_report"]
    pyvda.save_analysis(whole, tmp_path / "whole.nc")
    pyvda.save_analysis(lazy, tmp_path / "lazy.nc")
    one, other = (xr.load_dataset(tmp_path / name) for name in ("whole.nc", "lazy.nc"))
    assert set(one.variables) == set(other.variables)
    assert all(one[name].identical(other[name]) for name in one.variables)


def test_windows_with_data_at_other_times_are_padded_lazily(tmp_path) -> None:
    rng = np.random.default_rng(7)
    times = np.sort(rng.uniform(0.0, 2 * LENGTH - 1.0, 40) ** 1.1 / (2 * LENGTH) ** 0.1)
    table = xr.Dataset({"x": ("time", rng.normal(size=40))}, {"time": times})
    gridded = pyvda.on_grid(table, 1.0, linear_model())
    whole = run(gridded)
    lazy = run(gridded.chunk(time=4), state=tmp_path / "state")
    counts = np.isfinite(whole["point_innovation"]).sum("datum").values
    assert len(set(counts)) > 1
    assert lazy["point_innovation"].chunks is not None
    for name in ("point_innovation", "point_flag", "analysis"):
        xr.testing.assert_identical(lazy[name].load(), whole[name])


def test_an_analysis_without_its_folder_says_what_to_do(tmp_path) -> None:
    lazy = run(observations(2 * LENGTH).chunk(time=5), state=tmp_path / "state")
    (tmp_path / "state" / "analysis-00001.npz").unlink()
    with pytest.raises(InputError, match=r"analysis-00001.npz no longer has the analysis") as told:
        lazy["analysis"].load()
    assert "\n" not in str(told.value)


def test_the_command_line_goes_on_to_the_same_file(tmp_path, monkeypatch) -> None:
    pyvda.save_analysis(observations(2 * LENGTH + 4), tmp_path / "obs.nc")
    (tmp_path / "models.py").write_text(MODEL)
    np.savez(tmp_path / "b.npz", mean=np.ones(3), covariance=B)
    monkeypatch.chdir(tmp_path)
    command = [
        "assimilate", "obs.nc", "--model", "models.py:linear", "--method", "incremental",
        "--set", "covariance=2.0", "--set", "observation_variance=0.25", "--engine", "torch",
        "--background", "b.npz", "--cycle", str(LENGTH), "-q",
    ]  # fmt: skip
    assert command_line.run(monkeypatch, *command, "-o", "whole.nc") == 0
    monkeypatch.setattr(chunking, "ONE_BLOCK_BYTES", 0)  # the file is opened lazily
    usual = cycling.solve

    def interrupted(method, problem, *rest):
        if problem.window_numbers()[0] == 2:
            raise KeyboardInterrupt
        return usual(method, problem, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(cycling, "solve", interrupted)
        assert command_line.run(patch, *command, "-o", "lazy.nc") == 1
    kept = sorted(path.name for path in (tmp_path / "lazy.nc.cycle").iterdir())
    assert kept == [f"{kind}-0000{n}.npz" for kind in ("analysis", "window") for n in (0, 1)]
    assert command_line.run(monkeypatch, *command, "-o", "lazy.nc") == 0
    assert not (tmp_path / "lazy.nc.cycle").exists()
    one, other = (xr.load_dataset(tmp_path / name) for name in ("whole.nc", "lazy.nc"))
    assert all(one[name].identical(other[name]) for name in one.variables)


def peak(folder, windows: int) -> int:
    """Return the most bytes that a cycle of so many windows takes, its file written."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = pyvda.torch_model(
        step=lambda x: 0.9 * x, variables=("f",), dimensions={"y": SIDE, "x": SIDE}, time_step=1.0
    )
    f = np.full((windows * STEPS, SIDE, SIDE), np.nan)
    f[:, ::7, ::7] = np.random.default_rng(1).normal(size=f[:, ::7, ::7].shape)
    ds = xr.Dataset({"f": (("time", "y", "x"), f)}, {"time": np.arange(len(f)) * 1.0})
    ds.to_netcdf(folder / "obs.nc", encoding={"f": {"chunksizes": (STEPS, SIDE, SIDE)}})
    with xr.open_dataset(folder / "obs.nc", chunks={"time": STEPS}, decode_times=False) as lazy:
        tracemalloc.start()
        try:
            analysis = pyvda.assimilate(
                lazy, model=model, method="incremental", background=np.zeros(SIDE**2), members=0,
                covariance=1.0, observation_variance=1.0, engine="torch", cycle=STEPS,
                iterations=1, inner_iterations=2, state=folder / f"state-{windows}",
            )  # fmt: skip
            pyvda.save_analysis(analysis, folder / "analysis.nc")
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


def test_twice_the_windows_take_no_more_memory(tmp_path, monkeypatch) -> None:
    # The report is of a sample, which must not hold all of these few windows.
    monkeypatch.setattr(sampled_file, "_MOST", STEPS * SIDE**2)
    peak(tmp_path, 3)  # what the first one loads
    few, many = peak(tmp_path, 6), peak(tmp_path, 12)
    one_window = 4 * STEPS * SIDE**2 * 8  # of the four variables of the analysis
    assert many < few + one_window  # six more windows; how many are in flight depends on threads
