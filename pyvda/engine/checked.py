"""Checks of what an engine is given, the same for both: shapes, precision, finite values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pyvda.engine.data import Array, LocalCentres
from pyvda.errors import InputError
from pyvda.models.model import Model
from pyvda.operators.points import Points
from pyvda.operators.sparse_rows import SparseRows


def plain(array: Any, dtype: Any) -> Array:
    """Return an array with `dtype`, in C order and aligned in memory.

    Arrays that come from another process may be views that start anywhere in a message.
    """
    return np.atleast_1d(np.require(array, dtype, ("C_CONTIGUOUS", "ALIGNED")))


def checked(name: str, array: Array, shape: tuple[int, ...], dtype: np.dtype) -> Array:
    """Return `array` C-contiguous with `dtype`; refuse another shape, NaN and infinities."""
    array = plain(array, dtype)
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has NaN or infinite values; mask gaps instead")
    return array


def checked_analysis(
    ensembles: Sequence[Array],
    sensitivity: Array,
    innovation: Array,
    place: Array,
    centres: LocalCentres,
    rotation: Array | None,
) -> tuple[Array, Array, Array, LocalCentres, Array | None]:
    """Return the arguments of `Engine.local_analyses` but the ensembles, checked."""
    real = np.dtype(float)
    N, D = ensembles[0].shape
    for members in ensembles:
        if (members.shape, members.dtype, members.flags.c_contiguous) != ((N, D), real, True):
            raise ValueError(
                f"an ensemble is {members.dtype} of shape {members.shape}, expected {real} of "
                f"{(N, D)} in C order"
            )
    sensitivity = checked("sensitivity", sensitivity, (len(sensitivity), N), real)
    innovation = checked("innovation", innovation, (len(sensitivity),), real)
    shape = (len(sensitivity), len(centres.period))
    place = plain(place, real)
    if place.shape != shape:
        raise ValueError(f"place has shape {place.shape}, expected {shape}")
    if rotation is not None:
        rotation = checked("rotation", rotation, (N, N), real)
    made = LocalCentres(
        plain(centres.place, real),
        checked("period", centres.period, (shape[1],), real),
        plain(centres.first, np.int64),
        plain(centres.component, np.int64),
        checked("coefficient", centres.coefficient, np.shape(centres.component), real),
        plain(centres.colours, np.int64),
    )
    if made.place.shape != (len(made.first) - 1, shape[1]):
        raise ValueError(
            f"place of the centres has shape {made.place.shape}, expected "
            f"{(len(made.first) - 1, shape[1])}"
        )
    return sensitivity, innovation, place, made, rotation


def checked_problem(
    model: Model, x: Array, observation: Array, mask: Array
) -> tuple[Array, Array, Array]:
    """Return the three (W, T, D) arrays in the precision of `x`, checked."""
    dtype = working_dtype(x)
    if np.ndim(x) != 3 or x.shape[1] < 2:
        raise ValueError(f"x has shape {np.shape(x)}, expected (window, time >= 2, state)")
    shape = (x.shape[0], x.shape[1], model.state_size)
    return (
        checked("x", x, shape, dtype),
        checked("observation", observation, shape, dtype),
        checked("mask", mask, shape, dtype),
    )


def checked_points(points: Points, windows: int, size: int, steps: int, dtype: np.dtype) -> Points:
    """Return `points` C-contiguous in the precision `dtype`, checked."""
    shape = (windows, points.step.shape[1])
    step = plain(points.step, np.int64)
    fraction = checked("fraction", np.asarray(points.fraction), shape, dtype)
    if ((step < 0) | (step >= steps)).any() or ((fraction < 0) | (fraction > 1)).any():
        raise ValueError(f"points lie outside the {steps} steps of a window")
    rows = points.operator
    index = plain(rows.index, np.int64)
    if rows.size != size or ((index < 0) | (index >= size)).any():
        raise ValueError(f"operator has rows of {rows.size} components, expected {size}")
    coefficient = checked("operator", rows.coefficient, index.shape, dtype)
    return Points(
        step, fraction,
        checked("value", np.asarray(points.value), shape, dtype),
        checked("weight", np.asarray(points.weight), shape, dtype),
        SparseRows(index, coefficient, size),
    )  # fmt: skip


def moved(x: Array, out: Array) -> Array:
    """Return `out` with the values of `x`; refuse an array that an engine cannot work in."""
    if out.shape != x.shape or out.dtype != x.dtype or not out.flags.c_contiguous:
        raise ValueError(
            f"out is {out.dtype} of shape {out.shape}, expected {x.dtype} of {x.shape} in C order"
        )
    if out is not x:
        out[...] = x
    return out


def working_dtype(x: Array) -> np.dtype:
    """float32 stays float32; everything else is computed in float64."""
    return np.dtype(np.float32 if np.asarray(x).dtype == np.float32 else np.float64)


def estimated_parameters(model: Model, control_size: int) -> int:
    """Return how many parameters a control of this size has: none, or all of the model.

    Raises
    ------
    InputError
        Another size.
    """
    estimated = control_size - model.state_size
    if estimated not in (0, len(model.parameters)):
        raise InputError(
            f"the control has {control_size} components; {model.name} has {model.state_size} state "
            f"components and {len(model.parameters)} parameters: give the state alone, or both"
        )
    return estimated
