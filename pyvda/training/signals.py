"""Signal handlers that were not installed by Python are kept across a training.

When it ends, Lightning sets every signal back to the handler that Python knows of, which is the
default one for those that Julia has installed in C. Julia's threads stop for its garbage collector
by a SIGSEGV that Julia handles: without that handler, the next collection ends the process.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

_UNTOUCHABLE = {"SIGKILL", "SIGSTOP"}
_SIZE = 256  # larger than any struct sigaction


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Put back, at the end, the handlers in C of all signals, whoever installed them."""
    if os.name != "posix":
        yield
        return
    libc = ctypes.CDLL(None)
    saved: list[tuple[int, ctypes.Array[ctypes.c_char]]] = []
    for number in signal.valid_signals():
        action = ctypes.create_string_buffer(_SIZE)
        known = getattr(number, "name", "") not in _UNTOUCHABLE
        if known and libc.sigaction(int(number), None, action) == 0:
            saved.append((int(number), action))
    try:
        yield
    finally:
        for kept, action in saved:
            libc.sigaction(kept, action, None)
