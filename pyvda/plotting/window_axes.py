"""Windows side by side: components as lines if they are few, else the state as a map."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.io import validation
from pyvda.io.pairs import paired

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

_MOST_LINES = 6  # components drawn as lines; larger states are drawn as maps
_STRETCH = 200  # steps of a long series shown in one panel
_TRUTH, _OBSERVATION, _ANALYSIS = "#000000", "#0072B2", "#D55E00"


@dataclass(frozen=True)
class Panel:
    """One window, or one stretch of a series: arrays (T, D), NaN where there is nothing."""

    title: str
    time: np.ndarray
    analysis: np.ndarray
    observation: np.ndarray
    truth: np.ndarray | None


def panels_of(
    analysis: xr.Dataset, truth: xr.Dataset | None, windows: Iterable[int]
) -> list[Panel]:
    """Return the panels of the chosen windows, or stretches of a series, that exist.

    Raises
    ------
    InputError
        When variables are missing, the truth has another shape, or no window is left.
    """
    for name in (names.ANALYSIS, names.INNOVATION):
        if name not in analysis:
            raise InputError(f"the file has no variable {name!r}; give an analysis made by pyvda")
    if truth is not None:
        if names.TRUTH not in truth:
            raise InputError("the file of the truth has no variable 'truth'")
        paired(truth[names.TRUTH], analysis[names.ANALYSIS])
    in_windows = names.WINDOW in analysis[names.ANALYSIS].dims
    steps = analysis.sizes[names.TIME]
    count = analysis.sizes[names.WINDOW] if in_windows else -(-steps // _STRETCH)
    panels = []
    for index in windows:
        if not 0 <= index < count:
            continue
        if in_windows:
            where: dict[str, Any] = {names.WINDOW: index}
        else:
            where = {names.TIME: slice(index * _STRETCH, (index + 1) * _STRETCH)}
        part = analysis.isel(where)
        state = _values(part[names.ANALYSIS])
        true = None if truth is None else _values(truth[names.TRUTH].isel(where))
        first = index * _STRETCH
        title = f"window {index}"
        if not in_windows:
            title = f"steps {first} to {first + len(state) - 1}"
        if (
            in_windows
            and names.STATUS in part
            and part[names.STATUS] >= names.Status.NO_OBSERVATIONS
        ):
            title += f", {names.Status(int(part[names.STATUS])).name.lower().replace('_', ' ')}"
        if true is not None:
            title += f", R = {np.mean((state - true) ** 2):.3g}"
        observed = state + _values(part[names.INNOVATION])
        panels.append(Panel(title, _times(analysis, part)[0], state, observed, true))
    if not panels:
        raise InputError(f"none of the windows {tuple(windows)} is among the {count} of the file")
    return panels


def _values(array: xr.DataArray) -> np.ndarray:
    return np.asarray(array.transpose(names.TIME, names.STATE).values, dtype=np.float64)


def _times(whole: xr.Dataset, part: xr.Dataset) -> tuple[np.ndarray, str]:
    """Return the times of a part for the horizontal axis, and that axis's label."""
    if names.TIME not in part.coords:
        return np.arange(part.sizes[names.TIME]), "step"
    time = part[names.TIME].values
    if time.dtype.kind == "M":
        return time, ""
    if time.dtype.kind in "fiu":
        units = str(part[names.TIME].attrs.get("units", "1"))
        return time, f"time ({'model units' if units == '1' else units})"
    start = whole[names.TIME].values[0]
    days = validation.elapsed(np.concatenate([[start], time]))[1:] / 86400.0
    return days, "days" if time.dtype.kind == "m" else f"days since {start}"


def size_of(panels: list[Panel]) -> tuple[float, float]:
    """Return width and height of the drawing, in inches."""
    size = panels[0].analysis.shape[1]
    if size <= _MOST_LINES:
        return 1.2 + 1.7 * len(panels), 0.9 + 1.15 * size
    rows = 2 if panels[0].truth is None else 4
    return 1.6 + 1.7 * len(panels), 0.6 + 1.15 * rows


def draw(figure: FigureBase, panels: list[Panel], analysis: xr.Dataset) -> None:
    """Draw the panels as columns; `analysis` gives names and units."""
    units = str(analysis[names.ANALYSIS].attrs.get("units", "1"))
    units = "" if units == "1" else f" ({units})"
    label = _times(analysis, analysis)[1]
    draw_rows = _draw_lines if panels[0].analysis.shape[1] <= _MOST_LINES else _draw_maps
    axes = draw_rows(figure, panels, _component_names(analysis), units)
    for panel, axis in zip(panels, axes[0], strict=True):
        axis.set_title(panel.title)
    for axis in axes[-1]:
        if panels[0].time.dtype.kind == "M":
            _date_axis(axis)
        axis.set_xlabel(label)


def _component_names(analysis: xr.Dataset) -> list[str]:
    if names.STATE in analysis.coords and analysis[names.STATE].dtype.kind in "OUST":
        return [str(name) for name in analysis[names.STATE].values]
    return [f"$x_{{{n + 1}}}$" for n in range(analysis.sizes[names.STATE])]


