"""How far long work is: what it calls from time to time, and what the command line shows of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

# Where no bar can be drawn, in a batch job's log, a line so often, in seconds.
LINE_EVERY = 60.0


class Report(Protocol):
    """Is told that `done` of `total` is done; `note` says how it goes."""

    def __call__(self, done: int, total: int, note: str = "") -> None: ...


def silent(done: int, total: int, note: str = "") -> None:
    """Tell nobody."""


class OfBlocks:
    """Reports of blocks of windows, one after the other, as one in thousandths of the file."""

    def __init__(self, report: Report, windows: int) -> None:
        self.report = report
        self.windows = windows
        self.before = self.size = 0

    def block(self, size: int) -> Report:
        """Return the report of the next block, of so many windows."""
        self.before += self.size
        self.size = size
        return self._told

    def _told(self, done: int, total: int, note: str = "") -> None:
        windows = self.before + self.size * done / max(total, 1)
        self.report(round(1000 * windows / self.windows), 1000, note)


@contextmanager
def shown(what: str, quiet: bool = False) -> Iterator[Report]:
    """Show a bar with the time left on a terminal, elsewhere a line a minute; nothing if quiet."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    if quiet:
        yield silent
    elif console.is_terminal:
        note = "{task.fields[note]}"
        columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, note, console=console) as bar:
            task = bar.add_task(what, total=None, note="")
            yield lambda done, total, note="": bar.update(
                task, completed=done, total=total, note=note
            )
    else:
        yield _lines(what)


def _lines(what: str) -> Report:
    """Return a report that prints a line when the last one is a minute old."""
    started = last = time.monotonic()

    def told(done: int, total: int, note: str = "") -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < LINE_EVERY or not done:
            return
        last = now
        left = (now - started) * (total - done) / done
        parts = [f"{what} {done}/{total}", f"{left / 60:.0f} min left", *filter(None, [note])]
        print("pyvda: " + ", ".join(parts), file=sys.stderr, flush=True)

    return told
