"""Bring docs/results/ up to date with the shipped weights, without scoring anything again.

    python scripts/refresh_results.py

Run it after `pyvda reproduce table1 --shipped -o docs/results`, and when the records of weights
have changed: labels and facts about the weights in the tables are then those of today, and full
descents found there become the reference that quick runs show. docs/results.md reads the files when
it is built.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pyvda.io.writing.atomic import replacing
from pyvda.paper.tables import STORED_FSGD, full_descents, refresh_table

RESULTS = Path(__file__).parents[1] / "docs" / "results"


def main() -> int:
    """Rewrite tables and stored descents."""
    stored = json.loads(STORED_FSGD.read_text("utf-8"))
    for name in ("table1", "table2"):
        if (RESULTS / f"{name}.json").exists():
            stored |= full_descents(refresh_table(name, RESULTS))
    with replacing(STORED_FSGD) as temporary:
        temporary.write_text(json.dumps(stored, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
