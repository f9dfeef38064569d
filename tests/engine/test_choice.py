"""Which engine runs and why, with stand-ins for Julia; and a Julia in a process of its own."""

import logging
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pyvda.engine import choice
from pyvda.engine.choice import get_engine, thread_count
from pyvda.engine.julia import start_juliacall, start_libjulia
from pyvda.engine.julia.engine import StartedJulia
from pyvda.errors import EngineError, InputError


@pytest.fixture(autouse=True)
def fresh(monkeypatch) -> None:
    """A process that has not started an engine, regardless of earlier tests."""
    monkeypatch.setattr(choice, "_engines", {})
    monkeypatch.delenv("PYVDA_ENGINE", raising=False)
    monkeypatch.delenv("PYVDA_THREADS", raising=False)
    # Set and taken back, so that what the engine sets is undone after the test.
    monkeypatch.setenv("JULIA_NUM_THREADS", "1")


@pytest.fixture
def starts(monkeypatch) -> list[str]:
    """Stand-ins for both ways of starting Julia, which record the ways that were used."""
    used: list[str] = []

    def stand_in(name):
        def start() -> StartedJulia:
            used.append(name)
            time.sleep(0.05)
            return StartedJulia("1.10.0", 2, lambda _: 1)

        return start

    for way in (start_juliacall, start_libjulia):
        monkeypatch.setattr(way, "start", stand_in(way.__name__.rsplit("start_", 1)[-1]))
    monkeypatch.setattr(start_juliacall, "ready_without_download", lambda: None)
    monkeypatch.setattr(start_libjulia, "julia_command", lambda: "/usr/bin/julia")
    return used


def not_ready(monkeypatch) -> None:
    monkeypatch.setattr(start_juliacall, "ready_without_download", lambda: "its Julia is not there")


def fails(message: str):
    def start() -> StartedJulia:
        raise EngineError(message)

    return start


# --- the order -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [None, "auto", "julia"])
def test_juliacall_comes_first_if_it_is_ready(starts, name) -> None:
    engine = get_engine(name)
    assert starts == ["juliacall"]
    assert (engine.info.name, engine.info.start, engine.info.threads) == ("julia", "juliacall", 2)
    assert str(engine.info) == "julia (juliacall) 1.10.0, 2 threads"


def test_libjulia_comes_next_and_gives_the_reason(starts, monkeypatch) -> None:
    not_ready(monkeypatch)
    engine = get_engine()
    assert starts == ["libjulia"]
    assert engine.info.start == "libjulia"
    assert engine.info.reason == "not juliacall: its Julia is not there; libjulia works"


def test_libjulia_replaces_a_juliacall_that_fails(starts, monkeypatch) -> None:
    monkeypatch.setattr(start_juliacall, "start", fails("no PythonCall"))
    assert get_engine().info.reason == "not juliacall: no PythonCall; libjulia works"


def test_without_julia_torch_runs_and_one_line_tells_why(starts, monkeypatch, caplog) -> None:
    not_ready(monkeypatch)
    monkeypatch.setattr(start_libjulia, "julia_command", lambda: None)
    monkeypatch.setenv("PYVDA_JULIA", "/no/julia")
    with caplog.at_level(logging.WARNING, "pyvda"):
        engine = get_engine()
        assert get_engine() is engine
    assert engine.info.name == "torch"
    assert starts == []
    (record,) = caplog.records
    assert record.getMessage() == (
        "running on the torch engine, slower than Julia (not juliacall: its Julia is not there; "
        "not libjulia: PYVDA_JULIA is /no/julia, which is no program)"
    )
    with pytest.raises(EngineError, match="no Julia can start: not juliacall"):
        get_engine("julia")


def test_a_broken_julia_does_not_stop_the_run(starts, monkeypatch, caplog) -> None:
    not_ready(monkeypatch)
    monkeypatch.setattr(start_libjulia, "start", fails("/usr/bin/julia does not run: broken"))
    assert get_engine().info.name == "torch"
    assert "does not run: broken" in caplog.text


# --- asked for by name ---------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["juliacall", "libjulia"])
def test_the_environment_decides(starts, monkeypatch, way) -> None:
    monkeypatch.setenv("PYVDA_ENGINE", way)
    assert get_engine().info.start == way
    assert get_engine().info.reason == "asked for"
    assert starts == [way]


