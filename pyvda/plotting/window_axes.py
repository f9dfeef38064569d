"""Windows side by side: few components as lines, large states as maps over time and component."""

from __future__ import annotations

import json
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.io.pairs import paired
from pyvda.io.quality import validation
from pyvda.plotting.style import panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase
    from matplotlib.gridspec import SubplotSpec

MOST_LINES = 6  # components drawn as lines; larger states are drawn as maps
_STRETCH = 200  # steps of a long series in one excerpt
_TRUTH, _OBSERVATION, _ANALYSIS = "#000000", "#0072B2", "#D55E00"
_LEGEND = ("truth", "observations", "analysis", "forecast", "± 2 standard deviations")


@dataclass(frozen=True)
class Excerpt:
    """One window, or one stretch of a series: arrays (T, D), NaN where nothing is known.

    `observation_stdev` is the standard deviation of the error of all observations, None where it
    differs or is unknown. `joints` are the times at which a series goes on to the next window.
    `called` says what the states are, an analysis or a forecast.
    """

    title: str
    time: np.ndarray
    analysis: np.ndarray
    observation: np.ndarray
    truth: np.ndarray | None
    stdev: np.ndarray | None = None
    observation_stdev: float | None = None
    joints: np.ndarray | None = None
    called: str = names.ANALYSIS


