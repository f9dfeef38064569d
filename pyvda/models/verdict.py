"""The verdict on the derivatives of a model: what was compared, and the worst entry.

Both languages give one: Julia compares with dual numbers, torch with automatic differentiation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyvda.errors import InputError


@dataclass(frozen=True)
class Entry:
    """The entry of a Jacobian that differs most from the reference.

    Attributes
    ----------
    what : str
        "tangent_linear" or "adjoint".
    row, column : int
        From 1: the component of the result and that of the state.
    expected, found : float
    error, tolerance : float
        Absolute difference, and what rounding explains.
    names : tuple of str
        Names of the two components; empty where they have none.
    """

    what: str
    row: int
    column: int
    expected: float
    found: float
    error: float
    tolerance: float
    names: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the difference is rounding; NaN is not."""
        return bool(self.error <= self.tolerance)


@dataclass(frozen=True)
class Verdict:
    """The result of a comparison of derivatives.

    Attributes
    ----------
    model : str
    reference : str
        What the derivatives were compared with.
    worst : tuple of Entry
        One for each derivative that was written by hand; none where there is no such derivative.
    """

    model: str
    reference: str
    worst: tuple[Entry, ...]

    @property
    def passed(self) -> bool:
        """Whether all derivatives are right."""
        return all(entry.passed for entry in self.worst)

    def __str__(self) -> str:
        if not self.worst:
            return f"{self.model}: derivatives by {self.reference}, none written by hand"
        if self.passed:
            what = " and ".join(entry.what for entry in self.worst)
            error = max(entry.error for entry in self.worst)
            return f"{self.model}: {what} agree with {self.reference} (to {error:.1e})"
        entry = next(entry for entry in self.worst if not entry.passed)
        row, column = (f" ({name})" for name in entry.names) if entry.names else ("", "")
        at = f"row {entry.row}{row}, column {entry.column}{column}"
        return (
            f"the {entry.what} of {self.model} is wrong: the entry of the Jacobian in {at} is "
            f"{entry.expected:.6g} by {self.reference} and {entry.found:.6g} by {entry.what}; "
            f"correct it, or leave it out"
        )


def largest_difference(
    what: str,
    found: Any,
    expected: Any,
    rows: Any,
    columns: Any,
    names: Sequence[str],
    tolerance: float,
) -> Entry:
    """Return the entry of Jacobians that differs most.

    Parameters
    ----------
    found, expected : (N, R, K)
        At N states, R rows and K columns of each.
    rows, columns : (R,), (K,)
        Which these are, from 0.
    names : sequence of str
        Names of the D components.
    tolerance : float
        Relative to the largest entry.
    """
    error = np.abs(np.asarray(found) - np.asarray(expected))
    error = np.where(np.isnan(error), np.inf, error)
    at = tuple(int(i) for i in np.unravel_index(error.argmax(), error.shape))
    row, column = int(rows[at[1]]), int(columns[at[2]])
    return Entry(
        what,
        row + 1,
        column + 1,
        float(np.asarray(expected)[at]),
        float(np.asarray(found)[at]),
        float(error.max()),
        tolerance * max(float(np.abs(expected).max()), 1e-300),
        (names[row], names[column]) if names else (),
    )


def refuse_wrong(verdict: Verdict) -> None:
    """Raise InputError with the verdict's sentence when a derivative is wrong."""
    if not verdict.passed:
        raise InputError(str(verdict))
