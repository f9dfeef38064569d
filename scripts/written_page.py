"""Pages of the documentation with parts that a script writes: what the pages' scripts share."""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from pyvda.io.writing.atomic import replacing

DOCS = Path(__file__).parents[1] / "docs"


def between(text: str, name: str, content: str, *, script: str) -> str:
    """Return `text` with the content between the markers of `name` replaced."""
    first = f"<!-- {name}: written by scripts/{script}.py -->\n"
    last = f"<!-- end of {name} -->"
    before, found, rest = text.partition(first)
    _, closed, after = rest.partition(last)
    if not (found and closed):
        raise SystemExit(f"{script}: the page has no markers of {name}")
    return f"{before}{first}{content.strip()}\n{last}{after}"


def commands(text: str, *, script: str) -> list[list[str]]:
    """Return the commands of a page's example, as arguments."""
    _, _, rest = text.partition("<!-- commands: ")
    block = rest.partition("<!-- end of commands -->")[0]
    found = [shlex.split(line) for line in block.splitlines() if line.startswith("pyvda ")]
    if not found:
        raise SystemExit(f"{script}: the page has no commands")
    return found


def printed(results: dict[str, dict[str, str]]) -> str:
    """Return what the commands printed, below each other."""
    return "\n\n".join(
        f"`{command}` prints\n\n```text\n{lines.strip()}\n```"
        for command, lines in results["printed"].items()
    )


def table(head: Collection[str], rows: Collection[Collection[str]]) -> str:
    """Return a table of cells."""
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    return "\n".join([lines[0], f"|{' --- |' * len(head)}", *lines[1:]])


def run(
    example: list[list[str]], folder: Path, *, script: str, shown: Collection[str], figures: str
) -> dict[str, Any]:
    """Run an example in a folder, keep its figures, and return what is shown of its output.

    Parameters
    ----------
    example : list of arguments
        See `commands`.
    folder : Path
    script : str
        Name of the script, for messages.
    shown : collection of str
        Subcommands whose output is shown.
    figures : str
        Pattern of the figures' names.
    """
    said = {}
    for arguments in example:
        print(shlex.join(arguments), flush=True)
        done = subprocess.run(
            [sys.executable, "-m", *arguments], cwd=folder, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{script}: {done.stderr.strip()}")
        if arguments[1] in shown:
            said[shlex.join(arguments)] = done.stdout
    for figure in folder.glob(figures):
        with replacing(DOCS / "figures" / figure.name) as temporary:
            temporary.write_bytes(figure.read_bytes())
    return {"printed": said}


def write(
    path: Path,
    results: Path,
    run: Callable[[str, Path], dict[str, Any]],
    page: Callable[[str, dict[str, Any]], str],
    *,
    description: str | None,
) -> int:
    """Run a page's example unless --tables is given, and write the page from its results.

    Parameters
    ----------
    path, results : Path
        The page, and what its commands printed.
    run : callable(text, folder)
    page : callable(text, results)
    description : str
        Of the script.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--tables", action="store_true", help="only write the page")
    text = path.read_text("utf-8")
    if not parser.parse_args().tables:
        with tempfile.TemporaryDirectory() as folder:
            found = run(text, Path(folder))
        with replacing(results) as temporary:
            temporary.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    written = page(text, json.loads(results.read_text("utf-8")))
    with replacing(path) as temporary:
        temporary.write_text(written, "utf-8")
    return 0