def excerpts_of(
    analysis: xr.Dataset,
    truth: xr.Dataset | None,
    windows: Sequence[int] | int,
    called: str = names.ANALYSIS,
) -> list[Excerpt]:
    """Return the chosen windows, or stretches of a series, that exist.

    Raises
    ------
    InputError
        Variables are missing, the truth has another shape, or none of the windows exists.
    """
    if names.ANALYSIS not in analysis:
        raise InputError(
            f"the file has no variable {names.ANALYSIS!r}; give an analysis made by pyvda"
        )
    along = analysis[names.ANALYSIS].dims
    if not {names.TIME, names.STATE} <= set(along):
        raise InputError(
            f"the analysis has the dimensions {', '.join(map(str, along)) or 'none'}, expected "
            "(window, time, state) or (time, state); keep them where you select, such as by "
            "isel(time=[0])"
        )
    if truth is not None:
        if names.TRUTH not in truth:
            raise InputError("the file of the truth has no variable 'truth'")
        paired(truth[names.TRUTH], analysis[names.ANALYSIS])
    in_windows = names.WINDOW in analysis[names.ANALYSIS].dims
    steps = analysis.sizes[names.TIME]
    count = analysis.sizes[names.WINDOW] if in_windows else -(-steps // _STRETCH)
    observation_stdev = _observation_stdev(analysis)
    excerpts = []
    for index in _numbers(windows):
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
            squares = (state - true) ** 2
            known = squares[np.isfinite(squares)]  # land has no value
            title += f", R = {known.mean():.3g}" if len(known) else ""
        observed = np.full_like(state, np.nan)
        if names.INNOVATION in part:  # a forecast has none
            observed = state + _values(part[names.INNOVATION])
        stdev = _values(part[names.STATE_STDEV]) if names.STATE_STDEV in part else None
        time = times(analysis, part)[0]
        joints = None
        if not in_windows and names.WINDOW_NUMBER in part.coords:
            joints = time[1:][np.diff(part[names.WINDOW_NUMBER].values) != 0]
        excerpts.append(
            Excerpt(title, time, state, observed, true, stdev, observation_stdev, joints, called)
        )
    if not excerpts:
        raise InputError(
            f"none of the windows {tuple(_numbers(windows))} is among the {count} of the file"
        )
    return excerpts


def _numbers(windows: Any) -> list[int]:
    """Return one number of a window, or several, as a list."""
    try:
        return [operator.index(one) for one in np.atleast_1d(np.asarray(windows)).tolist()]
    except TypeError:
        raise InputError(
            f"windows is {windows!r}, expected numbers of windows such as [0, 1]"
        ) from None


def _observation_stdev(analysis: xr.Dataset) -> float | None:
    """Return the standard deviation that the method's options or the file give all observations."""
    try:
        given = json.loads(analysis.attrs["pyvda_configuration"])["options"]["observation_variance"]
    except (KeyError, TypeError, ValueError):  # no such option, or a file of another program
        given = None
    for variance in (given, analysis.attrs.get(names.OBSERVATION_ERROR_VARIANCE)):
        if isinstance(variance, int | float | np.number) and variance > 0:
            return float(np.sqrt(variance))
    return None


def _values(array: xr.DataArray) -> np.ndarray:
    return np.asarray(array.transpose(names.TIME, names.STATE).values, dtype=np.float64)


def times(whole: xr.Dataset, part: xr.Dataset) -> tuple[np.ndarray, str]:
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
    return (
        days,
        "days" if time.dtype.kind == "m" else f"days since {str(start).removesuffix(' 00:00:00')}",
    )


def figure_size(excerpts: list[Excerpt]) -> tuple[float, float]:
    """Return width and height of the drawing, in inches."""
    wide, high = (1.2, 0.9) if _as_lines(excerpts) else (1.6, 0.6)
    # The legend above the columns has two entries beside each other, and needs their width.
    return max(wide + 1.7 * len(excerpts), 3.4), high + 1.15 * _rows(excerpts)


def _as_lines(excerpts: list[Excerpt]) -> bool:
    return excerpts[0].analysis.shape[1] <= MOST_LINES


def _rows(excerpts: list[Excerpt]) -> int:
    """Return the number of rows: components, or maps."""
    if _as_lines(excerpts):
        return excerpts[0].analysis.shape[1]
    return 2 if excerpts[0].truth is None else 4


def draw(
    figure: FigureBase,
    excerpts: list[Excerpt],
    analysis: xr.Dataset,
    ax: Any = None,
    part: SubplotSpec | None = None,
) -> np.ndarray:
    """Draw the excerpts as columns; `analysis` gives names and units.

    They are drawn in axes `ax` or in a part of the figure if given. Returns the axes, (rows,
    columns).
    """
    label = times(analysis, analysis)[1]
    place = figure if part is None else part
    share = "row" if _as_lines(excerpts) else True
    axes = panels(place, _rows(excerpts), len(excerpts), ax, sharex="col", sharey=share)
    if _as_lines(excerpts):
        handles = _draw_lines(axes, excerpts, _component_names(analysis), _units(analysis))
        order = [name for name in _LEGEND if name in handles]
        known = [handles[name] for name in order]
        if ax is None:
            columns = min(len(order), 1 + len(excerpts))
            figure.legend(known, order, loc="outside upper center", ncols=columns)
            figure.align_ylabels(list(axes[:, 0]))
        else:  # the figure is the caller's
            axes[0, 0].legend(known, order, loc="best")
    else:
        _draw_maps(figure, axes, excerpts, _units(analysis))
    for excerpt, axis in zip(excerpts, axes[0], strict=True):
        axis.set_title(excerpt.title)
    for axis in axes[-1]:
        if excerpts[0].time.dtype.kind == "M":
            date_axis(axis)
        axis.set_xlabel(label)
    return axes


def _units(analysis: xr.Dataset) -> str:
    units = str(analysis[names.ANALYSIS].attrs.get("units", "1"))
    return "" if units == "1" else f" ({units})"


def _component_names(analysis: xr.Dataset) -> list[str]:
    if names.STATE in analysis.coords and analysis[names.STATE].dtype.kind in "OUST":
        return [str(name) for name in analysis[names.STATE].values]
    return [f"component {n}" for n in range(analysis.sizes[names.STATE])]


def _draw_lines(
    axes: np.ndarray, excerpts: list[Excerpt], components: list[str], units: str
) -> dict[str, Any]:
    """Draw a row for each component; return what a legend names, by name."""
    handles: dict[str, Any] = {}
    for column, excerpt in enumerate(excerpts):
        for row, axis in enumerate(axes[:, column]):
            handles |= draw_component(axis, excerpt, row)
    for row, name in enumerate(components):
        axes[row, 0].set_ylabel(name + units)
        _limit_to_known(axes[row, 0], excerpts, row)
    return handles


def draw_component(axis: Axes, excerpt: Excerpt, component: int) -> dict[str, Any]:
    """Draw one component of an excerpt; return what a legend names, by name."""
    handles: dict[str, Any] = {}
    x, time = excerpt.analysis[:, component], excerpt.time
    dot: dict[str, Any] = {"marker": "_"} if len(time) == 1 else {}  # one step makes no line
    if excerpt.stdev is not None and np.isfinite(excerpt.stdev[:, component]).any():
        spread: np.ndarray = 2 * excerpt.stdev[:, component]
        handles["± 2 standard deviations"] = axis.fill_between(
            time, x - spread, x + spread, color=_ANALYSIS, alpha=0.25, lw=0
        )
    for joint in () if excerpt.joints is None else excerpt.joints:
        axis.axvline(joint, color="0.7", linestyle=":", linewidth=0.8)
    if excerpt.truth is not None:
        (handles["truth"],) = axis.plot(time, excerpt.truth[:, component], color=_TRUTH, **dot)
    (handles[excerpt.called],) = axis.plot(time, x, color=_ANALYSIS, linestyle=(0, (4, 1.2)), **dot)
    if np.any(np.isfinite(excerpt.observation[:, component])):
        handles["observations"] = axis.errorbar(
            time, excerpt.observation[:, component], excerpt.observation_stdev, fmt=".",
            color=_OBSERVATION, markersize=4, elinewidth=0.6,
        )  # fmt: skip
    axis.margins(x=0.01)
    return handles


def draw_alone(axis: Axes, excerpt: Excerpt, analysis: xr.Dataset, component: int) -> None:
    """Draw one component of an excerpt with its labels and a legend."""
    handles = draw_component(axis, excerpt, component)
    axis.set_ylabel(_component_names(analysis)[component] + _units(analysis))
    axis.set_xlabel(times(analysis, analysis)[1])
    axis.set_title(excerpt.title)
    if excerpt.time.dtype.kind == "M":
        date_axis(axis)
    _limit_to_known(axis, [excerpt], component)
    order = [name for name in _LEGEND if name in handles]
    low, high = axis.get_ylim()
    axis.set_ylim(low, high + 0.35 * (high - low))  # the legend has a place above the curves
    axis.legend([handles[name] for name in order], order, loc="upper center", ncols=2)


def _draw_maps(figure: FigureBase, axes: np.ndarray, excerpts: list[Excerpt], units: str) -> None:
    def rows(excerpt: Excerpt) -> dict[str, np.ndarray]:
        shown = {"observations": excerpt.observation, "analysis": excerpt.analysis}
        if excerpt.truth is not None:
            error = np.abs(excerpt.analysis - excerpt.truth)
            shown = {"truth": excerpt.truth, **shown, "absolute error": error}
        return shown

    states = np.concatenate([p.analysis if p.truth is None else p.truth for p in excerpts])
    states = states[np.isfinite(states)]
    low, high = (states.min(), states.max()) if len(states) else (-1.0, 1.0)
    # A state with both signs shares one scale with its error, with zero in white. The error of,
    # say, temperatures around 280 K would be invisible on their scale and gets one of its own.
    one_scale = min(-low, high) > 0.2 * max(-low, high)
    largest = max(-low, high)
    state_scale: dict[str, Any] = (
        {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest}
        if one_scale
        else {"cmap": "viridis", "vmin": low, "vmax": high}
    )
    error_scale = dict(state_scale)
    shown = [rows(excerpt) for excerpt in excerpts]
    if not one_scale and excerpts[0].truth is not None:
        top = max(float(np.nanmax(part["absolute error"])) for part in shown)
        error_scale = {"cmap": "magma_r", "vmin": 0.0, "vmax": top or 1.0}

    images: dict[str, Any] = {}
    for column, (excerpt, part) in enumerate(zip(excerpts, shown, strict=True)):
        for axis, (name, values) in zip(axes[:, column], part.items(), strict=True):
            axis.set_facecolor("0.88")  # where nothing was observed
            time = excerpt.time
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


def _extent(time: np.ndarray, size: int) -> tuple[float, float, float, float]:
    from matplotlib.dates import date2num

    numbers = date2num(time) if time.dtype.kind == "M" else time
    half = 0.5 * (numbers[1] - numbers[0]) if len(numbers) > 1 else 0.5
    return float(numbers[0] - half), float(numbers[-1] + half), -0.5, size - 0.5


def date_axis(axis: Axes, *, vertical: bool = False) -> None:
    """Write dates along the horizontal or the vertical axis."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=2, maxticks=5)
    if vertical:
        axis.yaxis_date()
    else:
        axis.xaxis_date()
    along = axis.yaxis if vertical else axis.xaxis
    along.set_major_locator(locator)
    along.set_major_formatter(ConciseDateFormatter(locator))


def _limit_to_known(axis: Axes, excerpts: list[Excerpt], row: int) -> None:
    """Limit the axis to known values, so that a diverged analysis does not flatten other curves."""
    known = np.concatenate(
        [p.observation[:, row] if p.truth is None else p.truth[:, row] for p in excerpts]
    )
    known = known[np.isfinite(known)]
    found = np.concatenate([p.analysis[:, row] for p in excerpts])
    if not len(known) or np.nanmax(np.abs(found - known.mean()), initial=0.0) < 5 * np.ptp(known):
        return
    margin = 0.3 * np.ptp(known) or 1.0
    axis.set_ylim(known.min() - margin, known.max() + margin)


def without_gaps(time: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return only the observed steps if these are regular, so that each is drawn as wide as a gap.

    Otherwise observations of every fourth step would be lines thinner than a pixel.
    """
    observed = np.flatnonzero(np.any(np.isfinite(values), axis=1))
    if len(observed) < 2:
        return time, values
    every = int(np.diff(observed).min())
    if np.any((observed - observed[0]) % every):
        return time, values
    part = slice(int(observed[0]) % every, None, every)
    return time[part], values[part]