@pytest.mark.parametrize("way", ["juliacall", "libjulia"])
def test_either_julia_is_that_of_the_environment(starts, monkeypatch, way) -> None:
    monkeypatch.setenv("PYVDA_ENGINE", way)
    assert get_engine("julia") is get_engine()
    monkeypatch.setenv("PYVDA_ENGINE", "torch")
    assert get_engine("julia") is get_engine(way)
    assert starts == [way]


def test_the_argument_comes_before_the_environment(starts, monkeypatch) -> None:
    monkeypatch.setenv("PYVDA_ENGINE", "libjulia")
    assert get_engine("torch").info.name == "torch"
    assert starts == []


def test_a_requested_engine_that_fails_is_an_error(starts, monkeypatch) -> None:
    monkeypatch.setattr(start_libjulia, "start", fails("no julia found"))
    with pytest.raises(EngineError, match="no julia found"):
        get_engine("libjulia")
    assert get_engine("juliacall").info.start == "juliacall"  # the failure left nothing behind


def test_an_unknown_name_is_refused(starts, monkeypatch) -> None:
    for refused in (lambda: get_engine("fortran"), get_engine):
        monkeypatch.setenv("PYVDA_ENGINE", "fortran")
        with pytest.raises(InputError, match="unknown engine 'fortran'; choose one of auto"):
            refused()
    assert starts == []


def test_one_process_has_one_julia(starts) -> None:
    first = get_engine("juliacall")
    assert get_engine() is get_engine("julia") is first
    with pytest.raises(EngineError, match="already runs in this process, started by juliacall"):
        get_engine("libjulia")
    assert get_engine("torch").info.name == "torch"
    assert starts == ["juliacall"]


def test_four_threads_start_one_julia(starts) -> None:
    with ThreadPoolExecutor(4) as pool:
        engines = list(pool.map(lambda _: get_engine(), range(4)))
    assert starts == ["juliacall"]
    assert all(engine is engines[0] for engine in engines)


# --- threads -------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", ["0", "-2", "two", "1.5", ""])
def test_a_bad_number_of_threads_is_refused(starts, monkeypatch, wanted) -> None:
    monkeypatch.setenv("PYVDA_THREADS", wanted)
    with pytest.raises(InputError, match=f"PYVDA_THREADS is '{wanted}', expected a whole number"):
        get_engine()


def test_the_number_of_threads_reaches_julia(starts, monkeypatch) -> None:
    monkeypatch.setenv("PYVDA_THREADS", "3")
    get_engine()
    assert os.environ["JULIA_NUM_THREADS"] == "3"  # was 1
    monkeypatch.delenv("PYVDA_THREADS")
    assert 1 <= thread_count() <= (os.cpu_count() or 1)


def test_a_julia_users_own_number_of_threads_is_respected(starts) -> None:
    get_engine()
    assert os.environ["JULIA_NUM_THREADS"] == "1"


# --- whether juliacall and libjulia can start ----------------------------------------------------


def test_juliacall_is_ready_only_without_a_download(monkeypatch) -> None:
    deps = pytest.importorskip("juliapkg.deps")
    for name in ("PYTHON_JULIACALL_EXE", "PYTHON_JULIACALL_PROJECT", "PYTHON_JULIAPKG_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    asked_offline = []

    def resolved(answer):
        def can_skip_resolve():
            asked_offline.append(os.environ.get("PYTHON_JULIAPKG_OFFLINE"))
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(deps, "can_skip_resolve", can_skip_resolve)

    resolved(True)
    assert start_juliacall.ready_without_download() is None
    resolved(False)
    assert "not installed yet" in start_juliacall.ready_without_download()
    resolved(OSError("read-only"))
    assert "not usable (read-only)" in start_juliacall.ready_without_download()
    assert asked_offline == ["yes"] * 3
    assert "PYTHON_JULIAPKG_OFFLINE" not in os.environ
    monkeypatch.setenv("PYTHON_JULIACALL_EXE", "/opt/julia")
    monkeypatch.setenv("PYTHON_JULIACALL_PROJECT", "/opt/project")
    assert start_juliacall.ready_without_download() is None  # the user says so
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert start_juliacall.ready_without_download() == "juliacall is not installed"


def test_which_julia(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("PYVDA_JULIA", raising=False)
    assert start_libjulia.julia_command() is None
    with pytest.raises(EngineError, match="no julia found: put it on PATH or name it"):
        start_libjulia.start()
    for name in ("julia", "other"):
        (tmp_path / name).write_text("#!/bin/sh\necho boom >&2\nexit 3\n")
        (tmp_path / name).chmod(0o755)
    assert start_libjulia.julia_command() == str(tmp_path / "julia")
    monkeypatch.setenv("PYVDA_JULIA", str(tmp_path / "other"))
    assert start_libjulia.julia_command() == str(tmp_path / "other")
    with pytest.raises(EngineError, match="other does not run: boom"):
        start_libjulia.start()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "ERROR: no system image\nStacktrace:\n [1] top at none:1",
            "ERROR: no system image",
        ),
        ("WARNING: old\n  error: no space\n in f() at g.jl:3", "error: no space"),
        ("/usr/bin/julia: not found\n\n", "/usr/bin/julia: not found"),
        ("", "exit code 3"),
    ],
)
def test_of_a_julia_that_cannot_run_its_own_message_is_shown(tmp_path, monkeypatch, said, reason):
    (tmp_path / "said").write_text(said)
    command = tmp_path / "julia"
    command.write_text(f"#!/bin/sh\ncat {tmp_path}/said >&2\nexit 3\n")
    command.chmod(0o755)
    monkeypatch.setenv("PYVDA_JULIA", str(command))
    with pytest.raises(EngineError) as refused:
        start_libjulia.start()
    assert str(refused.value) == f"{command} does not run: {reason}"


