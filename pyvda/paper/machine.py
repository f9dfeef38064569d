"""On what and when a row was run: stands beside its seconds."""

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
    """Return processor, cores, versions, engine and date."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "pyvda": pyvda.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "torch")},
        "engine": str(get_engine(engine).info),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
