"""Run the commands of docs/fields.md and put what they make into the page.

    python scripts/fields_page.py [--tables]

Figures go to docs/figures/, what the commands print to docs/results/fields.json and into the page,
and the scores of benchmarks/results/fields.json into its tables. With --tables only the page is
written again, so that no number there is typed by hand.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyvda.io.writing.atomic import replacing

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGE, RESULTS = DOCS / "fields.md", DOCS / "results" / "fields.json"
BENCHMARK = ROOT / "benchmarks" / "results" / "fields.json"
_SHOWN = ("covariance", "crossvalidate")
_PARTS = {
    "chlorophyll": "Chlorophyll (log10) of MODIS-Aqua off Newfoundland, 2015: values under clouds "
    "of other days, the draw `test` of 30 days.",
    "radar": "HF radar currents of Monterey Bay (m/s): withheld gaps.",
    "alboran": "DINEOF's own example, sea-surface temperature of the Alboran Sea (degC), by its "
    "own protocol; the program's reference output has 0.4445.",
    "twin": "Maps of sea level (m) from simulated tracks of four satellites over the "
    "Mediterranean, 14 days.",
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


def commands(text: str) -> list[list[str]]:
    """Return the commands of the example, as arguments."""
    _, _, rest = text.partition("<!-- commands: ")
    block = rest.partition("<!-- end of commands -->")[0]
    found = [shlex.split(line) for line in block.splitlines() if line.startswith("pyvda ")]
    if not found:
        raise SystemExit(f"fields_page: {PAGE} has no commands")
    return found


def between(text: str, name: str, content: str) -> str:
    """Return `text` with the content between the markers of `name` replaced."""
    first = f"<!-- {name}: written by scripts/fields_page.py -->\n"
    last = f"<!-- end of {name} -->"
    before, found, rest = text.partition(first)
    _, closed, after = rest.partition(last)
    if not (found and closed):
        raise SystemExit(f"fields_page: the page has no markers of {name}")
    return f"{before}{first}{content.strip()}\n{last}{after}"


def page(text: str, results: dict[str, Any], benchmark: dict[str, Any]) -> str:
    """Return the page with what the commands printed, and the scores of the benchmark."""
    return between(between(text, "printed", printed(results)), "scores", scores(benchmark))


def printed(results: dict[str, Any]) -> str:
    """Return what the commands printed, below each other."""
    return "\n\n".join(
        f"`{command}` prints\n\n```\n{lines.strip()}\n```"
        for command, lines in results["printed"].items()
    )


def scores(benchmark: dict[str, Any]) -> str:
    """Return a table for each part of the benchmark."""
    machine = benchmark["machine"]
    said = [
        f"By `benchmarks/fields.py`, on {machine['cores']} cores of {machine['processor']} "
        f"({machine['vector_instructions']}); what a draw withholds is withheld from the fit, too."
    ]
    parts = {**{name: [] for name in _PARTS}, **benchmark}
    del parts["machine"]
    for name, rows in parts.items():
        if rows:
            said += [_PARTS.get(name, name), _table(rows)]
    return "\n\n".join(said)


def _table(rows: list[dict[str, Any]]) -> str:
    columns = [name for name in _COLUMNS if any(name in row for row in rows)]
    head = f"| {' | '.join(_COLUMNS[name][0] for name in columns)} |\n|{' --- |' * len(columns)}"
    lines = [
        f"| {' | '.join(_COLUMNS[c][1](row[c]) if c in row else '' for c in columns)} |"
        for row in rows
    ]
    return "\n".join([head, *lines])


def run(text: str, folder: Path) -> dict[str, Any]:
    """Run the commands in a folder, keep the figures, and return what is shown of their output."""
    said = {}
    for arguments in commands(text):
        print(shlex.join(arguments), flush=True)
        done = subprocess.run(
            [sys.executable, "-m", *arguments], cwd=folder, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"fields_page: {done.stderr.strip()}")
        if arguments[1] in _SHOWN:
            said[shlex.join(arguments)] = done.stdout
    for figure in folder.glob("fields-*.png"):
        with replacing(DOCS / "figures" / figure.name) as temporary:
            temporary.write_bytes(figure.read_bytes())
    return {"printed": said}


def main() -> int:
    """Run the example, or only write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", action="store_true")
    text = PAGE.read_text("utf-8")
    if not parser.parse_args().tables:
        with tempfile.TemporaryDirectory() as folder:
            results = run(text, Path(folder))
        with replacing(RESULTS) as temporary:
            temporary.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    with replacing(PAGE) as temporary:
        benchmark = json.loads(BENCHMARK.read_text("utf-8"))
        written = page(text, json.loads(RESULTS.read_text("utf-8")), benchmark)
        temporary.write_text(written, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
