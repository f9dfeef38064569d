"""Workers of a dask cluster: the client in use, their engines and threads, a local cluster.

`distributed` is imported only where a cluster is started: a client in use has imported it.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dask.config
import xarray as xr

from pyvda.engine import Engine, engine_for, get_engine
from pyvda.engine.choice import AsWorker, as_worker, cores, kernel_engine, named_outside
from pyvda.errors import EngineError, InputError
from pyvda.models.model import Model
from pyvda.notices import notice

if TYPE_CHECKING:
    from distributed import Client

_OF_CLIENTS = (None, "dask.distributed", "distributed")
_AT_ONCE, _CONNECT_SECONDS = 2, 10  # in which a scheduler answers; it may have just been started


def client() -> Client | None:
    """Return the client whose workers compute lazy arrays, None without one."""
    distributed = sys.modules.get("distributed")
    if distributed is None or dask.config.get("scheduler", None) not in _OF_CLIENTS:
        return None
    if _worker() is not None:  # a task of a worker computes what it needs itself
        return None
    try:
        found: Client = distributed.Client.current()
    except ValueError:
        return None
    return found


@dataclass(frozen=True)
class Choice:
    """The choice of an engine, which travels to the process that computes.

    Attributes
    ----------
    model : Model or None
        None of methods without a model.
    name : str, optional
        As in `get_engine`.
    outside : str, optional
        PYVDA_ENGINE of the process that made the choice.
    julia_kernels : bool
        Whether that process computes learned priors in Julia.
    """

    model: Any
    name: str | None
    outside: str | None
    julia_kernels: bool

    @classmethod
    def here(cls, model: Model | None, name: str | None) -> Choice:
        """Return the choice of this process, whose engine has been started."""
        return cls(model, name, named_outside(), kernel_engine() is not None)

    @contextmanager
    def engine(self, worker: Any = None) -> Iterator[Engine]:
        """Yield the engine of this process, started on first use.

        Raises
        ------
        EngineError, InputError
            See `engine_for`; on a worker with its address.
        """
        worker = worker or _worker()
        if worker is None:
            yield self._engine()
            return
        with as_worker(AsWorker(worker.state.nthreads, self.outside, self.julia_kernels)):
            try:
                engine = self._engine()
            except (EngineError, InputError) as error:
                raise type(error)(f"worker {worker.address}: {error}") from error
            yield engine

    def _engine(self) -> Engine:
        if self.model is None:
            return get_engine(self.name)
        return engine_for(self.model, self.name)


def with_engines(analysis: xr.Dataset, choice: Choice) -> xr.Dataset:
    """Return a lazy analysis with the engines of the workers that will compute it, if any."""
    using = client()
    found = None if using is None else engines(using, choice)
    return analysis if found is None else analysis.assign_attrs(pyvda_engine=found)


def engines(using: Client, choice: Choice) -> str | None:
    """Start the engines of all workers; return their description, None without a worker.

    Workers that have no Julia run on torch. That is said in one sentence, because the analysis is
    then made by two engines.

    Raises
    ------
    EngineError
        The engine asked for cannot start on a worker.
    """
    found = using.run(_answer, choice, on_error="return")
    infos: dict[tuple[str, str], list[str]] = {}
    for address, answer in found.items():
        if isinstance(answer, EngineError | InputError):
            raise answer
        if isinstance(answer, tuple):  # else the worker has been lost meanwhile
            infos.setdefault(answer[:2], []).append(f"{address} ({answer[2]})")
    if len(infos) < 2:
        return next((text for _, text in infos), None)
    if len({engine for engine, _ in infos}) > 1:
        on_torch = [who for (engine, _), all_ in infos.items() if engine == "torch" for who in all_]
        notice(
            f"{len(on_torch)} of {len(found)} workers run on torch, {on_torch[0]}, and the others "
            "on Julia, so that the analysis is made by two engines, whose results differ by "
            "rounding"
        )
    return "; ".join(f"{text} on {_workers(len(all_))}" for (_, text), all_ in infos.items())


@contextmanager
def started(workers: int | None, scheduler: str | None) -> Iterator[Client | None]:
    """Connect to a cluster, or start one of processes on this machine; None where neither is asked.

    Parameters
    ----------
    workers : int, optional
        Processes to start, which share the cores.
    scheduler : str, optional
        Address of a scheduler that runs, such as tcp://10.0.0.1:8786.

    Raises
    ------
    InputError
        Both are given, or no scheduler answers.
    """
    if workers is not None and scheduler is not None:
        raise InputError(
            f"workers ({workers}) are started on this machine, and the scheduler {scheduler} has "
            "its own; give one of --workers and --scheduler"
        )
    if workers is None and scheduler is None:
        yield None
        return
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    if workers is not None:
        with (
            # A worker's profiler would keep samples of the last hour.
            dask.config.set({"distributed.worker.profile.enabled": False}),
            LocalCluster(
                n_workers=workers,
                threads_per_worker=max(1, cores() // workers),
                host="127.0.0.1",
                dashboard_address=None,
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # of its HTTP server
                silence_logs=logging.CRITICAL,
                preload=[*dask.config.get("distributed.worker.preload", []), __name__],
            ) as local,
            Client(local) as using,
        ):
            yield using
        return
    with _connected(str(scheduler)) as using:
        yield using


def _connected(scheduler: str) -> Client:
    try:
        return _client(scheduler, _AT_ONCE)
    except Exception as error:  # of dask, of a name that is no address, of another server
        found = error
    if isinstance(found, OSError | TimeoutError):
        notice(f"waiting up to {_CONNECT_SECONDS} s for the dask scheduler at {scheduler}")
        try:
            return _client(scheduler, _CONNECT_SECONDS)
        except Exception as error:
            found = error
    first = (str(found).splitlines() or [type(found).__name__])[0]
    raise InputError(
        f"no dask scheduler answers at {scheduler} ({first}); start one with `dask scheduler`, or "
        "give --workers"
    ) from found


def _client(scheduler: str, seconds: float) -> Client:
    from distributed import Client

    # One that fails to connect could stay dask's default, for which every computation would wait.
    Client(scheduler, timeout=seconds, set_as_default=False).close()
    return Client(scheduler, timeout=_CONNECT_SECONDS)


def dask_setup(worker: Any) -> None:
    """Ignore Ctrl-C in a worker of a local cluster: a terminal sends it to the worker, too.

    Dask calls this function of a preloaded module in the main thread of the worker's process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _worker() -> Any:
    """Return the worker whose task runs in this thread, None elsewhere."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        return distributed.get_worker()
    except ValueError:
        return None


async def _answer(choice: Choice, dask_worker: Any = None) -> tuple[str, str, str]:
    """Return name, description and reason of a worker's engine; its event loop goes on."""

    def started() -> tuple[str, str, str]:
        with choice.engine(dask_worker) as engine:
            return engine.info.name, str(engine.info), engine.info.reason

    return await asyncio.to_thread(started)


def _workers(count: int) -> str:
    return f"{count} worker" + ("s" if count != 1 else "")
