"""Progress of long work: lines in a log, a notebook's bar, counted over the blocks of a file."""

import json
import re
import subprocess
import sys
import types

import numpy as np
import pytest
import xarray as xr

import pyvda
from pyvda import progress
from pyvda.engine import get_engine
from pyvda.methods import fsgd


@pytest.fixture
def observed():
    return pyvda.observe(pyvda.simulate("lorenz63", 6, 1), "lorenz63", 2)


def test_a_descent_reports_its_cost_and_gradient_norm(observed) -> None:
    reports = []
    step = 50.0
    options = {"iterations": 300, "check_every": 40, "step": step}
    analysis = pyvda.assimilate(observed, report=lambda *how: reports.append(how), **options)
    reports = reports[-4:]
    for done, total, note in reports:
        at_that_time = analysis
        if done < total:
            at_that_time = pyvda.assimilate(observed, iterations=done, step=step)
        cost, gradient = map(float, re.fullmatch(r"cost (\S+), gradient (\S+)", note).groups())
        assert cost == pytest.approx(float(at_that_time.cost.mean()), rel=1e-3)
        assert gradient == pytest.approx(float(at_that_time.gradient_norm.mean()), rel=1e-2)
    assert reports[-1][:2] == (300, 300)
    assert 280 in [done for done, _, _ in reports]  # where nothing is recorded


def test_a_callable_of_two_arguments_is_called(observed) -> None:
    reports = []
    two = {"report": lambda done, total: reports.append((done, total)), "iterations": 2}
    pyvda.assimilate(observed, **two)
    assert reports[-1] == (2, 2)
    pyvda.assimilate(observed.chunk(window=3), **two).compute()
    assert reports[-1] == (1000, 1000)


def test_blocks_count_as_parts_of_the_file(observed) -> None:
    reports = []
    lazy = observed.chunk(window=2)
    pyvda.assimilate(lazy, report=lambda *how: reports.append(how[:2]), iterations=3).compute(
        scheduler="synchronous"
    )
    assert reports == sorted(reports)
    assert {done for done, _ in reports} >= {333, 667, 1000}
    assert {total for _, total in reports} == {1000}


def test_blocks_may_come_at_once_and_again() -> None:
    reports = []
    blocks = progress.OfBlocks(lambda done, total, note="": reports.append(done), 10)
    last, first = blocks.block(6, 4), blocks.block(0, 6)
    for report, done in ((last, 1), (first, 1), (last, 2), (first, 2), (last, 1), (last, 2)):
        report(done, 2)
    assert reports == [200, 500, 700, 1000, 800, 1000]


def test_a_log_gets_a_line_a_minute(monkeypatch, capsys) -> None:
    seconds = iter([0.0, 1.0, 61.0, 90.0, 181.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(seconds))
    with progress.shown("assimilate") as report:
        for done in (101, 102, 103, 104):  # resumed at 101
            report(done, 108, f"cost {done}")
    assert capsys.readouterr().err.splitlines() == [
        "pyvda: assimilate 102/108, 6 min left, cost 102",
        "pyvda: assimilate 104/108, 4 min left, cost 104",
    ]
    with progress.shown("assimilate", quiet=True) as report:
        report(5, 8)
    assert capsys.readouterr().err == ""


@pytest.fixture
def shown(monkeypatch) -> list[dict[str, str]]:
    """What a notebook shows, one after the other; its bars come at once."""
    drawn: list[dict[str, str]] = []

    class Handle:
        def update(self, data, raw):
            drawn.append(data)

    def display(data, raw, display_id):
        drawn.append(data)
        return Handle()

    class ZMQInteractiveShell:
        pass

    shell = types.SimpleNamespace(get_ipython=ZMQInteractiveShell)
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=display))
    monkeypatch.setattr(progress, "BAR_AFTER", -1.0)
    return drawn


def texts(drawn):
    return [data["text/plain"] for data in drawn]


