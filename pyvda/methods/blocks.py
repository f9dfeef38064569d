"""Blocks of windows that a method processes together, by the size of their Hessians."""

from __future__ import annotations

import os
from collections.abc import Iterator

from pyvda.engine.interface import Array
from pyvda.errors import InputError

# Numbers in the Hessians of a block: about a second of work between two progress reports.
_AT_ONCE = 5_120_000
# An engine holds the derivatives of the states, the Hessian's blocks and their factors.
_COPIES = 4


def blocks(chosen: Array, steps: int, size: int, *, at_most: int = 512) -> Iterator[Array]:
    """Cut the chosen windows into blocks whose Hessians, `steps` blocks of size², fit in memory.

    Parameters
    ----------
    chosen : (n,) of int
    steps, size : int
        T and D of a window.
    at_most : int
        Maximum number of windows in a block.

    Raises
    ------
    InputError
        The Hessian of one window does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> [len(block) for block in blocks(np.arange(40), 200, 40)]
    [16, 16, 8]
    """
    numbers = steps * size**2
    expect_memory(numbers * _COPIES, f"the Hessian of a window of {steps} steps of {size} numbers")
    length = max(1, min(at_most, _AT_ONCE // numbers))
    for first in range(0, len(chosen), length):
        yield chosen[first : first + length]


def expect_memory(
    numbers: int,
    what: str,
    remedy: str = "choose incremental, fsgd or ensemble-smoother, which need none, or shorter "
    "windows (window)",
) -> None:
    """Check that as many float64 `numbers` fit in this machine's memory.

    Parameters
    ----------
    numbers : int
    what : str
        Subject of the message, such as "the Hessian of a window".
    remedy : str

    Raises
    ------
    InputError
        They do not fit.
    """
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not available on every system
        return
    if 8 * numbers > memory:
        raise InputError(
            f"{what} takes {8 * numbers / 2**30:.0f} GiB, and this machine has "
            f"{memory / 2**30:.0f} GiB; {remedy}"
        )
