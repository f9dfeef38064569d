"""Put the tables of docs/results/ into docs/results.md, so that no number there is typed by hand.

    python scripts/results_page.py

Run it after `pyvda reproduce table1 --shipped -o docs/results`, benchmarks/patterns.py, regimes.py
and levers.py. The tables are first updated from the current records of the weights. Full descents
found there become the reference that quick runs show.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import written_page
from written_page import DOCS

from pyvda.io.writing.atomic import replacing
from pyvda.paper import markdown
from pyvda.paper.tables import STORED_FSGD, full_descents, refresh_table

FIGURES = {
    "figure2": "Error and cost along the iterations, Lorenz-63 and Lorenz-96",
    "figure3": "Errors and reconstructions, Lorenz-63",
    "figure4": "States and absolute errors, Lorenz-96",
}


between = partial(written_page.between, script="results_page")


def page(text: str, docs: Path = DOCS) -> str:
    """Return the page with the tables and figures that `docs` has."""
    for name in ("table1", "table2"):
        path = docs / "results" / f"{name}.json"
        if path.exists():
            text = between(text, name, markdown.table(json.loads(path.read_text("utf-8"))))
    for name, written in (
        ("patterns", markdown.patterns),
        ("regimes", markdown.regimes),
        ("levers", markdown.levers),
    ):
        path = docs / "results" / f"{name}.json"
        if path.exists():
            text = between(text, name, written(json.loads(path.read_text("utf-8"))))
    drawn = [n for n in FIGURES if (docs / "figures" / f"{n}.png").exists()]
    if drawn:
        images = (f"![{FIGURES[name]}](figures/{name}.png)" for name in drawn)
        text = between(text, "figures", "\n\n".join(images))
    return text


def main() -> int:
    """Rewrite tables, page and stored descents."""
    for name in ("table1", "table2"):
        if (DOCS / "results" / f"{name}.json").exists():
            refresh_table(name, DOCS / "results")
    path = DOCS / "results.md"
    with replacing(path) as temporary:
        temporary.write_text(page(path.read_text("utf-8")), "utf-8")
    stored = json.loads(STORED_FSGD.read_text("utf-8"))
    for name in ("table1", "table2"):
        results = DOCS / "results" / f"{name}.json"
        if results.exists():
            stored |= full_descents(json.loads(results.read_text("utf-8")))
    with replacing(STORED_FSGD) as temporary:
        temporary.write_text(json.dumps(stored, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
