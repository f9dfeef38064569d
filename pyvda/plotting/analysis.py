"""Figures of analyses: reconstruction against truth and observations, descent of the cost.

Style and files are those of `pyvda.plotting.style`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.io.cf.layout import component_labels, restacked
from pyvda.plotting import window_axes
from pyvda.plotting.fields import as_analysis, called, has_maps, index
from pyvda.plotting.style import (
    STYLE,
    axes_of,
    figure_of,
    panels,
    plain_ticks,
    save_figure,
    user_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase
    from matplotlib.gridspec import SubplotSpec

__all__ = [
    "NO_DESCENT",
    "STYLE", "WINDOWS", "has_descent", "plain_ticks", "plot_analysis", "plot_convergence",
    "plot_descent", "plot_reconstruction", "plot_window", "save_figure",
]  # fmt: skip

WINDOWS = (0, 1, 2, 3)
_COST, _ERROR = "#0072B2", "#D55E00"


NO_DESCENT = "which only fsgd records, and only of windows that are in memory as one block"


def has_descent(analysis: xr.Dataset) -> bool:
    """Return whether an analysis contains the history of a descent."""
    return names.HISTORY_COST in analysis and names.ITERATION in analysis.coords


def plot_analysis(
    analysis: xr.Dataset,
    truth: xr.Dataset | None = None,
    windows: Sequence[int] = WINDOWS,
) -> np.ndarray:
    """Draw the reconstruction, and below it the descent if the analysis contains its history.

    Parameters, result and errors are those of `plot_reconstruction`.
    """
    if not has_descent(analysis):
        return plot_reconstruction(analysis, truth, windows)
    shown, labelled = _shown(analysis, truth, windows)
    with user_figure() as figure:
        width, height = window_axes.figure_size(shown)
        below = 2.4
        figure.set_size_inches(max(width, 4.5), height + below)
        parts = figure.add_gridspec(2, 1, height_ratios=[height, below])
        axes = window_axes.draw(figure, shown, labelled, part=parts[0])
        _draw_descent(parts[1], analysis, across=True)
    return axes


def plot_reconstruction(
    analysis: xr.Dataset,
    truth: xr.Dataset | None = None,
    windows: Sequence[int] = WINDOWS,
    ax: Any = None,
) -> np.ndarray:
    """Draw the analysis of some windows against observations and truth.

    Small states are drawn in the layout of the paper's figure 3: a column for each window, a row
    for each component. Larger states are drawn as maps over time and component, as in the lower
    part of figure 4, with the absolute error on the scale of the states.

    Parameters
    ----------
    analysis : Dataset
        `analysis` and `innovation`, (window, time, state) or (time, state), or the variables that
        were analysed; or a forecast, which has no innovations.
    truth : Dataset, optional
        `truth`, of the same shape.
    windows : sequence of int, optional
        Numbers of the windows or, for a series, of stretches of 200 steps. Those beyond the end are
        ignored.
    ax : array of Axes, optional
        A row for each component or map, a column for each window. Default: a new figure.

    Returns
    -------
    (rows, columns) array of Axes

    Raises
    ------
    InputError
        Variables are missing, the truth has another shape, or none of the windows exists.
    """
    shown, labelled = _shown(analysis, truth, windows)
    with figure_of(ax, *window_axes.figure_size(shown)) as figure:
        return window_axes.draw(figure, shown, labelled, ax)


def _shown(
    analysis: xr.Dataset, truth: xr.Dataset | None, windows: Sequence[int]
) -> tuple[list[window_axes.Excerpt], xr.Dataset]:
    """Return the excerpts, and the state vectors with the names and units of their components."""
    what, analysis = called(analysis), as_analysis(analysis)
    truth = None if truth is None else restacked(truth, analysis)
    stacked = restacked(analysis)
    if names.ANALYSIS not in stacked and has_maps(analysis):
        raise InputError(
            "the analysis has fields without the states of a model, which are drawn as maps; "
            "choose another kind (--kind) of figure, such as maps or series"
        )
    shown = window_axes.excerpts_of(stacked, truth, windows, what)
    few = stacked.sizes[names.STATE] <= window_axes.MOST_LINES
    labels = component_labels(analysis) if few else []
    return shown, stacked.assign_coords({names.STATE: labels}) if labels else stacked


def plot_window(
    analysis: xr.Dataset,
    truth: xr.Dataset | None = None,
    *,
    window: int = 0,
    component: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draw one component of one window: observations, analysis, its band and the truth.

    The band is two standard deviations wide to either side. Dotted lines are the joints of the
    windows of a series.

    Parameters
    ----------
    analysis : Dataset
        `analysis`, `innovation` and perhaps `state_stdev`, (window, time, state) or (time, state),
        or the variables that were analysed.
    truth : Dataset, optional
        `truth`, of the same shape.
    window : int
        Number of the window or, for a series, of a stretch of 200 steps.
    component : int
        Which component of the state.
    ax : Axes, optional
        Default: those of a new figure, the attribute `figure` of the result.

    Raises
    ------
    InputError
        As for `plot_reconstruction`; or there is no such component.
    """
    (shown,), labelled = _shown(analysis, truth, [window])
    component, size = index("component", component), shown.analysis.shape[1]
    if not 0 <= component < size:
        raise InputError(f"there is no component {component} among the {size} of the state")
    with axes_of(ax, (4.5, 2.4)) as axis:
        window_axes.draw_alone(axis, shown, labelled, component)
    return axis


