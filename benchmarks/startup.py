"""The processor time of short commands: two windows by each method, the help, and the import.

Prints one table and writes benchmarks/results/startup.json. Times are user and system time of the
command with its children, the least of several runs after one that fills the caches, with Julia's
system image of pyvda and without it. Python's bytecode is kept, as that of an installed package is,
also where PYTHONDONTWRITEBYTECODE says that it should not be.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import store

from pyvda.engine.julia import build_image, start_libjulia
from pyvda.errors import EngineError
from pyvda.methods import METHODS

PYVDA = [sys.executable, "-m", "pyvda"]


def processor_time(command: list[str], environment: Mapping[str, str], repeats: int) -> float:
    """Return the least user and system time of several runs, in seconds, after a first one."""
    times = []
    for _ in range(repeats + 1):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times[1:])


def measure(folder: Path, repeats: int, methods: list[str]) -> list[dict]:
    """Return the rows of the table."""
    truth, observed = str(folder / "truth.nc"), str(folder / "obs.nc")
    subprocess.run([*PYVDA, "simulate", "lorenz63", "--windows", "2", "-o", truth], check=True)
    preset = ["--preset", "lorenz63-blanked"]
    subprocess.run([*PYVDA, "observe", truth, *preset, "-o", observed], check=True)
    output = ["-o", str(folder / "analysis.nc")]
    commands = {
        f"pyvda assimilate, 2 windows, {method}": [
            *PYVDA, "assimilate", observed, "--model", "lorenz63", "--method", method, *output,
        ]
        for method in methods
    }  # fmt: skip
    commands["pyvda --help"] = [*PYVDA, "--help"]
    commands["import pyvda"] = [sys.executable, "-c", "import pyvda"]
    bytecode = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    bytecode.pop("PYTHONDONTWRITEBYTECODE", None)
    rows = []
    for name, command in commands.items():
        row: dict[str, object] = {"case": name}
        for image in ("use", "none") if "assimilate" in name else ("use",):
            environment = {**bytecode, "PYVDA_SYSIMAGE": image}
            column = "with_image_s" if image == "use" else "without_s"
            row[column] = processor_time(command, environment, repeats)
        rows.append(row)
    return rows


def main() -> None:
    """Make the image where there can be one, measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--methods", default=",".join(m for m in METHODS if m != "learned"))
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    command = start_libjulia.julia_command()
    try:
        if command is not None:
            build_image.build(command)
    except EngineError as error:
        print(f"without an image: {error}")
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), given.repeats, given.methods.split(","))
    print("| processor time | with the image, s | without, s |")
    print("| --- | --- | --- |")
    for row in rows:
        without = f"{row['without_s']:.2f}" if "without_s" in row else ""
        print(f"| {row['case']} | {row['with_image_s']:.2f} | {without} |")
    print(f"written to {store.write('startup', {'rows': rows})}")


if __name__ == "__main__":
    main()
