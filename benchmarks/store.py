"""Store the results of a benchmark as JSON, with the machine it ran on."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pyvda.engine import get_engine
from pyvda.io.writing.atomic import replacing

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """Return processor, cores, vector instructions, versions and date."""
    flags = ""
    name = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = dict(line.split(":", 1) for line in cpuinfo.read_text().splitlines() if ":" in line)
        fields = {key.strip(): value.strip() for key, value in lines.items()}
        flags, name = fields.get("flags", ""), fields.get("model name", name)
    vector = "AVX-512" if " avx512f" in flags else "AVX2" if " avx2" in flags else "other"
    return {
        "processor": name,
        "vector_instructions": vector,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        **{package: version(package) for package in ("numpy", "scipy", "torch")},
        "engine": str(get_engine().info),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def in_words() -> str:
    """Return cores, processor and vector instructions in words, for rows of several machines."""
    here = machine()
    return f"{here['cores']} cores of {here['processor']} ({here['vector_instructions']})"


def write(name: str, results: dict[str, Any]) -> Path:
    """Write results and machine to benchmarks/results/NAME.json."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({"machine": machine(), **results}, indent=2) + "\n")
    return path
