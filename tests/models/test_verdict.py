"""The verdict on derivatives names the entry that differs most."""

import numpy as np
import pytest

from pyvda.errors import InputError
from pyvda.models.verdict import Verdict, largest_difference, refuse_wrong

NAMES = ("u", "v", "w", "p")


def entry(error: float, tolerance: float = 1e-9, names: tuple[str, ...] = NAMES):
    expected = np.zeros((2, 3, 2))
    expected[0, 0, 0] = 10.0
    found = expected.copy()
    found[1, 2, 1] += error
    # Rows 1, 2, 3 and columns 0, 3 of a Jacobian of four components.
    return largest_difference("adjoint", found, expected, [1, 2, 3], [0, 3], names, tolerance)


def test_the_worst_entry_is_found_with_its_place_in_the_whole_jacobian() -> None:
    found = entry(0.5)
    assert (found.row, found.column, found.names) == (4, 4, ("p", "p"))
    assert (found.expected, found.found, found.error) == (0.0, 0.5, 0.5)
    assert found.tolerance == pytest.approx(1e-8)  # of the largest entry, 10
    assert not found.passed
    assert entry(0.9e-8).passed
    assert not entry(1.1e-8).passed
    assert not entry(np.nan).passed
    assert entry(1.0, names=()).names == ()


def test_sentences() -> None:
    right, wrong = entry(1e-10), entry(0.5)
    assert str(Verdict("wave", "dual numbers", ())) == (
        "wave: derivatives by dual numbers, none written by hand"
    )
    said = str(Verdict("wave", "dual numbers", (right,)))
    assert said == "wave: adjoint agree with dual numbers (to 1.0e-10)"
    both = Verdict("wave", "dual numbers", (right, wrong))
    assert not both.passed
    assert str(both) == (
        "the adjoint of wave is wrong: the entry of the Jacobian in row 4 (p), column 4 (p) is 0 "
        "by dual numbers and 0.5 by adjoint; correct it, or leave it out"
    )
    refuse_wrong(Verdict("wave", "dual numbers", (right,)))
    with pytest.raises(InputError, match="adjoint of wave is wrong"):
        refuse_wrong(both)
