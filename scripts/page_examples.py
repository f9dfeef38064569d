"""Run the commands of a page whose example takes minutes, and keep what they print and draw.

    python scripts/page_examples.py {fields,large-states}

Figures go to docs/figures/PAGE-*.png, and what some commands print to docs/results/PAGE.json, which
the page reads when it is built.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from pyvda.io.writing.atomic import replacing

DOCS = Path(__file__).parents[1] / "docs"
SHOWN = {"fields": ("covariance", "crossvalidate"), "large-states": ("covariance", "score")}


def commands(page: str) -> list[list[str]]:
    """Return the commands of a page's example, as arguments."""
    text = (DOCS / f"{page}.md").read_text("utf-8")
    block = text.partition("<!-- commands: ")[2].partition("<!-- end of commands -->")[0]
    return [shlex.split(line) for line in block.splitlines() if line.startswith("pyvda ")]


def run(page: str, folder: Path) -> dict[str, str]:
    """Run the commands in a folder, keep the figures, and return what is shown of the output."""
    said = {}
    for arguments in commands(page):
        print(shlex.join(arguments), flush=True)
        done = subprocess.run(
            [sys.executable, "-m", *arguments], cwd=folder, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"page_examples: {done.stderr.strip()}")
        if arguments[1] in SHOWN[page]:
            said[shlex.join(arguments)] = done.stdout
    for figure in folder.glob(f"{page}-*.png"):
        with replacing(DOCS / "figures" / figure.name) as temporary:
            temporary.write_bytes(figure.read_bytes())
    return said


def main() -> int:
    """Run one page's example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", choices=SHOWN)
    page = parser.parse_args().page
    with tempfile.TemporaryDirectory() as folder:
        found = {"printed": run(page, Path(folder))}
    with replacing(DOCS / "results" / f"{page}.json") as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
