"""Run the commands of docs/fields.md and put what they make into the page.

    python scripts/fields_page.py [--tables]

Figures go to docs/figures/, what the commands print to docs/results/fields.json and into the page,
and the scores of benchmarks/results/fields.json into its tables. With --tables only the page is
written again, so that no number there is typed by hand.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import written_page
from written_page import DOCS, printed

PAGE, RESULTS = DOCS / "fields.md", DOCS / "results" / "fields.json"
BENCHMARK = DOCS.parent / "benchmarks" / "results" / "fields.json"
_SCRIPT = "fields_page"
_SHOWN = ("covariance", "crossvalidate")
_PARTS = {
    "chlorophyll": "Chlorophyll (log10) of MODIS-Aqua off Newfoundland, 2015: values under clouds "
    "of other days, the draw `test` of 30 days.",
    "radar": "HF radar currents of Monterey Bay (m/s): withheld gaps.",
    "alboran": "DINEOF's own example, sea-surface temperature of the Alboran Sea (degC), by its "
    "own protocol; the program's reference output has 0.4445.",
    "twin": "Maps of sea level (m) from simulated tracks of four satellites over the "
    "Mediterranean, 14 days.",
    "qg": "Maps of the stream function of a simulated quasi-geostrophic ocean from the tracks of "
    "two altimeters, one window of 31 times. 4D-Var knows the model; the network has seen other "
    "simulations with it; `oi` and `eof` know the tracks alone, and where it is said the mean of "
    "40 other states.",
    "passes": "Real passes of all altimeters over the Mediterranean (m), one fifth withheld.",
    "speed": "Points a second by the number of data of a point.",
    "million": "One day of a field of a million points, constants given.",
}
_COLUMNS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "method": ("method", str),
    "variable": ("variable", str),
    "rmse": ("RMSE", lambda v: f"{v:.4f}"),
    "bias": ("bias", lambda v: f"{v:.4f}"),
    "spread": ("spread of draws", lambda v: f"{v:.4f}"),
    "calibration": ("(e/σ)²", lambda v: f"{v:.2f}"),
    "nll": ("NLL", lambda v: f"{v:.2f}"),
    "mu": ("μ", lambda v: f"{v:.3f}"),
    "sigma": ("σ", lambda v: f"{v:.3f}"),
    "lambda_x": ("λx (km)", lambda v: f"{v:.0f}"),
    "lambda_t": ("λt (days)", lambda v: f"{v:.1f}"),
    "compared": (
        "RMSE over that of",
        lambda v: "; ".join(
            f"{other} {one['ratio']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"
            for other, one in v.items()
        ),
    ),
    "points": ("points", str),
    "data": ("data", str),
    "points_per_second": ("points a second", str),
    "points_per_processor_second": ("points a second of a core", str),
    "seconds": ("s", str),
    "processor_seconds": ("processor s", str),
    "training_seconds": ("training s", lambda v: f"{v:.0f}"),
}


_TIMES = [name for name in _COLUMNS if "second" in name]


commands = partial(written_page.commands, script=_SCRIPT)
between = partial(written_page.between, script=_SCRIPT)


def page(text: str, results: dict[str, Any], benchmark: dict[str, Any]) -> str:
    """Return the page with what the commands printed, and the scores of the benchmark."""
    return between(between(text, "printed", printed(results)), "scores", scores(benchmark))


def scores(benchmark: dict[str, Any]) -> str:
    """Return a table for each part of the benchmark."""
    said = ["By `benchmarks/fields.py`; what a draw withholds is withheld from the fit, too."]
    parts = {**{name: [] for name in _PARTS}, **benchmark}
    del parts["machine"]
    for name, rows in parts.items():
        if not rows:
            continue
        machines = {row["machine"] for row in rows}
        timed = any(column in row for column in _TIMES for row in rows)
        only = f" On {machines.pop()}." if timed and len(machines) == 1 else ""
        said += [_PARTS.get(name, name) + only, _table(rows, machine=bool(timed and machines))]
    return "\n\n".join(said)


def _table(rows: list[dict[str, Any]], *, machine: bool = False) -> str:
    columns = [name for name in _COLUMNS if any(name in row for row in rows)]
    columns += ["machine"] if machine else []
    return written_page.table(
        [_COLUMNS.get(name, (name, str))[0] for name in columns],
        [
            [_COLUMNS.get(c, (c, str))[1](row[c]) if c in row else "" for c in columns]
            for row in rows
        ],
    )


def run(text: str, folder: Path) -> dict[str, Any]:
    """Run the example of the page, see `written_page.run`."""
    return written_page.run(
        commands(text), folder, script=_SCRIPT, shown=_SHOWN, figures="fields-*.png"
    )


def written(text: str, results: dict[str, Any]) -> str:
    """Return the page with the results and the benchmark's."""
    return page(text, results, json.loads(BENCHMARK.read_text("utf-8")))


if __name__ == "__main__":
    sys.exit(written_page.write(PAGE, RESULTS, run, written, description=__doc__))
