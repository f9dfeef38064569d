"""The machine and software that a result was computed with."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyvda
from pyvda.engine import get_engine


def machine(engine: str | None = None) -> dict[str, Any]:
    """Return processor, cores, versions, engine and date, ready for JSON.

    Parameters
    ----------
    engine : str, optional
        See `pyvda.engine.get_engine`.
    """
    return {
        "processor": processor_name(),
        "cores": available_cores(),
        "pyvda": pyvda.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "torch")},
        "engine": str(get_engine(engine).info),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor_name() -> str:
    """Return the processor's model name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
