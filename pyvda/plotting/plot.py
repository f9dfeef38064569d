"""One function for every kind of figure: `pyvda.plot`, and the command of that name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyvda.errors import InputError
from pyvda.io.sources.open import opened
from pyvda.plotting import analysis as windows_of
from pyvda.plotting.fields import has_maps
from pyvda.plotting.style import one_of

_OF_FIELDS = ("maps", "series", "spectra", "hovmoller", "animation")
KINDS = ("windows", *_OF_FIELDS, "descent", "rank-histogram")
_OF_KINDS = {  # which kinds an option has an effect on
    "truth": ("windows", *_OF_FIELDS, "rank-histogram"),
    "windows": ("windows",),
    "window": _OF_FIELDS,
    "variables": _OF_FIELDS,
    "step": ("maps",),
    "observations": ("maps", "animation"),
    "row": ("hovmoller",),
}


def kind_of(analysis: Any, kind: str | None, given: dict[str, Any]) -> str:
    """Return the kind of figure, checked against the options that are given.

    Raises
    ------
    InputError
        The kind is unknown, or an option has no effect on it.
    """
    if kind is not None and kind not in KINDS:
        raise InputError(f"kind (--kind) is {kind}, expected one of {', '.join(KINDS)}")
    kind = kind or ("maps" if has_maps(analysis) else "windows")
    for name, value in given.items():
        if value is not None and kind not in _OF_KINDS[name]:
            raise InputError(
                f"{name} (--{name}) has no effect on the kind {kind}; leave it out, or choose kind "
                f"(--kind) {' or '.join(_OF_KINDS[name])}"
            )
    return kind


def plot(
    analysis: Any,
    truth: Any = None,
    *,
    kind: str | None = None,
    observations: Any = None,
    windows: Sequence[int] | int | None = None,
    window: int | None = None,
    variables: Sequence[str] | str | None = None,
    step: int | None = None,
    row: int | None = None,
    ax: Any = None,
) -> Any:
    """Draw an analysis, beside the truth of a twin experiment where it is given.

    Parameters
    ----------
    analysis : Dataset or path
        As `pyvda.assimilate` makes it; or a forecast, by `pyvda.forecast`.
    truth : Dataset or path, optional
        The variable `truth`, or the model's own variables.
    kind : optional
        "windows", "maps", "series", "spectra", "hovmoller", "animation", "descent" (cost along the
        iterations of fsgd) or "rank-histogram" (of the truth in the stated distribution, over all
        windows). Default: maps of fields over (y, x), else windows.
    observations : Dataset or path, optional
        Observations that are not on the grid, drawn on maps: a row a datum.
    windows : int or sequence of int, optional
        For the kind windows: numbers of the windows. Default: 0, 1, 2, 3.
    window : int, optional
        For the kinds of fields: number of the window. Default: 0.
    variables : str or sequence of str, optional
        For the kinds of fields: names of the variables. Default: all.
    step : int, optional
        For maps: the step, negative from the end. Default: the last observed.
    row : int, optional
        The row y of a Hovmöller diagram. Default: the middle.
    ax : Axes or array of Axes, optional
        One for each panel, as many as are returned without it; windows are then drawn without the
        descent below them. Not for the kind animation. Default: those of a new figure.

    Returns
    -------
    Axes, or array of Axes where there are several panels
        `ax` where it is given. Windows: (rows, columns), a row for each component or map and a
        column for each window; the descent, which is drawn below them, is not among these. Other
        kinds: one-dimensional, in the order in which they are drawn, without colour bars.
        Animation: a matplotlib FuncAnimation instead.

    Raises
    ------
    InputError
        The kind is unknown, an option has no effect on it, the analysis has nothing to draw, or
        `ax` has another number of axes than the figure panels.
    """
    drawn, true = opened(analysis), None if truth is None else opened(truth)
    given = {"truth": truth, "windows": windows, "window": window, "variables": variables,
             "step": step, "observations": observations, "row": row}  # fmt: skip
    kind = kind_of(drawn, kind, given)
    axes = _drawn(kind, drawn, true, given, ax)
    if ax is not None:
        return ax
    return axes.item() if getattr(axes, "size", 0) == 1 else axes


def _drawn(kind: str, drawn: Any, true: Any, given: dict[str, Any], ax: Any) -> Any:
    from pyvda.plotting.animation import animate_maps
    from pyvda.plotting.hovmoller import figure_of_hovmoller
    from pyvda.plotting.maps import plot_maps
    from pyvda.plotting.rank_histogram import plot_rank_histogram
    from pyvda.plotting.series import figure_of_series
    from pyvda.plotting.spectra import plot_spectra

    if kind == "windows":
        windows = windows_of.WINDOWS if given["windows"] is None else given["windows"]
        if ax is None:
            return windows_of.plot_analysis(drawn, true, windows)
        return windows_of.plot_reconstruction(drawn, true, windows, ax)
    if kind == "descent":
        return windows_of.plot_descent(drawn, ax)
    if kind == "rank-histogram":
        return plot_rank_histogram(drawn, true, ax=one_of(ax))
    how: dict[str, Any] = {"variables": given["variables"], "window": given["window"] or 0}
    if kind in ("maps", "animation"):
        points = given["observations"]
        how["observations"] = None if points is None else opened(points)
    if kind == "animation":
        if ax is not None:
            raise InputError("ax has no effect on the kind animation; leave it out")
        return animate_maps(drawn, true, **how)
    if kind == "maps":
        return plot_maps(drawn, true, step=given["step"], ax=ax, **how)
    if kind == "series":
        return figure_of_series(drawn, true, ax=ax, **how)
    if kind == "spectra":
        return plot_spectra(drawn, true, ax=one_of(ax), **how)
    return figure_of_hovmoller(drawn, true, at=given["row"], ax=ax, **how)
