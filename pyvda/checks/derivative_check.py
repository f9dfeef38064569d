"""Checks of one derivative each, with tolerances justified by rounding.

They take functions of float64 arrays and return a `Check`, which passes when its value is at most
its tolerance. Tolerances scale with the machine epsilon, with the number of operations, and with
the ratio of the states to the differences between them (`amplification`). A wrong sign or a dropped
term exceeds them by many orders of magnitude.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyvda.checks import derivatives
from pyvda.checks.derivatives import EPS, Function
from pyvda.engine import Engine
from pyvda.engine.interface import Array

_TINY = float(np.finfo(float).tiny)
_STATES = 256  # states at which steps are linearised

# A derivative takes about 60 operations for each component of a step (four stages with their
# combinations), a cost as many and a sum; their rounding errors partly cancel.
_OPERATIONS = 100

# Orders of the Taylor remainder: the third-order term at a step of 2⁻¹⁰ changes them by 1e-3.
_ORDER = 0.02
# Crossing kinks adds terms to the remainder that are of second order only on average.
_ORDER_WITH_KINKS = 0.4


@dataclass(frozen=True)
class Check:
    """Result of one check.

    Attributes
    ----------
    name : str
    value, tolerance : float or None
        None if it was not run.
    detail : str
        The components of the value, or the reason why the check was not run.
    """

    name: str
    value: float | None
    tolerance: float | None
    detail: str

    @property
    def passed(self) -> bool | None:
        """Whether the value is within its tolerance (NaN is not); None if it was not run."""
        if self.value is None or self.tolerance is None:
            return None
        return bool(self.value <= self.tolerance)

    def as_dict(self) -> dict[str, Any]:
        """Return the check for JSON, where values that are not finite become null."""
        finite = self.value is not None and np.isfinite(self.value)
        return {
            "name": self.name,
            "value": self.value if finite else None,
            "tolerance": self.tolerance,
            "passed": self.passed,
            "detail": self.detail,
        }


def not_run(names: list[str], engine: Engine) -> list[Check]:
    """Return checks marked as not run, for hand-derived code that this engine does not have."""
    why = f"the {engine.info.name} engine runs ({engine.info.reason})"
    return [Check(name, None, None, why) for name in names]


def step_checks(
    names: tuple[str, str],
    f: Function,
    tangent_linear: Callable[[Array, Array], Array],
    adjoint: Callable[[Array, Array], Array],
    x: Array,
    gradient: Array,
    seed: int,
    second: str = "gradient",
) -> list[Check]:
    """Check a map of states (n, D): its tangent linear by differences, its adjoint by products.

    The directions are random, and those of `gradient`, which has the shape (W, T, D) of `x`;
    `second` names the latter if they are not a gradient.
    """
    size = x.shape[2]
    chosen = np.unique(np.linspace(0, x[..., 0].size - 1, _STATES).astype(int))
    states, directions = (a.reshape(-1, size)[chosen] for a in (x, gradient))
    rng = np.random.default_rng([seed, 2])
    v = rng.standard_normal(states.shape)
    errors, mismatches, tolerance = {}, {}, 0.0
    for kind, direction in _directions(states, directions, rng, second):
        exact, error = derivatives.settled_difference(f, states, direction)
        by_hand = tangent_linear(states, direction)
        errors[kind] = derivatives.relative(by_hand, exact)
        tolerance = max(tolerance, float(error.max()))
        back = adjoint(states, v)
        mismatches[kind] = derivatives.adjoint_mismatch(by_hand, v, direction, back) / EPS
    largest = EPS * max(float(mismatch.max()) for mismatch in mismatches.values())
    return [
        _worst(names[0], errors, tolerance),
        # Each rounding is one ulp; those of the D products of a scalar product grow like √D.
        _worst(names[1], mismatches, 16 * float(np.sqrt(size)), f"; {largest:.1e} relative"),
    ]


def difference_check(
    name: str,
    value: Function,
    gradient: Function,
    x: Array,
    seed: int,
    smooth: bool = True,
    reach: float = 1.0,
) -> Check:
    """Check the slope of costs (W,) along a random direction and the gradient's, by differences.

    If the cost is not smooth, the most accurate step of each window counts. `reach` scales the
    usual length of the direction.
    """
    g = gradient(x)
    errors, tolerance = {}, 0.0
    for kind, usual in _directions(x, g, np.random.default_rng([seed, 3])):
        direction = reach * usual
        slope = (g * direction).sum((1, 2))
        # A random slope may be near zero; its scale is that of N random components.
        norms = np.sqrt((g**2).sum((1, 2)) * (direction**2).sum((1, 2)))
        scale = np.maximum(np.maximum(np.abs(slope), norms / np.sqrt(x[0].size)), _TINY)
        if smooth:
            found, error = derivatives.settled_difference(value, x, direction, scale)
            errors[kind] = np.abs(found - slope) / scale
            tolerance = max(tolerance, float(error.max()))
        else:
            steps = derivatives.KINK_STEPS
            several = [derivatives.difference(value, x, direction, step) for step in steps]
            errors[kind] = (np.abs(np.array(several) - slope) / scale).min(0)
            rounding = float((1 + np.abs(value(x)) / scale).max())
            tolerance = max(tolerance, 30 * derivatives.DIFFERENCE_ERROR * rounding)
    return _worst(name, errors, tolerance + (0.0 if smooth else derivatives.KINK_ERROR))


def taylor_check(
    name: str,
    value: Function,
    gradient: Function,
    x: Array,
    seed: int,
    smooth: bool = True,
    reach: float = 1.0,
) -> Check:
    """Check that the remainder of the first-order expansion of costs (W,) is of second order.

    `reach` scales the usual length of the direction: below 1 where third-order terms are large.
    """
    g = gradient(x)
    least = _ORDER if smooth else _ORDER_WITH_KINKS
    errors, tolerance, orders = {}, least, []
    for kind, direction in _directions(x, g, np.random.default_rng([seed, 4])):
        order, noise = derivatives.taylor_orders(value, x, g, reach * direction)
        errors[kind] = np.abs(order - 2)
        # A wrong gradient has order 1: rounding cannot explain more than half of the difference.
        tolerance = max(tolerance, min(0.5, least + 64 * float(noise.max())))
        orders += [order.min(), order.max()]
    seen = f"; orders {min(orders):.4f} to {max(orders):.4f} over six halvings"
    return _worst(name, errors, tolerance, seen)


def agreement(
    name: str,
    pairs: dict[str, tuple[Array, Array]],
    epsilon: float,
    magnified: float,
    smooth: bool = True,
) -> Check:
    """Check that two computations of the same quantity agree up to rounding.

    `epsilon` is the machine epsilon of the precision, `magnified` the factor on the rounding (see
    `amplification`). Without `smooth`, rounding may switch a rectifier: the fraction that switches
    is of the size of the rounding, and the gradient changes by the root of that fraction.
    """
    errors = {
        kind: derivatives.relative(found, expected) for kind, (found, expected) in pairs.items()
    }
    tolerance = _OPERATIONS * epsilon * magnified
    return _worst(name, errors, tolerance if smooth else float(np.sqrt(tolerance)))


def amplification(x: Array, residual: Array) -> float:
    """Return the largest ratio of the states to the residuals x - Φ(x).

    A residual is a difference of numbers as large as the states, so this ratio magnifies its
    relative rounding error, and that of the cost and gradient computed from it.

    Parameters
    ----------
    x : (W, T, D)
    residual : (W,)
        Root mean square.
    """
    size = np.sqrt((x**2).mean((1, 2)))
    return 1 + float((size / np.maximum(residual, _TINY)).max())


def spread(x: Array) -> float:
    """Return the standard deviation of all of `x`, 1 where it is constant."""
    return float(x.std()) or 1.0


def _worst(name: str, errors: dict[str, Array], tolerance: float, more: str = "") -> Check:
    """Return a check of the largest error over all windows and kinds, NaN if any is NaN."""
    worst = {kind: float(np.max(error)) for kind, error in errors.items()}
    detail = ", ".join(f"{kind} {error:.1e}" for kind, error in worst.items())
    return Check(name, float(np.max(list(worst.values()))), float(tolerance), detail + more)


def _directions(
    x: Array, gradient: Array, rng: np.random.Generator, second: str = "gradient"
) -> Iterator[tuple[str, Array]]:
    """Yield a random direction and the gradient's, scaled in each window to the spread of x."""
    size = spread(x)
    yield "random", derivatives.as_large_as(rng.standard_normal(x.shape), size)
    yield second, derivatives.as_large_as(gradient, size)
