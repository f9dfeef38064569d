"""The attribute `history` of CF: a line for each program that made or changed a file."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr

_command: ContextVar[tuple[str, ...]] = ContextVar("command", default=())


@contextlib.contextmanager
def command_line(arguments: Sequence[str]) -> Iterator[None]:
    """Record `pyvda ARGUMENTS` as the command that computes what the block computes."""
    before = _command.set(tuple(arguments))
    try:
        yield
    finally:
        _command.reset(before)


def command() -> tuple[str, ...]:
    """Return the arguments of the running command line, none in Python."""
    return _command.get()


def append_history(ds: xr.Dataset, line: str) -> xr.Dataset:
    """Return `ds` with a time-stamped line added to its CF `history`, newest last.

    On the command line, the command comes before what is said in `line`.
    """
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    earlier = str(ds.attrs.get("history", "")).rstrip()
    asked = f"{shlex.join(('pyvda', *command()))} ({line})" if command() else line
    entry = f"{stamp}: {' '.join(asked.split())}"
    return ds.assign_attrs(history=f"{earlier}\n{entry}" if earlier else entry)
