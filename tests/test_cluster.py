"""Workers of a dask cluster: the bits of one process, also when a worker is lost on the way."""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time

import cloudpickle
import dask
import distributed
import numpy as np
import pytest
import xarray as xr
from command_line import run
from distributed import Client, LocalCluster, get_task_stream

import pyvda
from pyvda import cluster
from pyvda.engine.julia import start_libjulia
from pyvda.errors import EngineError, InputError
from pyvda.io.netcdf import open_dataset
from pyvda.notices import Notice
from pyvda.state import chunking

SETTINGS = {"model": "lorenz63", "iterations": 30, "step": 50.0}
OPTIONS = ("--model", "lorenz63", "--set", "step=50.0")
# Iterations that take a part of a second.
LONG = 600 if start_libjulia.julia_command() is None else 30_000
COMPARED = ("analysis", "innovation", "flag", "cost", "gradient_norm", "status", "iterations")


@pytest.fixture(scope="module")
def observed() -> xr.Dataset:
    return pyvda.observe(pyvda.simulate("lorenz63", 9, 1), "lorenz63", 2)


@pytest.fixture(scope="module")
def series(observed) -> xr.Dataset:
    values = np.concatenate(list(observed["observation"].values))
    time = 0.01 * np.arange(len(values))
    return xr.Dataset({"observation": (("time", "state"), values)}, {"time": time})


@pytest.fixture(scope="module")
def expected(observed) -> xr.Dataset:
    return pyvda.assimilate(observed, **SETTINGS)