def _draw_lines(
    figure: FigureBase, panels: list[Panel], components: list[str], units: str
) -> np.ndarray:
    rows = len(components)
    axes = figure.subplots(rows, len(panels), sharex="col", sharey="row", squeeze=False)
    handles: dict[str, Any] = {}
    for column, panel in enumerate(panels):
        for row, axis in enumerate(axes[:, column]):
            if panel.truth is not None:
                (handles["truth"],) = axis.plot(panel.time, panel.truth[:, row], color=_TRUTH)
            (handles["analysis"],) = axis.plot(
                panel.time, panel.analysis[:, row], color=_ANALYSIS, linestyle=(0, (4, 1.2))
            )
            if np.any(np.isfinite(panel.observation[:, row])):
                (handles["observations"],) = axis.plot(
                    panel.time, panel.observation[:, row], ".", color=_OBSERVATION, markersize=4
                )
            axis.margins(x=0.01)
    for row, name in enumerate(components):
        axes[row, 0].set_ylabel(name + units)
        _limit_to_known(axes[row, 0], panels, row)
    order = [name for name in ("truth", "observations", "analysis") if name in handles]
    figure.legend(
        [handles[name] for name in order], order, loc="outside upper center", ncols=len(order)
    )
    figure.align_ylabels(list(axes[:, 0]))
    return np.asarray(axes)


def _draw_maps(
    figure: FigureBase, panels: list[Panel], components: list[str], units: str
) -> np.ndarray:
    def rows(panel: Panel) -> dict[str, np.ndarray]:
        shown = {"observations": panel.observation, "analysis": panel.analysis}
        if panel.truth is not None:
            error = np.abs(panel.analysis - panel.truth)
            shown = {"truth": panel.truth, **shown, "absolute error": error}
        return shown

    states = np.concatenate([p.analysis if p.truth is None else p.truth for p in panels])
    states = states[np.isfinite(states)]
    low, high = (states.min(), states.max()) if len(states) else (-1.0, 1.0)
    # A state on both sides of zero shares one scale with its error, on which zero is white; the
    # error of temperatures around 280 K would be invisible on theirs.
    one_scale = min(-low, high) > 0.2 * max(-low, high)
    largest = max(-low, high)
    state_scale: dict[str, Any] = (
        {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest}
        if one_scale
        else {"cmap": "viridis", "vmin": low, "vmax": high}
    )
    error_scale = dict(state_scale)
    shown = [rows(panel) for panel in panels]
    if not one_scale and panels[0].truth is not None:
        top = max(float(np.nanmax(part["absolute error"])) for part in shown)
        error_scale = {"cmap": "magma_r", "vmin": 0.0, "vmax": top or 1.0}

    axes = figure.subplots(len(shown[0]), len(panels), sharex="col", sharey=True, squeeze=False)
    images: dict[str, Any] = {}
    for column, (panel, part) in enumerate(zip(panels, shown, strict=True)):
        for axis, (name, values) in zip(axes[:, column], part.items(), strict=True):
            axis.set_facecolor("0.88")  # where nothing was observed
            time = panel.time
            if name == "observations":
                time, values = without_gaps(time, values)
            images[name] = axis.imshow(
                values.T,
                origin="lower",
                aspect="auto",
                interpolation="nearest",
                extent=_extent(time, values.shape[1]),
                **(error_scale if name == "absolute error" else state_scale),
            )
            axis.set_ylabel(f"{name}\ncomponent" if column == 0 else "")
            axis.spines[:].set_visible(False)
    last = list(images)[-1]
    if one_scale or last != "absolute error":
        extra = " and absolute error" if last == "absolute error" else ""
        bar = figure.colorbar(images["analysis"], ax=axes, fraction=0.03, aspect=40)
        bar.set_label(f"state{extra}{units}")
    else:
        figure.colorbar(images["analysis"], ax=axes[:-1]).set_label(f"state{units}")
        figure.colorbar(images[last], ax=axes[-1:]).set_label(f"error{units}")
    return np.asarray(axes)


def _extent(time: np.ndarray, size: int) -> tuple[float, float, float, float]:
    from matplotlib.dates import date2num

    numbers = date2num(time) if time.dtype.kind == "M" else time
    half = 0.5 * (numbers[1] - numbers[0]) if len(numbers) > 1 else 0.5
    return float(numbers[0] - half), float(numbers[-1] + half), 0.5, size + 0.5


def _date_axis(axis: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=2, maxticks=5)
    axis.xaxis_date()
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def _limit_to_known(axis: Axes, panels: list[Panel], row: int) -> None:
    """Keep a diverged analysis from flattening the curves of all the other windows."""
    known = np.concatenate(
        [p.observation[:, row] if p.truth is None else p.truth[:, row] for p in panels]
    )
    known = known[np.isfinite(known)]
    found = np.concatenate([p.analysis[:, row] for p in panels])
    if not len(known) or np.nanmax(np.abs(found - known.mean()), initial=0.0) < 5 * np.ptp(known):
        return
    margin = 0.3 * np.ptp(known) or 1.0
    axis.set_ylim(known.min() - margin, known.max() + margin)


def without_gaps(time: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draw each datum as wide as the interval between observation times, if that is regular.

    Observations of every fourth step would be lines thinner than a pixel.
    """
    observed = np.flatnonzero(np.any(np.isfinite(values), axis=1))
    if len(observed) < 2:
        return time, values
    every = int(np.diff(observed).min())
    if np.any((observed - observed[0]) % every):
        return time, values
    part = slice(int(observed[0]) % every, None, every)
    return time[part], values[part]
