"""Signals: restore handlers that other libraries replace, and defer Ctrl-C to safe points.

Handlers are kept at the level of the C library: Python's `signal` works in the main thread only,
and cannot see handlers installed from C, such as Julia's.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

_UNTOUCHABLE = (signal.SIGKILL, signal.SIGSTOP) if os.name == "posix" else ()
_SIZE = 256  # larger than any struct sigaction


@contextmanager
def handlers_kept(numbers: Iterable[int] | None = None) -> Iterator[None]:
    """Restore the handlers of these signals (default: all) on exit."""
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


@contextmanager
def interrupt_deferred() -> Iterator[Callable[[], None]]:
    """Defer Ctrl-C until the yielded function is called, which then raises KeyboardInterrupt.

    For work in pieces whose state is consistent only between two pieces. A second Ctrl-C is
    raised at once. If the handler of Ctrl-C is not Python's own, nothing is changed.
    """
    asked = False

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    def raise_if_asked() -> None:
        if asked:
            raise KeyboardInterrupt

    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield raise_if_asked
        return
    signal.signal(signal.SIGINT, remember)
    try:
        yield raise_if_asked
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    raise_if_asked()
