"""Run the commands of the page whose example takes minutes, and keep what it shows of them.

    python scripts/page_examples.py

What some commands print goes to docs/results/large-states.json, and the fields of some times, from
which the page draws its figures, to docs/results/large-states.nc.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Hashable
from pathlib import Path

import numpy as np
import xarray as xr

from pyvda.io.writing.atomic import replacing

DOCS = Path(__file__).parents[1] / "docs"
PAGE = "large-states"
SHOWN = ("covariance", "score")  # commands whose output is on the page
TIMES = (0, 5, 10, 15, 19, 20)
_LEVELS = 2**10  # to which fields are rounded


def commands() -> list[list[str]]:
    """Return the commands of the page's example, as arguments."""
    text = (DOCS / f"{PAGE}.md").read_text("utf-8")
    block = text.partition("<!-- commands: ")[2].partition("<!-- end of commands -->")[0]
    return [shlex.split(line) for line in block.splitlines() if line.startswith("pyvda ")]


def run(folder: Path) -> dict[str, str]:
    """Run the commands in a folder, and return what is shown of their output."""
    said = {}
    for arguments in commands():
        print(shlex.join(arguments), flush=True)
        done = subprocess.run(
            [sys.executable, "-m", *arguments], cwd=folder, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"page_examples: {done.stderr.strip()}")
        if arguments[1] in SHOWN:
            said[shlex.join(arguments)] = done.stdout
    return said


def keep_fields(folder: Path, path: Path) -> None:
    """Write the fields of some times, and the observations nearest to the last, as groups."""
    analysis, truth, tracks = (
        xr.load_dataset(folder / f"{name}.nc") for name in ("analysis", "truth", "obs")
    )
    last = analysis["time"].values[list(TIMES[-2:])].mean()
    groups = {
        "analysis": analysis[["psi", "psi_stdev", "psi_innovation"]].isel(time=list(TIMES)),
        "truth": truth[["psi"]].isel(time=list(TIMES)),
        "observations": tracks[["psi"]].isel(obs=tracks["time"].values >= last),
    }
    with replacing(path) as temporary:
        for mode, (group, ds) in zip("waa", groups.items(), strict=True):
            packed = {name: _packed(variable) for name, variable in ds.data_vars.items()}
            ds.drop_attrs(deep=False).to_netcdf(temporary, mode, group=group, encoding=packed)


def _packed(variable: xr.DataArray) -> dict[Hashable, object]:
    variable.encoding = {}
    largest = float(np.nanmax(np.abs(variable.values), initial=1e-30))
    return {
        "dtype": "int16", "scale_factor": largest / _LEVELS, "_FillValue": -(2**15), "zlib": True,
        "complevel": 9,
    }  # fmt: skip


def main() -> None:
    """Run the example."""
    with tempfile.TemporaryDirectory() as folder:
        found = {"printed": run(Path(folder))}
        keep_fields(Path(folder), DOCS / "results" / f"{PAGE}.nc")
    with replacing(DOCS / "results" / f"{PAGE}.json") as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
