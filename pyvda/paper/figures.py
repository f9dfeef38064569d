"""The paper's figures 2 and 3, drawn from what `pyvda reproduce` computes and stores.

A solver has the same colour in every figure. Colours are distinguishable with any colour vision,
and every line style is used once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pyvda.plotting.style import STYLE, plain_ticks, show_in_notebook

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase

_TRUTH, _OBSERVATION = "#000000", "#0072B2"


@dataclass(frozen=True)
class Drawn:
    """The appearance of a solver: label, colour, line style and line width.

    Wider lines are drawn first, so that lines that coincide are all visible.
    """

    label: str
    colour: str
    line: Any = "-"
    width: float = 1.2

    def how(self) -> dict[str, Any]:
        """Return the keywords of `Axes.plot`."""
        return {
            "label": self.label, "color": self.colour, "linestyle": self.line,
            "linewidth": self.width, "zorder": 3 - 0.1 * self.width,
        }  # fmt: skip


@dataclass(frozen=True)
class Pathway:
    """Means over windows along the iterations of a solver.

    Attributes
    ----------
    solver : Drawn
    iteration, r_score, cost : (K,)
    """

    solver: Drawn
    iteration: np.ndarray
    r_score: np.ndarray
    cost: np.ndarray


@dataclass(frozen=True)
class Reconstruction:
    """The analyses of a solver, (W, T, D)."""

    solver: Drawn
    x: np.ndarray

    def r_score(self, truth: np.ndarray) -> np.ndarray:
        """Return the mean squared error of each window, (W,)."""
        return np.asarray(np.mean((self.x - truth) ** 2, axis=(1, 2)))


def energy_pathways(pathways: Mapping[str, Sequence[Pathway]]) -> Figure:
    """Draw the reconstruction error and the variational cost along the iterations (figure 2).

    Axes are logarithmic, with room for iteration 0; each key is the title of a row of axes. A
    pathway ends in a dot, and consists of it alone for a solver of one step.
    """
    with page(6.8, 0.6 + 2.3 * len(pathways)) as figure:
        axes = figure.subplots(len(pathways), 2, sharex=True, squeeze=False)
        for pair, (title, of_solvers) in zip(axes, pathways.items(), strict=True):
            for one in of_solvers:
                for axis, values in zip(pair, (one.r_score, one.cost), strict=True):
                    shown = values > 0
                    how = one.solver.how() | {"marker": "o", "markersize": 4.0, "clip_on": False}
                    if len(one.iteration) == 1:
                        how |= {"linestyle": "none", "markersize": 6.0}
                    last = [-1] if shown.any() else []
                    axis.plot(one.iteration[shown], values[shown], markevery=last, **how)
            labels = ("reconstruction error R", "variational cost\n(each under its own Φ)")
            for axis, label in zip(pair, labels, strict=True):
                axis.set_title(title)
                axis.set_xscale("symlog", linthresh=1.0, linscale=0.6)
                axis.xaxis.set_major_formatter(_few_or_power)
                axis.set_yscale("log")
                drawn = [np.asarray(line.get_ydata()) for line in axis.lines]
                plain_ticks(axis, np.concatenate(drawn) if drawn else np.ones(1))
                axis.set_xlim(left=0.0)
                axis.set_ylabel(label)
                axis.grid(which="major", color="0.9", linewidth=0.6)
        for axis in axes[-1]:
            axis.set_xlabel("iteration")
        _legend(figure, list(axes.ravel()))
    return figure


def errors_and_examples(data: xr.Dataset, looks: Mapping[str, Drawn]) -> Figure:
    """Draw densities of the error of each component, and some reconstructions (figure 3).

    Parameters
    ----------
    data : Dataset
        See `pyvda.paper.figure_data.of_errors_and_examples`.
    looks : mapping
        Label of a solver to its appearance.
    """
    size = data.sizes["component"]
    with page(7.2, 2.3 + 1.1 * size) as figure:
        upper, lower = figure.subfigures(
            2, 1, squeeze=False, height_ratios=[2.3, 1.1 * size], hspace=0.02
        ).ravel()
        above = upper.subplots(1, size, squeeze=False)[0]
        _densities(above, data, looks)
        below = _examples(lower, data, looks)
        _legend(upper, [*above, *below.ravel()])
    return figure


def _densities(axes: Sequence[Axes], data: xr.Dataset, looks: Mapping[str, Drawn]) -> None:
    for component, axis in enumerate(axes):
        at = data["error"].values[component]
        for label, of_solver in zip(data["solver"].values, data["density"].values, strict=True):
            density = of_solver[component]
            axis.plot(at, np.where(density > 0, density, np.nan), **looks[str(label)].how())
        axis.set_yscale("log")
        axis.set_xlim(at[0], at[-1])
        axis.set_xlabel(f"error of $x_{{{component + 1}}}$")
        axis.grid(which="major", color="0.9", linewidth=0.6)
    axes[0].set_ylabel("density")


def _examples(figure: FigureBase, data: xr.Dataset, looks: Mapping[str, Drawn]) -> np.ndarray:
    size, windows = data.sizes["component"], data.sizes["window"]
    axes = figure.subplots(size, windows, sharex=True, sharey="row", squeeze=False)
    truth, observation, time = (data[n].values for n in ("truth", "observation", "time"))
    for column in range(windows):
        for row, axis in enumerate(axes[:, column]):
            axis.plot(time, truth[column, :, row], color=_TRUTH, label="truth", linewidth=2.0)
            for label, x in zip(data["example"].values, data["analysis"].values, strict=True):
                axis.plot(time, x[column, :, row], **looks[str(label)].how())
            seen = observation[column, :, row]
            if np.isfinite(seen).any():
                axis.plot(time, seen, ".", color=_OBSERVATION, markersize=4, label="observations")
            axis.margins(x=0.01)
        axes[-1, column].set_xlabel("time (model units)")
    for row in range(size):
        axes[row, 0].set_ylabel(f"$x_{{{row + 1}}}$")
    figure.align_ylabels(list(axes[:, 0]))
    return np.asarray(axes)


def _few_or_power(value: float, _: int) -> str:
    return f"{value:g}" if value < 1000 else f"$10^{{{np.log10(value):.0f}}}$"


def _legend(figure: FigureBase, axes: Sequence[Axes]) -> None:
    """Place one legend for all axes above them."""
    known: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            known.setdefault(label, handle)
    rows = -(-len(known) // 4)
    figure.legend(
        list(known.values()), list(known), loc="outside upper center", handlelength=3.2,
        ncols=-(-len(known) // max(rows, 1)),
    )  # fmt: skip


@contextmanager
def page(width: float, height: float) -> Iterator[Figure]:
    """Yield a figure of the given size in inches, in the common style."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    show_in_notebook(Figure)
    with rc_context(STYLE):
        yield Figure(figsize=(width, height), layout="constrained")
