"""Signal handlers kept as they are while something else installs or resets its own.

Done at the level of the C library: Python's `signal` works in the main thread only, and does not
know of handlers that were installed in C, such as Julia's.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

_UNTOUCHABLE = (signal.SIGKILL, signal.SIGSTOP) if os.name == "posix" else ()
_SIZE = 256  # larger than any struct sigaction


@contextmanager
def handlers_kept(numbers: Iterable[int] | None = None) -> Iterator[None]:
    """Put back, at the end, the handlers of these signals (default: of all), whoever set them."""
    if os.name != "posix":
        yield
        return
    libc = ctypes.CDLL(None)
    saved: list[tuple[int, ctypes.Array[ctypes.c_char]]] = []
    for number in signal.valid_signals() if numbers is None else numbers:
        action = ctypes.create_string_buffer(_SIZE)
        if number not in _UNTOUCHABLE and libc.sigaction(int(number), None, action) == 0:
            saved.append((int(number), action))
    try:
        yield
    finally:
        for kept, action in saved:
            libc.sigaction(kept, action, None)