def plot_convergence(
    history: xr.Dataset, *, quantity: str = "cost", ax: Axes | None = None
) -> Axes:
    """Draw the cost or the R-score along the iterations.

    Parameters
    ----------
    history : Dataset
        `history_cost` and optionally `history_r_score`, (iteration,), with the coordinate
        `iteration`, as in an analysis of fsgd.
    quantity : {"cost", "R-score"}
    ax : Axes, optional
        Default: those of a new figure, the attribute `figure` of the result.

    Raises
    ------
    InputError
        There is no history, or none of this quantity.
    """
    known = _curves(history)
    if quantity not in known:
        raise InputError(
            f"the history has no {quantity}, but {', '.join(known)}; choose one of these"
        )
    with axes_of(ax, (3.6, 2.4)) as axis:
        _draw_curve(axis, history, quantity, *known[quantity])
        axis.set_xlabel("iteration")
    return axis


def plot_descent(history: xr.Dataset, ax: Any = None) -> np.ndarray:
    """Draw cost and, where known, R-score along the iterations, as in the paper's figure 2.

    Parameters
    ----------
    history : Dataset
        `history_cost` and optionally `history_r_score`, (iteration,), with the coordinate
        `iteration`. Iteration 0, which a logarithmic axis cannot show, is drawn as a dotted line.
    ax : array of Axes, optional
        One for each of the two. Default: a new figure.

    Returns
    -------
    array of Axes, of the cost and, where known, of the R-score

    Raises
    ------
    InputError
        There is no history.
    """
    curves = _curves(history)
    with figure_of(ax, 3.6, 4.2 if len(curves) > 1 else 2.4) as figure:
        return _draw_descent(figure, history, ax=ax)


def _curves(history: xr.Dataset) -> dict[str, tuple[str, str]]:
    """Return variable and colour of each quantity that a history has."""
    if not has_descent(history):
        raise InputError(
            f"the file has no {names.HISTORY_COST!r} along {names.ITERATION!r}, {NO_DESCENT}; "
            "assimilate the windows to be drawn by fsgd, in one block"
        )
    known = {"cost": (names.HISTORY_COST, _COST), "R-score": (names.HISTORY_R_SCORE, _ERROR)}
    return {name: one for name, one in known.items() if one[0] in history}


def _draw_descent(
    figure: FigureBase | SubplotSpec, history: xr.Dataset, *, across: bool = False, ax: Any = None
) -> np.ndarray:
    curves = _curves(history)
    shape = (1, len(curves)) if across else (len(curves), 1)
    axes = panels(figure, *shape, ax, sharex=True).ravel()
    for axis, (label, curve) in zip(axes, curves.items(), strict=True):
        _draw_curve(axis, history, label, *curve)
    for axis in axes if across else axes[-1:]:
        axis.set_xlabel("iteration")
    if not across and ax is None:
        axes[0].figure.align_ylabels(list(axes))
    return axes


def _draw_curve(axis: Axes, history: xr.Dataset, label: str, name: str, colour: str) -> None:
    """Draw one quantity along the iterations, on logarithmic axes."""
    iteration = history[names.ITERATION].values
    values = history[name].values.astype(np.float64)
    shown = (iteration > 0) & (values > 0)
    axis.loglog(iteration[shown], values[shown], color=colour)
    plain_ticks(axis, values[shown])
    for start in values[(iteration == 0) & (values > 0)]:
        axis.axhline(start, color=colour, linestyle=":", linewidth=0.9)
        axis.annotate(
            "first guess",
            (1.0, start),
            xycoords=("axes fraction", "data"),
            xytext=(0, -2),
            textcoords="offset points",
            ha="right",
            va="top",
            color=colour,
        )
    axis.set_ylabel(label)
    axis.grid(which="major", color="0.9", linewidth=0.6)
