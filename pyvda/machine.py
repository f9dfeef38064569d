"""The machine and software that a result was computed with."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyvda
from pyvda.engine import get_engine
from pyvda.engine.choice import cores


def machine(engine: str | None = None) -> dict[str, Any]:
    """Return processor, cores, versions, engine and date, ready for JSON.

    Parameters
    ----------
    engine : str, optional
        See `pyvda.engine.get_engine`.
    """
    return {
        "processor": processor_name(),
        "cores": cores(),
        "pyvda": pyvda.__version__,
        "python": platform.python_version(),
        **{name: installed(name) for name in ("numpy", "torch")},
        "engine": str(get_engine(engine).info),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def installed(package: str) -> str:
    """Return the version of a package; the classical methods run without some of them."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def processor_name() -> str:
    """Return the processor's model name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
