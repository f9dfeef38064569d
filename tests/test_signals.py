"""Ctrl-C in the midst of work waits for a safe point; handlers of others come back."""

import ctypes
import signal
import threading

import pytest

from pyvda.signals import handlers_kept, interrupt_deferred


@pytest.fixture(autouse=True)
def _usual_handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupted(*pieces: int, hear_after: bool = False) -> list[str]:
    """Return which pieces were done, with a Ctrl-C in those that have one."""
    done: list[str] = []

    def work() -> None:
        with interrupt_deferred() as hear:
            for number, ctrl_c in enumerate(pieces):
                if ctrl_c:
                    signal.raise_signal(signal.SIGINT)
                done.append(f"piece {number}")
                if hear_after:
                    hear()

    with pytest.raises(KeyboardInterrupt):
        work()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return done


def test_ctrl_c_waits_for_the_safe_point() -> None:
    assert interrupted(0, 1, 0, hear_after=True) == ["piece 0", "piece 1"]


def test_at_the_end_it_is_heard_too() -> None:
    assert interrupted(0, 1, 0) == ["piece 0", "piece 1", "piece 2"]


def test_a_second_one_is_raised_at_once() -> None:
    assert interrupted(1, 0, 1) == ["piece 0", "piece 1"]


def test_another_program_s_handler_is_left_alone() -> None:
    heard = []

    def own(number, frame) -> None:
        heard.append(number)

    signal.signal(signal.SIGINT, own)
    with interrupt_deferred() as hear:
        signal.raise_signal(signal.SIGINT)
        hear()
    assert heard == [signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) is own


def test_in_another_thread_nothing_is_changed() -> None:
    seen = []

    def work() -> None:
        with interrupt_deferred() as hear:
            hear()
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


def test_handlers_come_back_below_python_too() -> None:
    """Python's own table does not see a handler that C installs; the C library's does."""
    libc = ctypes.CDLL(None)
    libc.signal.restype = ctypes.c_void_p
    libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
    ignore = 1  # SIG_IGN
    with handlers_kept([signal.SIGUSR1]):
        libc.signal(signal.SIGUSR1, ignore)
    assert libc.signal(signal.SIGUSR1, None) != ignore
    with handlers_kept():  # all of them
        libc.signal(signal.SIGUSR2, ignore)
    assert libc.signal(signal.SIGUSR2, None) != ignore
