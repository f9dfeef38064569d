"""Progress of long computations: the function they call, and what the command line shows."""

from __future__ import annotations

import html
import importlib
import inspect
import sys
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple, Protocol

from pyvda.notices import begun

# Seconds between two lines where no bar can be drawn, as in the log of a batch job.
LINE_EVERY = 60.0
# Seconds before a notebook shows a bar, and between two of its changes.
BAR_AFTER, BAR_EVERY = 2.0, 0.5


class ProgressReport(Protocol):
    """Called with the work completed so far, the total, and an optional status message."""

    def __call__(self, done: int, total: int, note: str = "") -> None: ...


def silent(done: int, total: int, note: str = "") -> None:
    """Ignore the progress."""


class NotebookBar:
    """A bar below a notebook's cell, while work takes more than a few seconds.

    It is drawn when it is called, and disappears when the work is done or the bar is closed.
    """

    wants_notes = False

    def __init__(self, what: str) -> None:
        self.what = what
        self._begun: float | None = None
        self._shown = 0.0
        self._handle: Any = None
        self._closed = False

    def __call__(self, done: int, total: int, note: str = "") -> None:
        if self._closed:
            return
        if done >= total:
            self._clear()
            return
        now = time.monotonic()
        if self._begun is None:
            self._begun = now
        if self._handle is None and now - self._begun > BAR_AFTER:
            display = importlib.import_module("IPython.display").display
            self._shown = now
            self._handle = display(self._drawn(done, total, note), raw=True, display_id=True)
        elif self._handle is not None and now - self._shown > BAR_EVERY:
            self._shown = now
            self._handle.update(self._drawn(done, total, note), raw=True)

    def close(self) -> None:
        """Remove the bar for good: blocks computed later do not draw it again."""
        self._closed = True
        self._clear()

    def _clear(self) -> None:
        if self._handle is not None:
            self._handle.update({"text/plain": ""}, raw=True)
        self._begun = self._handle = None

    def _drawn(self, done: int, total: int, note: str) -> dict[str, str]:
        said = f"{self.what} {done}/{total} {note}".rstrip()
        bar = f'<progress value="{done}" max="{total}"></progress> {html.escape(said)}'
        return {"text/html": bar, "text/plain": said}


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return type(shell).__name__ == "ZMQInteractiveShell"


@contextmanager
def heard(report: Callable[..., None] | None) -> Iterator[ProgressReport]:
    """Give `report`, a function of two or three arguments, as one of three.

    Without one nothing is said, but in a notebook, where a bar appears until the context ends.
    """
    if report is None and in_notebook():
        with closing(NotebookBar("assimilate")) as bar:
            yield bar
    else:
        yield silent if report is None else _of_three(report)


def _of_three(report: Callable[..., None]) -> ProgressReport:
    try:
        inspect.signature(report).bind(0, 1, "")
    except TypeError:
        return lambda done, total, note="": report(done, total)
    return report


def wants_notes(report: ProgressReport) -> bool:
    """Return whether a note is shown that is computed for the report alone."""
    return report is not silent and bool(getattr(report, "wants_notes", True))


class OfBlocks:
    """Combines the progress of blocks of windows, in any order, into thousandths of the file.

    It may be pickled: what comes out is the same object in this process, and silent in others.
    """

    def __init__(self, report: ProgressReport, windows: int) -> None:
        self.report = report
        self.windows = windows
        self._done: dict[int, float] = {}  # completed windows by the first window of their block
        self._lock = threading.Lock()
        self._name = uuid.uuid4().hex
        _in_this_process[self._name] = self

    def __reduce__(self) -> tuple[Callable[[str], OfBlocks | ProgressReport], tuple[str]]:
        return _heard_here, (self._name,)

    def block(self, first: int, size: int) -> ProgressReport:
        """Return the report of the block of `size` windows from the `first`."""
        return _OfBlock(self, first, size)

    def combined(self, first: int, windows: float, note: str) -> None:
        """Report that so many windows of the block from the `first` are completed."""
        with self._lock:
            self._done[first] = windows
            self.report(round(1000 * sum(self._done.values()) / self.windows), 1000, note)


class _OfBlock(NamedTuple):
    whole: OfBlocks
    first: int
    size: int

    @property
    def wants_notes(self) -> bool:
        return wants_notes(self.whole.report)

    def __call__(self, done: int, total: int, note: str = "") -> None:
        self.whole.combined(self.first, self.size * done / max(total, 1), note)


_in_this_process: weakref.WeakValueDictionary[str, OfBlocks] = weakref.WeakValueDictionary()


def _heard_here(name: str) -> OfBlocks | ProgressReport:
    return _in_this_process.get(name, silent)


@contextmanager
def shown(what: str, quiet: bool = False) -> Iterator[ProgressReport]:
    """Show a progress bar on a terminal, a line per minute elsewhere, nothing if quiet."""
    if quiet:
        yield silent
        return
    if sys.stderr.isatty():  # FORCE_COLOR asks for colours alone
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        console = Console(stderr=True)
        if console.is_terminal:
            note = "{task.fields[note]}"
            columns = "{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
            # Output printed meanwhile appears above the bar if it goes to the same terminal.
            with Progress(
                *columns, note, console=console, redirect_stdout=sys.stdout.isatty()
            ) as bar:
                task = bar.add_task(what, total=None, note="")
                yield _beginning(
                    lambda done, total, note="": bar.update(
                        task, completed=done, total=total, note=note
                    )
                )
            return
    yield _beginning(_lines(what))


def _beginning(report: ProgressReport) -> ProgressReport:
    """Return a report that marks the run as begun when called."""

    def called(done: int, total: int, note: str = "") -> None:
        begun()
        report(done, total, note)

    return called


def _lines(what: str) -> ProgressReport:
    """Return a report that prints at most one line per minute."""
    last = time.monotonic()
    start: tuple[float, int] | None = (
        None  # time and progress of the first call: resumed work does not start at 0
    )

    def printed(done: int, total: int, note: str = "") -> None:
        nonlocal last, start
        now = time.monotonic()
        if start is None:
            start = (now, done)
        started, first = start
        if now - last < LINE_EVERY or done <= first:
            return
        last = now
        left = (now - started) * (total - done) / (done - first)
        parts = [f"{what} {done}/{total}", f"{left / 60:.0f} min left", *filter(None, [note])]
        print("pyvda: " + ", ".join(parts), file=sys.stderr, flush=True)

    return printed