def test_a_notebook_shows_a_bar_while_work_takes_long(monkeypatch, shown) -> None:
    monkeypatch.setattr(progress, "BAR_AFTER", 2.0)
    seconds = iter([0.0, 1.0, 3.0, 3.1, 4.0, 10.0, 20.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(seconds))
    with progress.heard(None) as bar:
        for done in (0, 1, 3, 4, 5, 8):
            bar(done, 8, "cost <1>")
        assert texts(shown) == ["assimilate 3/8 cost <1>", "assimilate 5/8 cost <1>", ""]
        assert shown[0]["text/html"].startswith('<progress value="3" max="8"></progress> assim')
        assert "&lt;1&gt;" in shown[0]["text/html"]
        for done in (2, 8, 2):  # work that is done before a bar is shown, and then more
            bar(done, 8)
    assert len(shown) == 3


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_the_bar_of_work_that_fails_disappears(monkeypatch, shown, observed, error) -> None:
    def fail(*_):
        if shown:
            raise error
        return 0.0

    monkeypatch.setattr(fsgd, "_mean_square_error", fail)
    with pytest.raises(error):
        pyvda.assimilate(observed, iterations=5)
    assert texts(shown) == ["assimilate 1/5", ""]


def test_the_bar_of_work_that_ends_early_disappears(shown, observed) -> None:
    pyvda.assimilate(observed, iterations=5, tolerance=1e9)
    assert texts(shown) == ["assimilate 1/5", ""]


def test_the_bar_of_a_field_disappears(shown) -> None:
    rng = np.random.default_rng(1)
    sst = rng.normal(size=(25, 1, 1)) + 0.1 * rng.normal(size=(25, 5, 6))
    sst[rng.uniform(size=sst.shape) < 0.3] = np.nan
    field = xr.Dataset(
        {"sst": (("time", "lat", "lon"), sst)},
        {"time": np.arange(25.0), "lat": np.arange(5.0), "lon": np.arange(6.0)},
    )
    analysis = pyvda.assimilate(field, method="eof", filter_days=0)
    tried = len(json.loads(analysis.attrs["pyvda_configuration"])["variables"]["sst"]["errors"])
    assert tried < 25
    assert texts(shown)[0].endswith("number of modes")
    assert texts(shown)[-1] == ""


def test_a_lazy_result_draws_no_bar(shown, observed) -> None:
    pyvda.assimilate(observed.chunk(window=2), iterations=3).compute(scheduler="synchronous")
    assert shown == []


def test_no_cost_is_evaluated_for_a_bar(monkeypatch, observed) -> None:
    evaluated = []
    engine = get_engine("torch")
    cost = engine.cost

    def counted(*arguments, **keywords):
        evaluated.append(1)
        return cost(*arguments, **keywords)

    monkeypatch.setattr(engine, "cost", counted)
    counts = []
    for report in (None, progress.NotebookBar("assimilate"), lambda done, total, note: None):
        for given in (observed, observed.chunk(window=3)):
            evaluated.clear()
            pyvda.assimilate(
                given, engine="torch", iterations=60, check_every=10, step=1.0, report=report
            ).compute(scheduler="synchronous")
            counts.append(len(evaluated))
    assert counts[:2] == counts[2:4]
    assert counts[4] > counts[0]
    assert counts[5] > counts[1]


def test_no_bar_is_shown_outside_of_notebooks(monkeypatch) -> None:
    with progress.heard(None) as report:
        assert report is progress.silent
    terminal = types.SimpleNamespace(get_ipython=lambda: None)
    monkeypatch.setitem(sys.modules, "IPython", terminal)
    with progress.heard(None) as report:
        assert report is progress.silent


# Peak memory of assimilating a file, in bytes more than what is held before.
SCRIPT = """
import sys
import numpy as np, dask.array as da, xarray as xr
import pyvda

def peak(field):
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(lines[field].split()[0]) * 1024

folder = sys.argv[1]
def run(windows):
    values = da.zeros((windows, 200, 3), chunks=(500, 200, 3)).map_blocks(
        lambda block: np.where(np.arange(200)[:, None] % 8 == 0, block, np.nan)
    )
    xr.Dataset({"observation": (("window", "time", "state"), values)},
               {"time": 0.01 * np.arange(200)}).to_netcdf(f"{folder}/obs.nc")
    open("/proc/self/clear_refs", "w").write("5")
    before = peak("VmRSS")
    observed = pyvda.open_observations(f"{folder}/obs.nc", chunks={"window": 500})
    analysis = pyvda.assimilate(observed, model="lorenz63", iterations=1, block=500)
    pyvda.save_analysis(analysis, f"{folder}/analysis.nc")
    return peak("VmHWM") - before

run(500)
print(run(1000), run(6000))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_file(tmp_path) -> None:
    out = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=True
    )
    small, large = map(int, out.stdout.split())
    # Six times the windows: 29 MB of observations, three times that in the analysis, of which
    # nothing is held but the blocks at work and the netCDF library's cache for reading, 64 MB.
    assert large < small + 45e6
