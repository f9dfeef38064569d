"""Run the experiment of docs/howto/other_packages.md in other packages, and keep what they print.

    python benchmarks/other_packages.py PYTHON

PYTHON is an interpreter that has adao, dapper and torchda. The states go into
docs/results/other_packages.json, which the page reads.
"""

import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import xarray as xr

import pyvda
from pyvda.io.writing.atomic import replacing

DOCS = Path(__file__).parents[1] / "docs"
RESULTS = DOCS / "results" / "other_packages.json"
PACKAGES = ("dapper", "adao", "torchda")
VERSION = "import sys, importlib.metadata as m; print(m.version(sys.argv[1]))"


def case() -> xr.Dataset:
    """Return the background and the observations of the page."""
    truth = pyvda.simulate("lorenz63", windows=1, steps=100, seed=11)
    obs = pyvda.observe(truth, "lorenz63", seed=12)
    background = truth["truth"].values[0, 0] + np.array([1.0, -1.0, 1.0])
    y = obs["observation"].values[0, ::8, 0]
    return xr.Dataset({"background": ("state", background), "y": ("datum", y)})


def printed(python: str, package: str, folder: Path) -> dict[str, object]:
    """Return the version of a package, and the state that its case prints last."""
    script = DOCS / "howto" / "peers" / f"{package}_case.py"
    said = []
    for command in ([python, script], [python, "-c", VERSION, package]):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{package}: {done.stderr.strip().splitlines()[-1]}")
        said.append(done.stdout.strip().splitlines()[-1])
    return {"state": json.loads(said[0]), "version": said[1]}


def main() -> None:
    """Run all cases and write their results."""
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        case().to_netcdf(Path(folder, "case.nc"))
        found = {name: printed(sys.argv[1], name, Path(folder)) for name in PACKAGES}
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    results = {"pyvda": pyvda.__version__, "date": today, "packages": found}
    with replacing(RESULTS) as temporary:
        temporary.write_text(json.dumps(results, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
