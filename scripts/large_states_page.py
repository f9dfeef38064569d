"""Run the commands of docs/large-states.md and put what they make into the page.

    python scripts/large_states_page.py [--tables]

Figures go to docs/figures/, what the covariance and the scores print into the page and, as numbers,
into docs/results/large-states.json. With --tables only the page is written again, from that file
and from the results of the benchmarks, so that no number there is typed by hand.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from pyvda.io.writing.atomic import replacing

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGE, RESULTS = DOCS / "large-states.md", DOCS / "results" / "large-states.json"
FIGURE = "large-states-"
BENCHMARKS = ROOT / "benchmarks" / "results"
_CYCLE, _FILTER = ("start", "middle", "end", "mean"), ("rmse", "spread")


def commands(text: str) -> list[list[str]]:
    """Return the commands of the experiment, as arguments."""
    _, _, rest = text.partition("<!-- commands: ")
    block = rest.partition("<!-- end of commands -->")[0]
    found = [shlex.split(line) for line in block.splitlines() if line.startswith("pyvda ")]
    if not found:
        raise SystemExit(f"large_states_page: {PAGE} has no commands")
    return found


def between(text: str, name: str, content: str) -> str:
    """Return `text` with the content between the markers of `name` replaced."""
    first = f"<!-- {name}: written by scripts/large_states_page.py -->\n"
    last = f"<!-- end of {name} -->"
    before, found, rest = text.partition(first)
    _, closed, after = rest.partition(last)
    if not (found and closed):
        raise SystemExit(f"large_states_page: the page has no markers of {name}")
    return f"{before}{first}{content.strip()}\n{last}{after}"


def page(text: str, results: dict[str, dict[str, str]], folder: Path = BENCHMARKS) -> str:
    """Return the page with what the commands printed, and the scores of the benchmarks."""
    text = between(text, "scores", printed(results))
    return between(text, "benchmarks", benchmarks(folder))


def printed(results: dict[str, dict[str, str]]) -> str:
    """Return what the commands printed, below each other."""
    blocks = [
        f"`{command}` prints\n\n```\n{lines.strip()}\n```"
        for command, lines in results["printed"].items()
    ]
    return "\n\n".join(blocks)


def benchmarks(folder: Path) -> str:
    """Return tables of the scores that the benchmarks wrote."""
    said = [
        "Root mean square errors of DAPPER's twin experiment (300 observations with variance 4 at "
        "each of 300 times), over all points after the spin-up."
    ]
    parts = _read(folder / "qg.json")
    cycles = {name: one for name, one in parts.items() if set(_CYCLE) <= set(_keys(one))}
    if cycles:
        said.append("Cycled 4D-Var, by `benchmarks/qg.py` (the parts are described there):")
        said.append(_table(("part", *_CYCLE), cycles))
    filters = _read(folder / "letkf.json").get("parts", {})
    filters = {name: one for name, one in filters.items() if set(_FILTER) <= set(_keys(one))}
    if filters:
        said.append("LETKF and its fixed-lag smoother, by `benchmarks/letkf.py`:")
        said.append(_table(("part", *_FILTER), filters))
    said += _costs(parts)
    if len(said) == 1:
        return "`benchmarks/qg.py` computes the scores of DAPPER's twin experiment."
    return "\n\n".join(said)


def _costs(parts: dict[str, Any]) -> list[str]:
    """Return what was measured of spread, gradients, growth and memory."""
    said = []
    if "spread" in parts:
        said.append(
            f"(error / standard deviation)² of the part spread is {parts['spread']['ratio']:.2f} "
            "on average after the spin-up."
        )
    if "ours_ms" in parts.get("gradient", {}):
        one = parts["gradient"]
        said.append(
            f"The gradient of a cost over 20 outputs takes {one['ours_ms']:.0f} ms of processor "
            f"time, and {one['jax_ms']:.0f} ms in JAX {one['jax']} in the same process; they "
            f"differ by {one['difference']:.0e}."
        )
    if "growth" in parts:
        kinds = ("forward", "tangent", "adjoint")
        rows = {
            f"{n} × {n}": {kind: one[kind]["ns_per_unknown_and_log"] for kind in kinds}
            for n, one in parts["growth"].items() if n.isdigit()
        }  # fmt: skip
        said.append("Nanoseconds of an output for each point, over the logarithm of their number:")
        said.append(_table(("grid", *kinds), rows))
    sizes = ("states_of_the_window_gib", "peak_gib")
    rows = {name: one for name, one in parts.get("memory", {}).items() if isinstance(one, dict)}
    if rows:
        said.append("GiB of a window of 40 times beside what the process had before:")
        said.append(_table(("grid, `memory`", *sizes), rows))
    return said


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def _keys(one: Any) -> tuple[str, ...]:
    return tuple(one) if isinstance(one, dict) else ()


def _table(columns: tuple[str, ...], rows: dict[str, dict[str, float]]) -> str:
    head = f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}"
    lines = [
        f"| {name} | {' | '.join(f'{one[column]:.3f}' for column in columns[1:])} |"
        for name, one in rows.items()
    ]
    return "\n".join([head, *lines])


def run(text: str, folder: Path) -> dict[str, dict[str, str]]:
    """Run the commands in a folder, keep the figures, and return what is shown of their output."""
    said = {}
    for arguments in commands(text):
        print(shlex.join(arguments), flush=True)
        done = subprocess.run(
            [sys.executable, "-m", *arguments], cwd=folder, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"large_states_page: {done.stderr.strip()}")
        if arguments[1] in ("covariance", "score"):
            said[shlex.join(arguments)] = done.stdout
    for figure in folder.glob(f"{FIGURE}*.png"):
        with replacing(DOCS / "figures" / figure.name) as temporary:
            temporary.write_bytes(figure.read_bytes())
    return {"printed": said}


def main() -> int:
    """Run the experiment, or only write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", action="store_true")
    text = PAGE.read_text("utf-8")
    if not parser.parse_args().tables:
        with tempfile.TemporaryDirectory() as folder:
            results = run(text, Path(folder))
        with replacing(RESULTS) as temporary:
            temporary.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    with replacing(PAGE) as temporary:
        written = page(text, json.loads(RESULTS.read_text("utf-8")))
        temporary.write_text(written, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