@pytest.fixture(scope="module")
def processes():
    """A client of two worker processes with one thread each."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as local,
        Client(local) as using,
    ):
        yield using


def expect_same(found: xr.Dataset, expected: xr.Dataset) -> None:
    for name in COMPARED:
        np.testing.assert_array_equal(found[name].values, expected[name].values)
        assert found[name].dtype == expected[name].dtype
        assert found[name].attrs.keys() == expected[name].attrs.keys()


def test_threads_of_a_cluster_give_the_same_bits(observed, expected) -> None:
    with Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None):
        expect_same(pyvda.assimilate(observed.chunk(window=2), **SETTINGS).compute(), expected)


def test_observations_in_memory_have_the_same_history_anywhere(observed, monkeypatch) -> None:
    monkeypatch.setattr(chunking, "ONE_BLOCK_BYTES", 1000)
    monkeypatch.setattr(chunking, "block_size", lambda size, count: 2)
    alone = pyvda.assimilate(observed, **SETTINGS)
    assert alone["history_cost"].size > 1
    with dask.config.set(scheduler="threads", num_workers=4):
        found = pyvda.assimilate(observed, **SETTINGS)
    xr.testing.assert_equal(of_history(found), of_history(alone))
    with Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None):
        found = pyvda.assimilate(observed, **SETTINGS)
    xr.testing.assert_equal(of_history(found), of_history(alone))


def of_history(analysis: xr.Dataset) -> xr.Dataset:
    return analysis[[name for name in analysis if str(name).startswith("history_")]]


def test_processes_give_the_same_bits(observed, expected, processes) -> None:
    lazy = pyvda.assimilate(observed.chunk(window=2), **SETTINGS)
    expect_same(lazy.compute(), expected)
    expect_same(lazy.persist(), expected)
    on_cluster = observed.chunk(window=2).persist()
    expect_same(pyvda.assimilate(on_cluster, **SETTINGS).compute(), expected)


@pytest.mark.parametrize("pickler", [pickle, cloudpickle])
def test_a_lazy_analysis_is_plain_data(pickler, observed, expected) -> None:
    lazy = pyvda.assimilate(observed.chunk(window=4), report=print, **SETTINGS)
    expect_same(pickler.loads(pickler.dumps(lazy)).compute(), expected)


def test_the_scheduler_of_processes_works(observed, expected) -> None:
    lazy = pyvda.assimilate(observed.chunk(window=5), **SETTINGS)
    expect_same(lazy.compute(scheduler="processes", num_workers=1), expected)


def test_a_model_typed_by_the_user_travels(observed, processes) -> None:
    def relaxation(x, rate):
        return rate * (5.0 - x)

    model = pyvda.torch_model(
        relaxation, variables=["x", "y", "z"], time_step=0.01, parameters={"rate": 0.5}
    )
    options = {
        "method": "gauss-newton", "form": "weighted", "iterations": 2, "model": model,
        "climatology": (np.full(3, 5.0), np.eye(3)),
    }  # fmt: skip
    plain = pyvda.assimilate(observed, **options)
    expect_same(pyvda.assimilate(observed.chunk(window=5), **options).compute(), plain)


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_workers_write_what_one_process_writes(suffix, series, processes, tmp_path) -> None:
    options = {**SETTINGS, "window": 100, "overlap": 30}
    whole = pyvda.assimilate(series, **options)
    reports: list[tuple[int, int]] = []
    lazy = pyvda.assimilate(series, block=4, **options)
    path = tmp_path / f"analysis.{suffix}"
    pyvda.save_analysis(
        lazy, path, report=lambda done, total, note="": reports.append((done, total))
    )
    expect_same(open_dataset(path), whole)
    assert reports == sorted(reports)
    assert reports[-1][0] == reports[-1][1] > 2
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["analysis.zarr", "analysis.nc"])
def test_a_killed_worker_loses_nothing(name, observed, expected, processes, tmp_path) -> None:
    """Of a store that the workers write, and of a file that this process writes."""
    analysis = pyvda.assimilate(observed.chunk(window=1), **SETTINGS)
    victim = next(iter(processes.run(os.getpid).values()))
    killed: list[int] = []

    def kill(done: int, total: int, note: str = "") -> None:
        if done == 2 and not killed:
            killed.append(victim)
            os.kill(victim, signal.SIGKILL)

    pyvda.save_analysis(analysis, tmp_path / name, report=kill)
    processes.wait_for_workers(2, timeout=600)
    assert killed == [victim]
    assert victim not in processes.run(os.getpid).values()
    expect_same(open_dataset(tmp_path / name), expected)


def test_an_interrupted_store_is_completed_by_the_same_run_alone(
    observed, expected, processes, tmp_path
) -> None:
    path, left = tmp_path / "analysis.zarr", tmp_path / "analysis.zarr.partial"
    analysis = pyvda.assimilate(observed.chunk(window=1), **SETTINGS)

    def interrupt(done: int, total: int, note: str = "") -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), pytest.warns(Notice, match="the same command completes"):
        pyvda.save_analysis(analysis, path, report=interrupt, run="this")
    assert not path.exists()
    assert sum(mark.name.isdecimal() for mark in (left / ".pyvda").iterdir()) == 3
    with pytest.raises(InputError, match="other observations or settings"):
        pyvda.save_analysis(analysis, path, run="another")
    reports: list[int] = []
    pyvda.save_analysis(analysis, path, report=lambda done, *_: reports.append(done), run="this")
    assert reports == list(range(3, 10))
    assert not left.exists()
    assert not (path / ".pyvda").exists()
    expect_same(open_dataset(path), expected)


def test_an_engine_has_the_threads_of_its_worker(monkeypatch) -> None:
    from pyvda.engine.choice import AsWorker, as_worker, cores, thread_count

    monkeypatch.delenv("PYVDA_THREADS", raising=False)
    with as_worker(AsWorker(threads=3)):
        assert thread_count() == 3
        monkeypatch.setenv("PYVDA_THREADS", "5")
        assert thread_count() == 5
    monkeypatch.delenv("PYVDA_THREADS")
    assert thread_count() == cores()


def test_a_worker_without_julia_is_named(observed, monkeypatch) -> None:
    """Refused where Julia was asked for; otherwise torch computes, and the file says so."""
    monkeypatch.setenv("PYVDA_JULIA", "none")  # the workers inherit it, this process has its own
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as local,
        Client(local) as using,
    ):
        (address,) = using.scheduler_info()["workers"]
        choice = cluster.Choice(pyvda.get_model("lorenz63"), "libjulia", None, False)
        with pytest.raises(EngineError, match=f"worker {address}: PYVDA_JULIA is none"):
            cluster.engines(using, choice)
        choice = cluster.Choice(pyvda.get_model("lorenz63"), None, None, False)
        assert str(cluster.engines(using, choice)).startswith("torch")


def test_two_engines_are_said(monkeypatch) -> None:
    class Two:
        """A client whose workers answer as one with Julia, one without, and one that is lost."""

        def run(self, function, *arguments, **options):
            return {
                "tcp://a:1": ("julia", "julia (libjulia) 1.5.3, 1 thread", "works"),
                "tcp://b:2": ("torch", "torch 2.0, 1 thread", "not libjulia: no julia on PATH"),
                "tcp://c:3": OSError("lost"),
            }

    with pytest.warns(Notice, match="1 of 3 workers run on torch, tcp://b:2 .*no julia on PATH"):
        found = cluster.engines(
            Two(), cluster.Choice(pyvda.get_model("lorenz63"), None, None, False)
        )
    assert found == "julia (libjulia) 1.5.3, 1 thread on 1 worker; torch 2.0, 1 thread on 1 worker"


def test_workers_and_a_scheduler_exclude_each_other() -> None:
    with pytest.raises(InputError, match="give one of --workers and --scheduler"):
        cluster.started(2, "tcp://127.0.0.1:1").__enter__()


def default_client() -> Client | None:
    with contextlib.suppress(ValueError):
        return distributed.default_client()
    return None


def test_no_scheduler_answers(monkeypatch) -> None:
    monkeypatch.setattr(cluster, "_CONNECT_SECONDS", 1)
    monkeypatch.setattr(cluster, "_AT_ONCE", 0.2)
    with (
        pytest.warns(Notice, match=r"waiting up to 1 s for the dask scheduler at tcp://127\.0"),
        pytest.raises(InputError, match=r"no dask scheduler answers at tcp://127\.0\.0\.1:9"),
    ):
        cluster.started(None, "tcp://127.0.0.1:9").__enter__()
    before = default_client()
    with pytest.raises(InputError, match=r"answers at nowhere \(missing port number") as refused:
        cluster.started(None, "nowhere").__enter__()
    assert default_client() is before, refused  # or dask's next computation would wait for ever


def test_the_command_line_takes_a_scheduler(
    observed, expected, processes, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pyvda.save_analysis(observed, "obs.nc")
    address = processes.scheduler.address
    assert address.startswith("tcp://127.0.0.1:")
    line = ("assimilate", "obs.nc", *OPTIONS, "--iterations", 30, "--scheduler", address)
    with get_task_stream(client=processes) as stream:
        assert run(monkeypatch, *line, "--block", 2, "-o", "analysis.zarr") == 0
    expect_same(open_dataset("analysis.zarr"), expected)
    assert {task["worker"] for task in stream.data} <= set(processes.scheduler_info()["workers"])
    assert sum("pyvda-write" in str(task["key"]) for task in stream.data) == 5  # blocks


def test_ctrl_c_leaves_a_store_that_the_same_command_completes(observed, tmp_path) -> None:
    """As at a terminal, where the worker receives the signal, too."""
    pyvda.save_analysis(observed, tmp_path / "obs.zarr")
    settings = {**SETTINGS, "iterations": LONG}
    line = ("assimilate", "obs.zarr", *OPTIONS, "--iterations", str(LONG), "--workers", "1")
    command = [sys.executable, "-m", "pyvda", *line, "-o", "analysis.zarr"]
    left = tmp_path / "analysis.zarr.partial"

    def finished() -> dict[str, int]:
        marks = (left / ".pyvda").glob("[0-9]*")
        return {mark.name: mark.stat().st_mtime_ns for mark in marks}

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, start_new_session=True, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as running:  # fmt: skip
        assert running.stderr is not None
        while len(finished()) < 2:
            assert running.poll() is None, running.stderr.read()
            time.sleep(0.01)
        os.killpg(running.pid, signal.SIGINT)
        said = running.stderr.read()
    assert running.returncode == 1, said
    assert "analysis.zarr.partial has what is finished, and the same command completes" in said
    assert "Traceback" not in said
    assert not (tmp_path / "analysis.zarr").exists()
    assert 2 <= len(finished()) < observed.sizes["window"]
    # A mark follows its chunks: without one a chunk may be incomplete.
    chunks = [f"analysis/c/{number}/0/0" for number in finished()]
    before = {chunk: (left / chunk).stat().st_mtime_ns for chunk in chunks}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    whole = tmp_path / "analysis.zarr"
    expect_same(open_dataset(whole), pyvda.assimilate(observed, **settings))
    for chunk, time_written in before.items():  # what was finished has not been computed again
        assert (whole / chunk).stat().st_mtime_ns == time_written


def test_a_chosen_scheduler_is_used(observed, expected, tmp_path) -> None:
    """Lazy arrays are computed by the user's scheduler, one block at a time without one."""
    import dask

    calls = []

    def own(graph, keys, **options):
        calls.append(keys)
        return dask.local.get_sync(graph, keys, **options)

    with dask.config.set(scheduler=own):
        lazy = pyvda.assimilate(observed.chunk(window=5), **SETTINGS)
        counted = len(calls)
        assert counted > 0  # the statistics
        pyvda.save_analysis(lazy, tmp_path / "analysis.nc")
    assert len(calls) == counted + 2
    expect_same(open_dataset(tmp_path / "analysis.nc"), expected)


IMPORT = """
import threading, pathlib
import pyvda
from pyvda import assimilate, save_analysis, open_observations
import pyvda.cluster
tasks = pathlib.Path("/proc/self/task").iterdir()
children = [task.joinpath("children").read_text() for task in tasks]
print(threading.active_count(), children)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_importing_starts_no_thread_and_no_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT], capture_output=True, text=True, timeout=600
    )
    assert done.stdout.startswith("1 ["), done.stderr
    assert set(done.stdout.split("[")[1].strip("]\n").split(", ")) == {"''"}
