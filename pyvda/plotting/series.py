"""Error and spread of an analysis over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pyvda.errors import InputError
from pyvda.plotting import window_axes
from pyvda.plotting.fields import Array, PlottedField, fields_of
from pyvda.plotting.style import BLACK, BLUE, VERMILION, axes_of, figure_of, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_series(
    analysis: xr.Dataset,
    truth: xr.Dataset | None = None,
    *,
    variables: Sequence[str] | None = None,
    window: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draw the root mean square error and the root mean square spread of a field over time.

    Of a variable over time alone these are the magnitude of its error and its standard deviation.

    Without a truth, the innovations are drawn in place of the error.

    Parameters
    ----------
    analysis, truth, variables, window
        As for `plot_maps`; one variable. Default: the first.
    ax : Axes, optional
        Default: those of a new figure, the attribute `figure` of the result.

    Raises
    ------
    InputError
        As for `plot_maps`; or nothing is known that could be drawn.
    """
    field = fields_of(analysis, truth, variables=variables, window=window, least=0)[0]
    with axes_of(ax, (4.5, 2.4)) as axis:
        draw(axis, field)
    return axis


def figure_of_series(
    analysis: xr.Dataset,
    truth: xr.Dataset | None = None,
    *,
    variables: Sequence[str] | None = None,
    window: int = 0,
    ax: Any = None,
) -> Array:
    """Draw the series of several fields below each other; return their axes. See `plot_series`."""
    fields = fields_of(analysis, truth, variables=variables, window=window, least=0)
    with figure_of(ax, 4.5, 0.6 + 1.8 * len(fields)) as figure:
        axes = panels(figure, len(fields), 1, ax, sharex=True).ravel()
        for axis, field in zip(axes, fields, strict=True):
            draw(axis, field)
    return axes


def rms(values: Array) -> Array:
    """Return the root mean square of each time over the points that are known, NaN for none."""
    flat = values.reshape(len(values), -1)
    known = np.isfinite(flat)
    count = known.sum(1)
    total = (np.where(known, flat, 0.0) ** 2).sum(1)
    return np.where(count > 0, np.sqrt(total / np.maximum(count, 1)), np.nan)


def draw(axis: Axes, field: PlottedField) -> None:
    """Draw error, spread and, without a truth, innovations over time."""
    curves: list[tuple[str, Array, dict[str, Any]]] = []
    if field.error is not None:
        curves.append(("error", rms(field.error), {"color": BLACK}))
    if field.stdev is not None and np.isfinite(field.stdev).any():
        curves.append(
            ("spread", rms(field.stdev), {"color": VERMILION, "linestyle": (0, (4, 1.2))})
        )
    if field.error is None and field.observation is not None:
        innovation = rms(field.observation - field.analysis)
        dots = {"color": BLUE, "linestyle": "", "marker": ".", "markersize": 4}
        curves.append(("innovation", innovation, dots))
    curves = [curve for curve in curves if np.isfinite(curve[1]).any()]
    if not curves:
        raise InputError(
            f"neither the error nor the spread of {field.name} is known; give the truth (--truth)"
        )
    if len(field.time) == 1:  # one time makes no line
        curves = [(label, values, {**style, "marker": "."}) for label, values, style in curves]
    for label, values, style in curves:
        axis.plot(field.time, values, label=label, **style)
    axis.set_ylim(bottom=0.0)
    axis.margins(x=0.01)
    axis.set_ylabel(f"RMS of {field.labelled()}")
    if field.time.dtype.kind == "M":
        window_axes.date_axis(axis)
    axis.set_xlabel(field.time_label)
    axis.grid(color="0.9", linewidth=0.6)
    axis.legend(ncols=len(curves), loc="best")