def test_a_library_that_cannot_be_loaded(tmp_path, monkeypatch):
    command = tmp_path / "julia"
    command.write_text(f"#!/bin/sh\necho {tmp_path}/libjulia.so\necho /bin\necho /sys.so\n")
    command.chmod(0o755)
    monkeypatch.setenv("PYVDA_JULIA", str(command))
    with pytest.raises(EngineError, match=r"the library of .*julia cannot be loaded: .*libjulia"):
        start_libjulia.start()


def test_text_for_julia_is_quoted() -> None:
    assert start_libjulia.quoted('a "b" $c \\ ä') == r'"a \"b\" \$c \\ ä"'


# --- a real Julia, in a process of its own -------------------------------------------------------

LONG_DESCENT = """
import sys, threading
import numpy as np
from pyvda.engine import CostSettings, get_engine
from pyvda.models.registry import get_model
if sys.argv[1] == "thread":
    starter = threading.Thread(target=get_engine)
    starter.start()
    starter.join()
engine = get_engine()
x = np.random.default_rng(0).standard_normal((8, 20, 3))
settings, model = CostSettings(0.01), get_model("lorenz63")
engine.descend(model, settings, x, x, x * 0, step=1.0, iterations=1)
print(engine.info.start, engine.info.threads, flush=True)
try:
    engine.descend(model, settings, x, x, x * 0, step=1.0, iterations=10**12)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    import os
    os._exit(0)    # Julia is at it for days
"""


@pytest.mark.julia
@pytest.mark.parametrize("started_by", ["main", "thread"])
def test_ctrl_c_reaches_python_while_julia_works(started_by) -> None:
    environment = {**os.environ, "PYVDA_ENGINE": "libjulia", "PYVDA_THREADS": "2"}
    del environment["JULIA_NUM_THREADS"]
    process = subprocess.Popen(
        [sys.executable, "-c", LONG_DESCENT, started_by],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert process.stdout.readline() == "libjulia 2\n", process.stderr.read()
        time.sleep(0.5)  # into the long descent
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, out) == (0, "interrupted\n"), err


COST = """
import numpy as np
from pyvda.engine import CostSettings, get_engine
from pyvda.models.registry import get_model
x = np.random.default_rng(0).standard_normal((9, 20, 3))
args = get_model("lorenz63"), CostSettings(0.01), x, 0 * x, x > 1
julia, torch = (get_engine(name).cost(*args) for name in ("juliacall", "torch"))
np.testing.assert_allclose(julia.gradient, torch.gradient, rtol=0, atol=1e-12)
print(get_engine("juliacall").info.start)
"""


@pytest.mark.juliacall
def test_juliacall_computes_the_same() -> None:
    done = subprocess.run([sys.executable, "-c", COST], capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stdout) == (0, "juliacall\n"), done.stderr


@pytest.mark.julia
def test_julia_starts_where_it_cannot_cache_machine_code() -> None:
    code = "from pyvda.engine import get_engine; print(get_engine('libjulia').info.start)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "JULIA_DEPOT_PATH": "/proc/nowhere"},  # not even root can write there
    )
    assert (done.returncode, done.stdout) == (0, "libjulia\n"), done.stderr
