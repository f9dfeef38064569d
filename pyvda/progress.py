"""How far long work is: what it calls from time to time, and what the command line shows of it."""

from __future__ import annotations

import inspect
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

# Where no bar can be drawn, in a batch job's log, a line so often, in seconds.
LINE_EVERY = 60.0


class Report(Protocol):
    """Is told that `done` of `total` is done; `note` says how it goes."""

    def __call__(self, done: int, total: int, note: str = "") -> None: ...


def silent(done: int, total: int, note: str = "") -> None:
    """Tell nobody."""


def heard(report: Callable[..., None] | None) -> Report:
    """Return `report`, which may take two arguments or three, as one that takes three."""
    if report is None:
        return silent
    try:
        inspect.signature(report).bind(0, 1, "")
    except TypeError:
        return lambda done, total, note="": report(done, total)
    return report


class OfBlocks:
    """Reports of blocks of windows, in any order or at once, as one in thousandths of the file."""

    def __init__(self, report: Report, windows: int) -> None:
        self.report = report
        self.windows = windows
        self._done: dict[int, float] = {}  # windows of a block, by its first one
        self._lock = threading.Lock()

    def block(self, first: int, size: int) -> Report:
        """Return the report of the block of `size` windows from the `first`."""

        def told(done: int, total: int, note: str = "") -> None:
            with self._lock:
                self._done[first] = size * done / max(total, 1)
                self.report(round(1000 * sum(self._done.values()) / self.windows), 1000, note)

        return told


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
        # What is printed meanwhile comes above the bar, if it goes to the same terminal.
        with Progress(*columns, note, console=console, redirect_stdout=sys.stdout.isatty()) as bar:
            task = bar.add_task(what, total=None, note="")
            yield lambda done, total, note="": bar.update(
                task, completed=done, total=total, note=note
            )
    else:
        yield _lines(what)


def _lines(what: str) -> Report:
    """Return a report that prints a line when the last one is a minute old."""
    last = time.monotonic()
    begun: tuple[float, int] | None = None  # when, and at what: resumed work begins at more than 0

    def told(done: int, total: int, note: str = "") -> None:
        nonlocal last, begun
        now = time.monotonic()
        if begun is None:
            begun = (now, done)
        started, first = begun
        if now - last < LINE_EVERY or done <= first:
            return
        last = now
        left = (now - started) * (total - done) / (done - first)
        parts = [f"{what} {done}/{total}", f"{left / 60:.0f} min left", *filter(None, [note])]
        print("pyvda: " + ", ".join(parts), file=sys.stderr, flush=True)

    return told
