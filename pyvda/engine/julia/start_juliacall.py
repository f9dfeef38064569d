"""Start Julia through juliacall, the usual way on a machine with network access (Julia >= 1.10)."""

from __future__ import annotations

import contextlib
import importlib.util
import os

from pyvda.engine.julia.engine import StartedJulia
from pyvda.engine.julia.start_libjulia import check_not_declined, declined, loading, quoted
from pyvda.errors import EngineError


def ready_without_download() -> str | None:
    """Return None if juliacall can start as it is, else the reason why it cannot."""
    if declined():
        return "PYVDA_JULIA is none"
    if importlib.util.find_spec("juliacall") is None:
        return "juliacall is not installed"
    if os.environ.get("PYTHON_JULIACALL_EXE") and os.environ.get("PYTHON_JULIACALL_PROJECT"):
        return None
    try:
        from juliapkg.deps import can_skip_resolve

        # Without this option juliapkg accesses the network even if nothing has to be installed.
        with _environment(PYTHON_JULIAPKG_OFFLINE="yes"):
            resolved = bool(can_skip_resolve())
    except Exception as error:  # any exception from juliapkg's internals means "not ready"
        return f"juliapkg is not usable ({error})"
    return None if resolved else "its Julia is not installed yet (`python -m juliapkg resolve`)"


def start() -> StartedJulia:
    """Start Julia on the calling thread, load VDA, and return its entry points."""
    check_not_declined()
    # juliacall reads its options once, at its first import. With more than one thread Julia needs
    # its own signal handlers.
    os.environ.setdefault("PYTHON_JULIACALL_HANDLE_SIGNALS", "yes")
    os.environ.setdefault("PYTHON_JULIACALL_THREADS", os.environ["JULIA_NUM_THREADS"])
    try:
        import juliacall
    except Exception as error:
        raise EngineError(f"juliacall could not start: {error}") from error
    evaluate = juliacall.Main.seval
    evaluate(loading())
    return StartedJulia(
        version=str(evaluate("string(VERSION)")),
        threads=int(evaluate("Threads.nthreads()")),
        address=lambda name: int(evaluate(f"Int(VDA.entry_point({quoted(name)}))")),
    )


@contextlib.contextmanager
def _environment(**variables: str):  # type: ignore[no-untyped-def]
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
