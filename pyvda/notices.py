"""Notices: one-line remarks on the user's data or run that are not errors.

In Python a notice is a warning of the class `Notice`, so that `warnings.filterwarnings` can silence
it or make it an error; the command line prints it to stderr as one line.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

_PACKAGE = str(Path(__file__).parent)


class Notice(UserWarning):
    """A remark on the user's data or run: what was masked, sorted, converted or not available."""


def notice(text: str, category: type[Notice] = Notice) -> None:
    """Warn with `text`, on behalf of the first caller outside of pyvda.

    Parameters
    ----------
    text : str
        One sentence without a full stop.
    category : type of Notice
    """
    depth, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(text, category, stacklevel=depth)


_waiting: list[Callable[[], None]] = []


def when_begun(called: Callable[[], None]) -> None:
    """Call a function once when the work of a run begins, after all input has been accepted."""
    _waiting[:] = [called]


def begun() -> None:
    """Say that the work of a run has begun; see `when_begun`."""
    while _waiting:
        _waiting.pop()()
