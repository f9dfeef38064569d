"""Blocks of windows by their size, and the memory that whole commands take for a file."""

import io
import subprocess
import sys
from pathlib import Path

import dask.array
import numpy as np
import pytest
import xarray as xr

import pyvda
from pyvda.state import chunking

WINDOW = 200 * 3 * 8


@pytest.fixture
def machine(monkeypatch) -> dict[str, int]:
    """A machine whose memory and threads can be changed."""
    chosen = {"memory": 64 << 30, "threads": 2}
    monkeypatch.setattr(chunking, "total_memory", lambda: chosen["memory"])
    monkeypatch.setattr(chunking, "thread_count", lambda: chosen["threads"])
    return chosen


def test_a_block_does_not_grow_with_the_file(machine) -> None:
    sizes = [chunking.block_size(WINDOW, count) for count in (20_000, 2_000_000, 10**9)]
    assert len(set(sizes)) == 1
    assert sizes[0] * WINDOW <= 8 << 20


def test_little_is_kept_and_much_is_not(machine) -> None:
    values = dask.array.zeros((10, 200, 3), chunks=(2, -1, -1)) + 1.0
    small = xr.Dataset({"observation": (("window", "time", "state"), values)})
    assert len(small["observation"].data.dask) > 5
    kept = chunking.kept(small)["observation"]
    assert len(kept.data.dask) == 5  # the chunks themselves
    assert kept.chunks == small["observation"].chunks
    values = dask.array.zeros((1 << 20, 200, 3), chunks=(1 << 15, -1, -1))
    large = xr.Dataset({"observation": (("window", "time", "state"), values)})
    assert chunking.kept(large)["observation"].data is values


def test_a_block_fits_into_little_memory(machine) -> None:
    machine["memory"] = 64 << 20
    assert chunking.block_size(WINDOW, 10**6) * WINDOW <= 1 << 20
    assert chunking.block_size(1 << 40, 10) == 1


def test_a_block_does_not_depend_on_what_others_take(monkeypatch) -> None:
    """A second run completes the store of an interrupted one in the same blocks."""
    kibibytes = {"MemTotal": 64 << 10, "MemAvailable": 32 << 10}
    in_cgroup = {"max": 1 << 30, "current": 0}

    def told(path, *_, **__):
        path = str(path)
        if path == "/proc/meminfo":
            return io.StringIO("".join(f"{k}: {v} kB\n" for k, v in kibibytes.items()))
        return io.StringIO(str(in_cgroup[path.rpartition(".")[2]]))

    class File(type(Path())):
        def read_text(self, *_, **__):
            return told(self).read()

    monkeypatch.setattr(chunking, "open", told, raising=False)
    monkeypatch.setattr(chunking, "Path", File)
    before = chunking.for_workers(windows(15_000))
    kibibytes["MemAvailable"] = 2 << 10
    in_cgroup["current"] = (1 << 30) - 1000
    assert chunking.for_workers(windows(15_000)) == before
    in_cgroup["max"] = 1 << 20
    assert chunking.for_workers(windows(15_000)) == (1 << 20) // 64 // WINDOW


def test_threads_have_something_to_do_in_large_files(machine) -> None:
    machine["threads"] = 64
    of_40 = 200 * 40 * 8
    assert chunking.block_size(of_40, 100_000) >= 16 * 64
    assert chunking.block_size(of_40, 1500) * of_40 <= 8 << 20


def windows(count: int) -> xr.Dataset:
    return xr.Dataset({"observation": (("window", "time", "state"), np.zeros((count, 200, 3)))})


def test_small_observations_are_one_block_except_on_a_cluster(machine) -> None:
    assert chunking.block_of(windows(3000)) is None
    assert chunking.block_of(windows(4000)) == (8 << 20) // WINDOW
    assert chunking.for_workers(windows(3000)) == 47
    assert chunking.for_workers(windows(5)) == 1
    assert chunking.shared_size(WINDOW, 2_000_000) == (2 << 20) // WINDOW
    assert chunking.shared_size(1 << 30, 2_000_000) == 1


