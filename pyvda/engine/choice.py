"""The choice of the engine: PYVDA_ENGINE, or the first of juliacall, libjulia, torch that works."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from pyvda.engine.interface import Engine
from pyvda.engine.julia import start_juliacall, start_libjulia
from pyvda.engine.julia.engine import JuliaEngine, StartedJulia
from pyvda.errors import EngineError, InputError
from pyvda.models.model import Model
from pyvda.models.without_code import has_code
from pyvda.notices import notice
from pyvda.signals import handlers_kept

log = logging.getLogger("pyvda")
CHOICES = ("auto", "juliacall", "libjulia", "torch")
KERNEL_CHOICES = ("auto", "julia", "torch")

_lock = threading.Lock()
_engines: dict[str, Engine] = {}


class AsWorker(NamedTuple):
    """Settings of a cluster's worker, in place of its own environment variables.

    Attributes
    ----------
    threads : int
        Threads of an engine, unless PYVDA_THREADS says otherwise.
    name : str, optional
        Engine, where neither the task nor PYVDA_ENGINE names one.
    julia_kernels : bool
        Whether `kernel_engine` starts Julia, where it can.
    """

    threads: int | None = None
    name: str | None = None
    julia_kernels: bool = False


_worker: ContextVar[AsWorker] = ContextVar("worker", default=AsWorker())  # noqa: B039


def get_engine(name: str | None = None) -> Engine:
    """Return the engine, started on first use and once per process.

    Parameters
    ----------
    name : {"auto", "juliacall", "libjulia", "torch"}, optional
        Without it, the environment variable PYVDA_ENGINE decides, else "auto": juliacall if it can
        start without downloading, else libjulia, else torch. "julia" is either of the two Julias,
        that of PYVDA_ENGINE if this names one.

    Raises
    ------
    InputError
        An unknown name.
    EngineError
        The engine asked for by name cannot start.

    Examples
    --------
    >>> get_engine("torch").info.name
    'torch'
    """
    name = name or named_outside() or "auto"
    if name not in (*CHOICES, "julia"):
        raise InputError(f"unknown engine {name!r}; choose one of {', '.join(CHOICES)}")
    if name == "julia" and (outside := named_outside()) in ("juliacall", "libjulia"):
        name = outside
    with _lock:
        if name not in _engines:
            _engines[name] = _choose(name)
        return _engines[name]


def engine_for(model: Model, name: str | None = None) -> Engine:
    """Return the engine that runs `model`: as `get_engine`, but torch for a model only in torch.

    Raises
    ------
    InputError
        The engine asked for, or the only one that can start, cannot run the model.
    """
    if not has_code(model):
        return get_engine(name or named_outside() or "torch")  # it runs nothing
    if model.julia is None:
        if name not in (None, "auto", "torch"):
            raise InputError(
                f"{model.name} is written only in torch and the engine {name} cannot run it; "
                "leave the engine out, or choose torch"
            )
        return get_engine("torch")
    running = get_engine(name)
    if running.info.name == "torch" and model.torch is None:
        raise InputError(
            f"{model.name} is written only in Julia and the engine is torch "
            f"({running.info.reason}); install Julia, or write the model in torch"
        )
    return running


def named_outside() -> str | None:
    """Return PYVDA_ENGINE; on a worker without it, that of the process that gave it the task."""
    return os.environ.get("PYVDA_ENGINE") or _worker.get().name


def kernel_engine() -> JuliaEngine | None:
    """Return the engine that computes learned priors and solvers on a CPU, or None for torch.

    The environment variable PYVDA_KERNELS decides: "auto" (the default) uses Julia if it runs
    already, since starting and compiling it takes as long as some thousand windows in torch.
    Callers with more work than that start it first: training does, and `assimilate` for many
    windows. "julia" starts it, "torch" never uses it.
    """
    wanted = os.environ.get("PYVDA_KERNELS") or "auto"
    if wanted not in KERNEL_CHOICES:
        raise InputError(
            f"PYVDA_KERNELS is {wanted!r}, expected one of {', '.join(KERNEL_CHOICES)}"
        )
    if wanted == "torch":
        return None
    if wanted == "julia":
        engine = get_engine("julia")
        return engine if isinstance(engine, JuliaEngine) else None
    if _worker.get().julia_kernels:
        with contextlib.suppress(EngineError):
            get_engine("julia")
    running = (engine for engine in tuple(_engines.values()) if isinstance(engine, JuliaEngine))
    return next(running, None)


def _choose(name: str) -> Engine:
    if name == "torch":
        return _torch("asked for")
    running = [e for e in _engines.values() if e.info.name == "julia"]
    if running and name in ("auto", "julia", running[0].info.start):
        return running[0]
    if running:
        raise EngineError(
            f"Julia already runs in this process, started by {running[0].info.start}; "
            f"one process has one Julia: set PYVDA_ENGINE={name} and start again"
        )
    asked = name not in ("auto", "julia")
    refused: list[str] = []
    for way, obstacle, start in (
        ("juliacall", start_juliacall.ready_without_download, start_juliacall.start),
        ("libjulia", _no_julia_command, start_libjulia.start),
    ):
        if name not in ("auto", "julia", way):
            continue
        why_not = None if asked else obstacle()
        if why_not is None:
            try:
                reason = "asked for" if asked else "; ".join([*refused, f"{way} works"])
                return _julia(way, start, reason)
            except EngineError as error:
                if asked:
                    raise
                why_not = str(error)
        refused.append(f"not {way}: {why_not}")
    if name == "julia":
        raise EngineError(f"no Julia can start: {'; '.join(refused)}")
    level = logging.INFO if start_libjulia.declined() else logging.WARNING
    log.log(level, "running on the torch engine, slower than Julia (%s)", "; ".join(refused))
    return _torch("; ".join(refused))


def _no_julia_command() -> str | None:
    if start_libjulia.declined():
        return "PYVDA_JULIA is none"
    if start_libjulia.julia_command():
        return None
    named = os.environ.get("PYVDA_JULIA")
    return f"PYVDA_JULIA is {named}, which is no program" if named else "no julia on PATH"


def _julia(way: str, start: Callable[[], StartedJulia], reason: str) -> Engine:
    # Julia reads its thread count once, when it starts. A Julia user's own setting is respected
    # where neither pyvda's nor a worker's is given.
    given = "PYVDA_THREADS" in os.environ or _worker.get().threads is not None
    if given or "JULIA_NUM_THREADS" not in os.environ:
        os.environ["JULIA_NUM_THREADS"] = str(thread_count())
    # Julia installs a SIGINT handler of its own; Ctrl-C is to stay Python's.
    with handlers_kept([signal.SIGINT]):
        engine = JuliaEngine(start, way, reason)
    log.info("running on %s (%s)", engine.info, reason)
    if way == "libjulia" and engine.image is None:
        _make_image_afterwards(engine.info.version)
    return engine


def _make_image_afterwards(version: str) -> None:
    """Have the system image made when this process ends, where there can be one."""
    from pyvda.engine.julia import build_image

    command = start_libjulia.julia_command()
    if command is not None and build_image.wanted(command, version):
        notice(
            "when this process ends, another one compiles pyvda's Julia code in the background, "
            "once for this version (PYVDA_SYSIMAGE=use declines)"
        )
        atexit.register(build_image.in_background, command)


def _torch(reason: str) -> Engine:
    from pyvda.engine.torch.engine import TorchEngine

    return TorchEngine(reason)


@contextmanager
def as_worker(worker: AsWorker) -> Iterator[None]:
    """Choose and start engines in this thread as on a worker of a cluster."""
    token = _worker.set(worker)
    try:
        yield
    finally:
        _worker.reset(token)


def thread_count() -> int:
    """Return PYVDA_THREADS if set, else a worker's threads, else the cores of this process."""
    wanted = os.environ.get("PYVDA_THREADS")
    if wanted is None:
        return _worker.get().threads or cores()
    if not wanted.isdigit() or int(wanted) < 1:
        raise InputError(f"PYVDA_THREADS is {wanted!r}, expected a whole number from 1")
    return int(wanted)


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
