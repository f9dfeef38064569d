"""Run the commands of docs/large-states.md and put what they make into the page.

    python scripts/large_states_page.py [--tables]

Figures go to docs/figures/, what the covariance and the scores print into the page and, as numbers,
into docs/results/large-states.json. With --tables only the page is written again, from that file
and from the results of the benchmarks, so that no number there is typed by hand.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import written_page
from written_page import DOCS, printed

PAGE, RESULTS = DOCS / "large-states.md", DOCS / "results" / "large-states.json"
BENCHMARKS = DOCS.parent / "benchmarks" / "results"
_SCRIPT = "large_states_page"
_CYCLE, _FILTER = ("start", "middle", "end", "mean"), ("rmse", "spread")
_PARTS = {
    "a20": "20 times",
    "b20": "20 times, another truth and other data",
    "a40": "40 times",
    "a60": "60 times",
    "flat": "20 times, B with one standard deviation for all points",
    "spread": "20 times, with the standard deviation of the analysis",
    "eda": "20 times, B partly from an ensemble of 4D-Vars",
}
_MEMORY = {"states_of_the_window_gib": "states of the window", "peak_gib": "at most"}


commands = partial(written_page.commands, script=_SCRIPT)
between = partial(written_page.between, script=_SCRIPT)


def page(text: str, results: dict[str, dict[str, str]], folder: Path = BENCHMARKS) -> str:
    """Return the page with what the commands printed, and the scores of the benchmarks."""
    text = between(text, "scores", printed(results))
    return between(text, "benchmarks", benchmarks(folder))


def benchmarks(folder: Path) -> str:
    """Return tables of the scores that the benchmarks wrote."""
    said = [
        "Root mean square errors of DAPPER's twin experiment (300 observations with variance 4 at "
        "each of 300 times), over all points after the spin-up."
    ]
    parts = _read(folder / "qg.json")
    cycles = {name: one for name, one in parts.items() if set(_CYCLE) <= set(_keys(one))}
    if cycles:
        said.append(
            "Cycled 4D-Var, by `benchmarks/qg.py`, at the start, in the middle and at the end of "
            "the windows:"
        )
        said.append(
            _table(("windows", *_CYCLE), {_PARTS.get(n, n): one for n, one in cycles.items()})
        )
    filters = _read(folder / "letkf.json").get("parts", {})
    filters = {name: one for name, one in filters.items() if set(_FILTER) <= set(_keys(one))}
    if filters:
        said.append("LETKF and its fixed-lag smoother, by `benchmarks/letkf.py`:")
        said.append(_table(("filter", *_FILTER), filters))
    said += _costs(parts)
    if len(said) == 1:
        return "`benchmarks/qg.py` computes the scores of DAPPER's twin experiment."
    return "\n\n".join(said)


def _costs(parts: dict[str, Any]) -> list[str]:
    """Return what was measured of spread, gradients, growth and memory."""
    said = []
    if "spread" in parts:
        said.append(
            f"(error / standard deviation)² of the analysis is {parts['spread']['ratio']:.2f} on "
            "average after the spin-up."
        )
    if "ours_ms" in parts.get("gradient", {}):
        one = parts["gradient"]
        said.append(
            f"The gradient of a cost over 20 outputs takes {one['ours_ms']:.0f} ms of processor "
            f"time, and {one['jax_ms']:.0f} ms in JAX {one['jax']} in the same process; they "
            f"differ by {one['difference']:.0e}."
        )
    if "speed" in parts:
        one = parts["speed"]
        text = (
            f"An output takes {one['forward_ms']:.2f} ms of processor time, its tangent linear "
            f"{one['tangent_ms']:.2f} and its adjoint {one['adjoint_ms']:.2f}, on one core."
        )
        if "fortran_ms" in one:
            text += (
                f" DAPPER's Fortran takes {one['fortran_ms']:.1f} ms for an output in the same run."
            )
        said.append(text)
        share = one["products_alone_at_peak_ms"] / one["forward_ms"]
        said.append(
            "There is no program in C to compare with. If its sine transforms were products with "
            f"matrices, these alone would take {one['products_alone_at_peak_ms']:.2f} ms at the "
            f"speed of NumPy's product in the same run ({one['gemm_peak_gflops']:.0f} Gflop/s), "
            f"{100 * share:.0f} % of the time of the whole output with fast transforms."
        )
    if "growth" in parts:
        kinds = ("forward", "tangent", "adjoint")
        rows = {
            f"{n} × {n}": {kind: one[kind]["ns_per_step_unknown_and_log"] for kind in kinds}
            for n, one in parts["growth"].items() if n.isdigit()
        }  # fmt: skip
        said.append(
            "Nanoseconds of a Runge-Kutta step for each point, over the binary logarithm of their "
            "number (an output is 4 steps up to 129 × 129 points, 8 and 16 on the next grids):"
        )
        said.append(_table(("grid", *kinds), rows))
    rows = {
        name: {head: one[key] for key, head in _MEMORY.items()}
        for part in ("memory", "cycles")
        for name, one in parts.get(part, {}).items() if isinstance(one, dict)
    }  # fmt: skip
    if rows:
        said.append(
            "GiB that a window of 40 times with its file in memory, or a cycle of windows of 20 "
            "steps from one file to another, takes beyond what the process had before:"
        )
        said.append(_table(("points along a side, `memory`", *_MEMORY.values()), rows))
    return said


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def _keys(one: Any) -> tuple[str, ...]:
    return tuple(one) if isinstance(one, dict) else ()


def _table(columns: tuple[str, ...], rows: dict[str, dict[str, float]]) -> str:
    return written_page.table(
        columns,
        [[name, *(f"{one[c]:.3f}" for c in columns[1:])] for name, one in rows.items()],
    )


def run(text: str, folder: Path) -> dict[str, Any]:
    """Run the experiment of the page, see `written_page.run`."""
    return written_page.run(
        commands(text), folder, script=_SCRIPT, shown=("covariance", "score"),
        figures="large-states-*.png",
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(written_page.write(PAGE, RESULTS, run, page, description=__doc__))
