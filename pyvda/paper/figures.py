"""The paper's figures 2 and 3, drawn from plain data that `pyvda reproduce` computes.

A solver has the same colour in every figure. Colours are distinguishable with any colour vision,
and every line style is used once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyvda.paper.error_density import error_density
from pyvda.plotting.style import STYLE, plain_ticks, show_in_notebook

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase

_TRUTH, _OBSERVATION = "#000000", "#0072B2"
_PLACES = 241  # points at which a density is drawn
_RARE = 0.001  # largest share of errors beyond the ends of a density's axis


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


def errors_and_examples(
    reconstructions: Sequence[Reconstruction],
    truth: np.ndarray,
    observation: np.ndarray,
    *,
    time_step: float,
    windows: Sequence[int] = (0, 1, 2, 3),
    examples: Sequence[str] = (),
) -> Figure:
    """Draw densities of the error of each component, and some reconstructions (figure 3).

    Parameters
    ----------
    reconstructions : sequence of Reconstruction
    truth, observation : (W, T, D)
        Observations NaN where there are none.
    time_step : float
        Model time units.
    windows : sequence of int
        Windows shown below the densities.
    examples : sequence of str
        Labels of the solvers shown there; default: all.
    """
    size = truth.shape[2]
    with page(7.2, 2.3 + 1.1 * size) as figure:
        upper, lower = figure.subfigures(
            2, 1, squeeze=False, height_ratios=[2.3, 1.1 * size], hspace=0.02
        ).ravel()
        above = upper.subplots(1, size, squeeze=False)[0]
        _densities(above, reconstructions, truth)
        chosen = [r for r in reconstructions if not examples or r.solver.label in examples]
        below = _examples(lower, chosen, truth, observation, time_step, list(windows))
        _legend(upper, [*above, *below.ravel()])
    return figure


def _densities(
    axes: Sequence[Axes], reconstructions: Sequence[Reconstruction], truth: np.ndarray
) -> None:
    for component, axis in enumerate(axes):
        errors = [(r.x - truth)[..., component] for r in reconstructions]
        end = sorted(np.quantile(np.abs(error), 1 - _RARE) for error in errors)[-2:][0]
        at = np.linspace(-end, end, _PLACES)
        for one, error in zip(reconstructions, errors, strict=True):
            density = error_density(error, at)
            axis.plot(at, np.where(density > 0, density, np.nan), **one.solver.how())
        axis.set_yscale("log")
        axis.set_xlim(-end, end)
        axis.set_xlabel(f"error of $x_{{{component + 1}}}$")
        axis.grid(which="major", color="0.9", linewidth=0.6)
    axes[0].set_ylabel("density")


def _examples(
    figure: FigureBase,
    reconstructions: Sequence[Reconstruction],
    truth: np.ndarray,
    observation: np.ndarray,
    time_step: float,
    windows: list[int],
) -> np.ndarray:
    size = truth.shape[2]
    axes = figure.subplots(size, len(windows), sharex=True, sharey="row", squeeze=False)
    time = np.arange(truth.shape[1]) * time_step
    for column, window in enumerate(windows):
        for row, axis in enumerate(axes[:, column]):
            axis.plot(time, truth[window, :, row], color=_TRUTH, label="truth", linewidth=2.0)
            for one in reconstructions:
                axis.plot(time, one.x[window, :, row], **one.solver.how())
            seen = observation[window, :, row]
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
