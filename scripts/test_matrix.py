"""Install pyvda's wheel in clean environments and use it there: `make test-matrix`.

    Python 3.11   the lowest allowed versions of the dependencies
    Python 3.11, 3.12, 3.13   the newest
    Python 3.11   the newest, with torch and lightning

A Python that is not on this machine (on PATH as python3.X, or pyenv's) is reported as missing and
fails the run, unless it is excluded by --python. One environment has torch, of the version of
constraints.txt, and lightning, and uses a learned model as well: their wheels take gigabytes, and
the classical half must run without them in all others.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
LEARNED = ("torch", "lightning")
LOWEST = "3.11"  # of later Pythons, the lowest versions have no wheels
USE = """
set -eu
pyvda simulate lorenz63 --windows 4 --seed 1 -o truth.nc
pyvda observe truth.nc --preset lorenz63 --seed 2 -o obs.nc
pyvda assimilate obs.nc --model lorenz63 --method strong-constraint -o analysis.nc
pyvda assimilate obs.nc --model lorenz63 --iterations 500 -o analysis.zarr
pyvda score analysis.nc --truth truth.nc
pyvda plot analysis.nc --truth truth.nc -o analysis.png
python - <<END
import pyvda, xarray
analysis = xarray.open_dataset("obs.nc").vda.assimilate(model="lorenz63", iterations=5)
assert analysis.sizes["window"] == 4
END
"""
USE_LEARNED = "pyvda assimilate obs.nc --checkpoint lorenz63-direct -o learned.nc\n"


def requirements(lowest: bool, learned: bool) -> list[str]:
    """Return the dependencies that are installed, as pip takes them."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    left_out = () if learned else LEARNED
    kept = [one for one in listed if re.split(r"[\[>=<]", one)[0] not in left_out]
    return [one.replace(">=", "==") for one in kept] if lowest else kept


def python(version: str) -> str | None:
    """Return a Python of this version, or None."""
    found = [shutil.which(f"python{version}")]
    if f"{sys.version_info[0]}.{sys.version_info[1]}" == version:
        found.insert(0, sys.executable)
    found += [str(path) for path in Path.home().glob(f".pyenv/versions/{version}.*/bin/python")]
    return next((path for path in found if path and _makes_environments(path)), None)


def _makes_environments(path: str) -> bool:
    return not subprocess.run(
        [path, "-c", "import ensurepip, venv"], capture_output=True
    ).returncode


def tried(version: str, lowest: bool, learned: bool, wheel: Path) -> str:
    """Return "passed", or what went wrong."""
    found = python(version)
    if found is None:
        return f"no python{version} on this machine"
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder, "venv")
        subprocess.run([found, "-m", "venv", environment], check=True)
        pip = [environment / "bin/python", "-m", "pip", "install", "--quiet"]
        pinned = ["--constraint", str(ROOT / "constraints.txt")] if learned else []
        wanted = [*pinned, *requirements(lowest, learned)]
        for arguments in (wanted, ["--no-deps", str(wheel)]):
            done = subprocess.run([*pip, *arguments], capture_output=True, text=True)
            if done.returncode:
                return "not installed: " + done.stderr.strip().splitlines()[-1]
        use = USE + (USE_LEARNED if learned else "")
        path = f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", use], cwd=folder, text=True, capture_output=True,
            env={**os.environ, "PATH": path, "PYTHONPATH": "", "PYVDA_SYSIMAGE": "none"},
        )  # fmt: skip
        print(done.stdout, done.stderr, sep="", file=sys.stderr)
        return "passed" if not done.returncode else done.stderr.strip().splitlines()[-1]


def main() -> None:
    """Build the wheel and the source archive, try each environment, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", action="append", help="3.11, 3.12 or 3.13; default: all")
    chosen = parser.parse_args().python or ["3.11", "3.12", "3.13"]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-d", folder], check=True, cwd=ROOT
        )
        archives = sorted(map(str, Path(folder).iterdir()))
        subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *archives], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        cases = [(version, "newest") for version in chosen]
        if LOWEST in chosen:
            cases = [(LOWEST, "lowest"), *cases, (LOWEST, "newest, with torch")]
        results = [
            (version, which, tried(version, which == "lowest", "torch" in which, wheel))
            for version, which in cases
        ]
    print("| Python | dependencies | result |\n| --- | --- | --- |")
    for version, which, result in results:
        print(f"| {version} | {which} | {result} |")
    sys.exit(any(result != "passed" for *_, result in results))


if __name__ == "__main__":
    main()
