"""One function for every kind of figure: `pyvda.plot`, and the command of that name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pyvda.errors import InputError
from pyvda.io.sources.open import opened
from pyvda.plotting import analysis as windows_of
from pyvda.plotting.fields import has_maps

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.figure import Figure

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
    windows: Sequence[int] | None = None,
    window: int | None = None,
    variables: Sequence[str] | None = None,
    step: int | None = None,
    row: int | None = None,
) -> Figure | FuncAnimation:
    """Draw an analysis, beside the truth of a twin experiment where it is given.

    Parameters
    ----------
    analysis : Dataset or path
        As `pyvda.assimilate` makes it.
    truth : Dataset or path, optional
        The variable `truth`, or the model's own variables.
    kind : optional
        "windows", "maps", "series", "spectra", "hovmoller", "animation", "descent" (cost along the
        iterations of fsgd) or "rank-histogram" (of the truth in the stated distribution, over all
        windows). Default: maps of fields over (y, x), else windows.
    observations : Dataset or path, optional
        Observations that are not on the grid, drawn on maps: a row a datum.
    windows : sequence of int, optional
        For the kind windows: numbers of the windows. Default: 0, 1, 2, 3.
    window : int, optional
        For the kinds of fields: number of the window. Default: 0.
    variables : sequence of str, optional
        For the kinds of fields: names of the variables. Default: all.
    step : int, optional
        For maps: the step, negative from the end. Default: the last observed.
    row : int, optional
        The row y of a Hovmöller diagram. Default: the middle.

    Returns
    -------
    matplotlib Figure, or FuncAnimation of the kind animation

    Raises
    ------
    InputError
        The kind is unknown, an option has no effect on it, or the analysis has nothing to draw.
    """
    from pyvda.plotting.animation import animate_maps
    from pyvda.plotting.hovmoller import figure_of_hovmoller
    from pyvda.plotting.maps import plot_maps
    from pyvda.plotting.rank_histogram import figure_of_rank_histogram
    from pyvda.plotting.series import figure_of_series
    from pyvda.plotting.spectra import plot_spectra

    drawn, true = opened(analysis), None if truth is None else opened(truth)
    given = {"truth": truth, "windows": windows, "window": window, "variables": variables,
             "step": step, "observations": observations, "row": row}  # fmt: skip
    kind = kind_of(drawn, kind, given)
    if kind == "windows":
        return windows_of.plot_analysis(
            drawn, true, windows_of.WINDOWS if windows is None else windows
        )
    if kind == "descent":
        return windows_of.plot_descent(drawn)
    if kind == "rank-histogram":
        return figure_of_rank_histogram(drawn, true)
    how: dict[str, Any] = {"variables": variables, "window": window or 0}
    if kind in ("maps", "animation"):
        how["observations"] = None if observations is None else opened(observations)
    if kind == "animation":
        return animate_maps(drawn, true, **how)
    if kind == "maps":
        return plot_maps(drawn, true, step=step, **how)
    if kind == "series":
        return figure_of_series(drawn, true, **how)
    if kind == "spectra":
        figure: Figure = plot_spectra(drawn, true, **how).figure  # type: ignore[assignment]
        return figure
    return figure_of_hovmoller(drawn, true, at=row, **how)
