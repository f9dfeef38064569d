"""Errors of a derivative measured by differences, and of an adjoint by its tangent linear.

All arrays are float64 numpy. `f` maps states to values; a direction δ has the size of the states'
variability, so that steps and tolerances are dimensionless.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pyvda.engine.interface import Array

Function = Callable[[Array], Array]

EPS = float(np.finfo(np.float64).eps)

# Extrapolated central differences with steps h and 2h have the error O(h⁴) + O(ε/h), which is
# smallest at h = ε^(1/5), where both terms are about ε^(4/5) = 3e-13.
DIFFERENCE_STEP = EPS ** (1 / 5)
DIFFERENCE_ERROR = EPS ** (4 / 5)

# Operations whose rounding errors add up in f: the error of a difference is 30 ε |f| / h.
_ROUNDINGS = 30
# Where a direction has its whole length in few components, the O(h⁴) is larger. A quarter of the
# step has a 256th of it, and four times the rounding.
SHORTER_STEPS = DIFFERENCE_STEP / 4.0 ** np.arange(1, 6)

# Where f has kinks (rectifiers), a difference across one has an error of the jump in slope.
# Smaller steps cross fewer kinks, until rounding dominates at about 3e-9; one rectifier of many
# changes the slope by about 1e-4 of its size.
KINK_STEPS = DIFFERENCE_STEP / 2.0 ** np.arange(0, 19, 6)
KINK_ERROR = 3e-3

# Steps of the Taylor test: six halvings. The largest is small enough for the third-order part of
# the remainder to be negligible, the smallest large enough to stay far above rounding.
TAYLOR_STEPS = 2.0 ** -np.arange(10.0, 17.0)


def difference(f: Function, x: Array, direction: Array, step: float = DIFFERENCE_STEP) -> Array:
    """Return the derivative of `f` at `x` along `direction`, by extrapolated central differences.

    Parameters
    ----------
    f : function
        Function of arrays like `x`; its value may have any shape.
    x, direction : same shape
        State, and direction of about the states' own size.
    step : float
        h, in units of the direction.
    """
    h = step
    near = (f(x + h * direction) - f(x - h * direction)) / (2 * h)
    far = (f(x + 2 * h * direction) - f(x - 2 * h * direction)) / (4 * h)
    return (4 * near - far) / 3


def settled_difference(
    f: Function, x: Array, direction: Array, scale: Array | None = None
) -> tuple[Array, Array]:
    """Return the derivative along `direction` by the most accurate of several steps, and its error.

    The error of a step is what rounding explains and what a step of a quarter changes, which is the
    truncation. It depends on f alone, so that it hides no error of a derivative that is compared.

    Parameters
    ----------
    f : function
        Function of arrays like `x`, with values (n, ...).
    x, direction : (n, ...)
    scale : (n,), optional
        Size of a derivative. Default: the norm of what is found.

    Returns
    -------
    derivative : (n, ...)
    error : (n,)
        In units of `scale`; 0 where f is not finite or the direction zero.
    """
    tiny, length, h = np.finfo(float).tiny, _norm(direction), DIFFERENCE_STEP
    last = found = difference(f, x, direction)
    unit = np.maximum(_norm(found) if scale is None else scale, tiny)
    # Of values, and of x, whose rounding changes the direction.
    of_x = np.divide(_norm(x), length, out=np.zeros_like(length), where=length > 0)
    rounded = 1 + _norm(f(x)) / unit + of_x
    error = np.full(len(x), np.inf)
    for shorter in SHORTER_STEPS:
        next_one = difference(f, x, direction, shorter)
        rounding, truncation = _ROUNDINGS * EPS / h * rounded, _norm(next_one - last) / unit
        better = rounding + truncation < error
        error = np.where(better, rounding + truncation, error)
        found = np.where(better.reshape(-1, *[1] * (found.ndim - 1)), last, found)
        if not (truncation > rounding).any():
            break
        last, h = next_one, shorter
    return found, np.where(np.isfinite(error) & (length > 0), error, 0.0)


def taylor_orders(f: Function, x: Array, gradient: Array, direction: Array) -> tuple[Array, Array]:
    """Return the order of |f(x + εδ) - f(x) - ε ⟨∇f, δ⟩| in ε, for each window.

    The order is 2 for a correct gradient and tends to 1 for a wrong one, however small its error.

    Parameters
    ----------
    f : function
        Function of states (W, T, D), with values (W,).
    x, gradient, direction : (W, T, D)

    Returns
    -------
    orders : (W,)
        Slope of the line through the logarithms at `TAYLOR_STEPS`.
    noise : (W,)
        Rounding of f divided by the smallest remainder: the resulting error of the orders.
    """
    start = f(x)
    slope = (gradient * direction).sum((1, 2))
    remainders = np.array(
        [np.abs(f(x + step * direction) - start - step * slope) for step in TAYLOR_STEPS]
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        fitted = np.linalg.lstsq(
            np.stack([np.log2(TAYLOR_STEPS), np.ones_like(TAYLOR_STEPS)], 1),
            np.nan_to_num(np.log2(remainders), posinf=np.inf, neginf=-1074.0),
        )[0]
        noise = EPS * np.abs(start) / remainders.min(0)
    return fitted[0], noise


def adjoint_mismatch(tangent: Array, v: Array, direction: Array, adjoint: Array) -> Array:
    """Return |⟨Mδ, v⟩ - ⟨δ, Mᵀv⟩| in units of ‖Mδ‖ ‖v‖, for each state.

    It is relative to the norms and not to the product, which may be close to zero.

    Parameters
    ----------
    tangent, v, direction, adjoint : (n, D)
        Mδ, v, δ and Mᵀv.
    """
    mismatch = np.abs((tangent * v).sum(1) - (direction * adjoint).sum(1))
    scale = np.linalg.norm(tangent, axis=1) * np.linalg.norm(v, axis=1)
    return np.asarray(mismatch / np.maximum(scale, np.finfo(float).tiny))


def relative(found: Array, expected: Array) -> Array:
    """Return ‖found - expected‖ / ‖expected‖ over all axes but the first, (W,)."""
    return np.asarray(_norm(found - expected) / np.maximum(_norm(expected), np.finfo(float).tiny))


def as_large_as(direction: Array, size: float) -> Array:
    """Return `direction` with the root mean square `size` in each window (its first axis).

    A window whose direction is zero stays so.
    """
    axes = tuple(range(1, direction.ndim))
    rms = np.sqrt((direction**2).mean(axes, keepdims=True))
    return np.asarray(direction * np.divide(size, rms, out=np.zeros_like(rms), where=rms > 0))


def _norm(values: Array) -> Array:
    """Return the norm over all axes but the first, (n,)."""
    axes = tuple(range(1, np.ndim(values)))
    return np.asarray(np.sqrt((np.asarray(values) ** 2).sum(axes)) if axes else np.abs(values))
