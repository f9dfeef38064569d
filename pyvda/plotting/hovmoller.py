"""Hovmöller diagrams: a field over time and one dimension of space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pyvda.errors import InputError
from pyvda.plotting import window_axes
from pyvda.plotting.fields import Array, PlottedField, fields_of, index
from pyvda.plotting.maps import colour_bar, scales
from pyvda.plotting.style import LAND, axes_of, figure_of, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = ("truth", "analysis", "error")


def plot_hovmoller(
    analysis: xr.Dataset,
    truth: xr.Dataset | None = None,
    *,
    quantity: str = "analysis",
    variables: Sequence[str] | None = None,
    at: int | None = None,
    window: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draw a field over time and its last dimension.

    Parameters
    ----------
    analysis, truth, variables, window
        As for `plot_maps`; one variable. Default: the first.
    quantity : {"analysis", "truth", "error", "spread"}
    at : int, optional
        Row of a field (y, x) that is drawn. Default: the middle one.
    ax : Axes, optional
        Default: those of a new figure, the attribute `figure` of the result.

    Raises
    ------
    InputError
        As for `plot_maps`; or the quantity or the row does not exist.
    """
    field = fields_of(analysis, truth, variables=variables, window=window)[0]
    known = quantities(field)
    if quantity not in known:
        raise InputError(
            f"the {quantity} of {field.name} is not known, but {', '.join(known)}; choose one of "
            "these, or give the truth (--truth)"
        )
    with axes_of(ax, (3.0, 2.8)) as axis:
        section = _section(field, at)
        image = _draw(axis, section, quantity)
        _label(axis, field, at)
        label = "" if quantity in ("analysis", "truth") else quantity
        axis.figure.colorbar(image, ax=axis).set_label(field.labelled(label))
    return axis


def figure_of_hovmoller(
    analysis: xr.Dataset,
    truth: xr.Dataset | None = None,
    *,
    variables: Sequence[str] | None = None,
    at: int | None = None,
    window: int = 0,
    ax: Any = None,
) -> Array:
    """Draw truth, analysis and error over time and space, side by side; return their axes.

    Parameters and errors are those of `plot_hovmoller`; `ax` has as many axes as there are panels.
    """
    field = fields_of(analysis, truth, variables=variables, window=window)[0]
    section = _section(field, at)
    shown = [name for name in PANELS if name in quantities(field)]
    with figure_of(ax, 2.0 * len(shown) + 0.6, 3.3) as figure:
        axes = panels(figure, 1, len(shown), ax, sharey=True)[0]
        images: dict[str, Any] = {}
        for axis, name in zip(axes, shown, strict=True):
            images[name] = _draw(axis, section, name)
            axis.set_title(field.called if name == "analysis" else name)
            _label(axis, field, at)
            if ax is None:
                axis.label_outer()
        states = [axis for axis, name in zip(axes, shown, strict=True) if name != "error"]
        colour_bar(figure, images["analysis"], states).set_label(field.labelled())
        if "error" in images:
            colour_bar(figure, images["error"], axes[-1:]).set_label(field.labelled("error"))
    return axes


def quantities(field: PlottedField) -> dict[str, Array]:
    """Return what is known of a field, (T, *grid) each."""
    found = {
        "truth": field.truth, "analysis": field.analysis, "error": field.error,
        "spread": field.stdev,
    }  # fmt: skip
    return {name: values for name, values in found.items() if values is not None}


def _section(field: PlottedField, at: int | None) -> PlottedField:
    """Return a field of one dimension of space, a row of a map."""
    row = _row(field, at)
    if row is None:
        return field

    def part(values: Array | None) -> Array | None:
        return None if values is None else values[:, row]

    return replace(
        field, axes=field.axes[1:], analysis=field.analysis[:, row], truth=part(field.truth),
        stdev=part(field.stdev), observation=part(field.observation), land=field.land[row],
    )  # fmt: skip


def _row(field: PlottedField, at: int | None) -> int | None:
    if len(field.axes) == 1:
        if at is not None:
            raise InputError(
                f"{field.name} has one dimension, of which all is drawn; leave out the row (at, "
                "--row)"
            )
        return None
    count = field.analysis.shape[1]
    at = None if at is None else index("the row (at, --row)", at)
    if at is not None and not -count <= at < count:
        raise InputError(f"there is no row {at} among the {count} of {field.name}")
    return count // 2 if at is None else at


def _draw(axis: Axes, section: PlottedField, name: str) -> Any:
    values = quantities(section)[name]
    scale = scales(section, slice(None))[name]
    time: Any = section.time
    if len(section.axes[0].values) == 1:
        raise InputError(
            f"{section.name} has one point, and a Hovmöller diagram needs several; choose the kind "
            "windows or series (--kind series)"
        )
    if len(time) == 1:
        raise InputError("the window has one time, and a Hovmöller diagram needs several")
    axis.set_facecolor(LAND)
    image = axis.pcolormesh(
        section.axes[0].values, time, np.ma.masked_invalid(values), rasterized=True, **scale
    )
    axis.spines[:].set_visible(True)
    return image


def _label(axis: Axes, field: PlottedField, at: int | None) -> None:
    axis.set_xlabel(field.axes[-1].label)
    if field.time.dtype.kind == "M":
        window_axes.date_axis(axis, vertical=True)
    axis.set_ylabel(field.time_label)
    row = _row(field, at)
    if row is not None:
        where = field.axes[0]
        axis.set_ylabel(f"{field.time_label} at {where.label} = {where.values[row]:g}")
