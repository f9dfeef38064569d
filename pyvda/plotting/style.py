"""What all figures share: style, colours, making a figure, writing it to a file.

A figure that is returned to a user is made by pyplot where pyplot is in use and in IPython, so that
`plt.show()` and notebooks show it, and otherwise without, so that neither a display nor global
state is touched; matplotlib is imported by the first call. Colours are those of Okabe and Ito,
distinguishable with any colour vision; maps have perceptually uniform or diverging scales that are,
too, and grey land.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyvda.errors import InputError
from pyvda.io.writing.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "svg.hashsalt": "pyvda",
}
BLACK, BLUE, VERMILION, GREEN = "#000000", "#0072B2", "#D55E00", "#009E73"
LAND = "0.78"


@contextmanager
def new_figure() -> Iterator[Figure]:
    """Make an empty figure, in pyvda's style while the block runs."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    show_in_notebook(Figure)
    with rc_context(STYLE):
        yield Figure(layout="constrained")


@contextmanager
def user_figure() -> Iterator[Figure]:
    """Make an empty figure that `plt.show()` and notebooks show; otherwise as `new_figure`."""
    from matplotlib import rc_context

    if "matplotlib.pyplot" not in sys.modules and _shell() is None:
        with new_figure() as figure:
            yield figure
        return
    pyplot = importlib.import_module("matplotlib.pyplot")
    # Outside of the style: the first figure may make matplotlib interactive, which must stay.
    figure = pyplot.figure(layout="constrained")
    try:
        with rc_context(STYLE):
            yield figure
    except BaseException:
        pyplot.close(figure)
        raise


def _shell() -> Any:
    """Return IPython's shell, None outside of IPython."""
    return sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None


def show_in_notebook(kind: type) -> None:
    """Let IPython draw figures, as it does itself once pyplot has made one."""
    shell = _shell()
    if shell is None or any(kind in each for each in shell.display_formatter.formatters.values()):
        return
    tools = importlib.import_module("IPython.core.pylabtools")
    png = shell.display_formatter.formatters["image/png"]
    png.for_type(kind, partial(tools.print_figure, fmt="png"))


@contextmanager
def axes_of(ax: Axes | None, size: tuple[float, float]) -> Iterator[Axes]:
    """Use the given axes, or those of a new figure of this size in inches."""
    if ax is not None:
        yield ax
        return
    with user_figure() as figure:
        figure.set_size_inches(*size)
        yield figure.subplots()


@contextmanager
def figure_of(ax: Any, width: float = 0.0, height: float = 0.0) -> Iterator[Any]:
    """Use the figure of the given axes, or make one, of this size in inches unless it is 0."""
    if ax is not None:
        yield _listed(ax)[0].figure
        return
    with user_figure() as figure:
        if width:
            figure.set_size_inches(width, height)
        yield figure


def panels(figure: Any, rows: int, columns: int, ax: Any = None, **how: Any) -> np.ndarray:
    """Return the axes of panels (rows, columns): those given, or new ones of the figure.

    `figure` may also be a part of one, a `SubplotSpec`.

    Raises
    ------
    InputError
        There are more or fewer axes than panels, or they are of several figures.
    """
    if ax is None:
        if hasattr(figure, "subgridspec"):
            figure = figure.subgridspec(rows, columns)
            return np.asarray(figure.subplots(squeeze=False, **how))
        return np.asarray(figure.subplots(rows, columns, squeeze=False, **how))
    given = _listed(ax)
    if given.size != rows * columns:
        wanted = "one panel" if rows * columns == 1 else f"{rows * columns} panels"
        raise InputError(
            f"ax has {given.size} axes, and the figure {wanted}; give as many axes, such as "
            f"plt.subplots({rows}, {columns})[1]"
        )
    figures = len({id(axis.figure) for axis in given})
    if figures > 1:
        raise InputError(
            f"ax has axes of {figures} figures, expected those of one; make them there"
        )
    return given.reshape(rows, columns)


def one_of(ax: Any) -> Axes | None:
    """Return the only one of the given axes, None where none are given."""
    return None if ax is None else panels(None, 1, 1, ax)[0, 0]


def drawn_figure(axes: Any) -> Figure:
    """Return the whole figure of an Axes or an array of Axes, which may be in a subfigure."""
    figure: Figure = _listed(axes)[0].figure.figure
    return figure


def _listed(ax: Any) -> np.ndarray:
    """Return one Axes or any array of them as a row."""
    given = np.ravel(np.asarray(ax, object))
    if not given.size or not all(hasattr(axis, "transAxes") for axis in given):
        raise InputError(
            f"ax is {type(ax).__name__} of {given.size}, expected an Axes or an array of Axes, "
            "such as plt.subplots()[1]"
        )
    return given


def save_figure(figure: Figure, path: str | os.PathLike[str], *, dpi: float = 200) -> None:
    """Write a figure as PNG, SVG or PDF, by the suffix of `path`, completely or not at all."""
    from matplotlib import rc_context

    path = Path(path)
    kind = path.suffix.lower().lstrip(".")
    if kind not in ("png", "svg", "pdf"):
        raise InputError(
            f"cannot write a figure to {path}; its name must end in .png, .svg or .pdf"
        )
    dated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}  # equal figures give equal files
    with replacing(path) as temporary, rc_context(STYLE):
        figure.savefig(temporary, format=kind, dpi=dpi, metadata=dated.get(kind))


def plain_ticks(axis: Axes, values: np.ndarray) -> None:
    """Label a logarithmic axis with plain numbers, at 1, 2 and 5 if it spans few decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    few = len(values) > 0 and values.max() < 100.0 * values.min()
    axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())