def test_windows_of_a_series_are_counted_before_it_is_cut(machine) -> None:
    series = xr.Dataset({"observation": (("time", "state"), np.zeros((500_000, 3)))})
    assert chunking.block_of(series) is None  # one window of the whole
    assert chunking.block_of(series, 200, 0) is None
    assert chunking.block_of(series, 200, 100) == (8 << 20) // WINDOW
    large = xr.Dataset({"observation": (("time", "state"), np.zeros((1_000_000, 3)))})
    assert chunking.block_of(large) is None  # one window cannot be divided


@pytest.mark.parametrize("is_series", [False, True])
def test_large_observations_in_memory_are_divided_without_a_trace(is_series, monkeypatch) -> None:
    observed = pyvda.observe(pyvda.simulate("lorenz63", 7, 1), "lorenz63", 2)
    options = {"model": "lorenz63", "iterations": 5, "engine": "torch"}
    if is_series:
        values = np.concatenate(list(observed["observation"].values))
        time = 0.01 * np.arange(len(values))
        observed = xr.Dataset({"observation": (("time", "state"), values)}, {"time": time})
        options |= {"window": 100, "overlap": 30}
    whole = pyvda.assimilate(observed, **options)
    monkeypatch.setattr(chunking, "ONE_BLOCK_BYTES", 1000)
    monkeypatch.setattr(chunking, "block_size", lambda size, count: 2)
    reports: list[tuple[int, int]] = []
    divided = pyvda.assimilate(
        observed, report=lambda done, total: reports.append((done, total)), **options
    )
    assert reports[-1] == (1000, 1000)
    assert set(divided.variables) == set(whole.variables)
    for name, variable in whole.variables.items():
        assert divided[name].chunks is None
        assert divided[name].attrs.keys() == variable.attrs.keys()
        if str(name).startswith("history_"):  # sums in another order
            np.testing.assert_allclose(divided[name], variable, rtol=1e-12)
        else:
            np.testing.assert_array_equal(divided[name].values, variable.values)


def test_windows_that_share_parameters_stay_together(monkeypatch) -> None:
    monkeypatch.setattr(chunking, "ONE_BLOCK_BYTES", 1000)
    monkeypatch.setattr(chunking, "block_size", lambda size, count: 1)
    observed = pyvda.observe(pyvda.simulate("lorenz63", 3, 1), "lorenz63", 2)
    found = pyvda.assimilate(
        observed.isel(time=slice(0, 24)), model="lorenz63", method="strong-constraint",
        parameters="shared", starts="mean", engine="torch",
    )  # fmt: skip
    assert len(np.unique(found["parameter_analysis"].values, axis=0)) == 1


COMMAND = """
import sys
import numpy as np, xarray as xr
from pyvda.cli.main import app

def peak(field):
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(lines[field].split()[0]) * 1024

def run(windows):
    values = np.full((windows, 200, 3), np.nan)
    values[:, ::8] = 1.0
    ds = xr.Dataset({"observation": (("window", "time", "state"), values)})
    ds.assign_coords(time=0.01 * np.arange(200)).to_netcdf(sys.argv[1] + "/obs.nc")
    size = values.nbytes
    del values, ds
    open("/proc/self/clear_refs", "w").write("5")
    before = peak("VmRSS")
    command = ["assimilate", sys.argv[1] + "/obs.nc", "--model", "lorenz63", "--iterations", "1",
               "-q", "-o", sys.argv[1] + "/analysis." + sys.argv[2]]
    app(command, standalone_mode=False)
    return (peak("VmHWM") - before) / size

run(3000)
print(run(int(sys.argv[3])))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("suffix", "windows"), [("nc", 12_000), ("nc", 20_000), ("zarr", 20_000)])
def test_a_command_takes_less_than_four_bytes_for_a_byte_of_state(
    suffix, windows, tmp_path
) -> None:
    """Of one variable without chunks, without what the process held before."""
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, str(tmp_path), suffix, str(windows)],
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) < 4


IN_MEMORY = COMMAND.replace(
    "app(command, standalone_mode=False)",
    """import pyvda
    observed = xr.open_dataset(sys.argv[1] + "/obs.nc").load()
    analysis = pyvda.assimilate(observed, model="lorenz63", iterations=1, engine="torch")""",
)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_observations_in_memory_take_less_than_four_times_theirs(tmp_path) -> None:
    """Their own memory and that of the result included."""
    done = subprocess.run(
        [sys.executable, "-c", IN_MEMORY, str(tmp_path), "nc", "20_000"],
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) < 4
