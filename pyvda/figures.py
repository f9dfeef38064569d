"""The paper's figures 2 to 4, drawn from plain data; `pyvda reproduce` makes that data.

One colour is one solver in every figure. Colours are told apart by all colour vision, and every
line style is used once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyvda.plots import STYLE, plain_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase

_TRUTH, _OBSERVATION = "#000000", "#0072B2"
_BINS = 101


@dataclass(frozen=True)
class Drawn:
    """How a solver looks: its name in legends, its colour and its line."""

    label: str
    colour: str
    line: Any = "-"


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


def energy_pathways(pathways: Sequence[Pathway]) -> Figure:
    """Draw the reconstruction error and the variational cost along the iterations (figure 2).

    Logarithmic axes, with room for iteration 0. A solver of one step is a point.
    """
    with _figure(6.8, 3.0) as figure:
        axes = figure.subplots(1, 2, squeeze=False)[0]
        for one in pathways:
            for axis, values in zip(axes, (one.r_score, one.cost), strict=True):
                shown = values > 0
                marker = "o" if len(one.iteration) <= 2 else None
                axis.plot(
                    one.iteration[shown], values[shown], color=one.solver.colour,
                    linestyle=one.solver.line, label=one.solver.label, marker=marker, markersize=4,
                    clip_on=False,
                )  # fmt: skip
        for axis, label in zip(axes, ("reconstruction error", "variational cost"), strict=True):
            axis.set_xscale("symlog", linthresh=1.0, linscale=0.6)
            axis.set_yscale("log")
            drawn = [np.asarray(line.get_ydata()) for line in axis.lines]
            plain_ticks(axis, np.concatenate(drawn) if drawn else np.ones(1))
            axis.set_xlim(left=0.0)
            axis.set_xlabel("iteration")
            axis.set_ylabel(label)
            axis.grid(which="major", color="0.9", linewidth=0.6)
        _legend(figure, axes[0])
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
        Which are shown below.
    examples : sequence of str
        Labels of the solvers that are shown below; by default all.
    """
    size = truth.shape[2]
    with _figure(7.2, 1.9 + 1.15 * size) as figure:
        upper, lower = figure.subfigures(
            2, 1, squeeze=False, height_ratios=[1.9, 1.15 * size], hspace=0.04
        ).ravel()
        above = upper.subplots(1, size, squeeze=False)[0]
        _densities(above, reconstructions, truth)
        chosen = [r for r in reconstructions if not examples or r.solver.label in examples]
        _examples(lower, chosen, truth, observation, time_step, list(windows))
        _legend(upper, above[0])
    return figure


def state_and_error_maps(
    reconstructions: Sequence[Reconstruction],
    truth: np.ndarray,
    observation: np.ndarray,
    *,
    time_step: float,
    window: int = 0,
    steps: int = 100,
) -> Figure:
    """Draw states and absolute errors over time and component, on one colour scale (figure 4).

    Parameters are those of `errors_and_examples`; the first `steps` steps of one window are shown,
    first the truth over its observations, then each analysis over its error.
    """
    true, seen = truth[window, :steps], observation[window, :steps]
    limit = float(np.abs(true).max())
    times = np.flatnonzero(np.isfinite(seen).any(1))
    every = int(np.diff(times).min()) if len(times) > 1 else 1
    columns = [("truth", true, "observations", seen[times[0] :: every] if len(times) else seen)]
    for one in reconstructions:
        x = one.x[window, :steps]
        columns.append((one.solver.label, x, "absolute error", np.abs(x - true)))
    with _figure(1.0 + 1.55 * len(columns), 3.6) as figure:
        axes = figure.subplots(2, len(columns), sharex=True, sharey=True, squeeze=False)
        extent = (0.0, len(true) * time_step, 0.5, true.shape[1] + 0.5)
        for column, (above, state, below, other) in enumerate(columns):
            for axis, title, values in zip(
                axes[:, column], (above, below), (state, other), strict=True
            ):
                image = axis.imshow(
                    values.T, origin="lower", aspect="auto", interpolation="nearest",
                    extent=extent, cmap="RdBu_r", vmin=-limit, vmax=limit,
                )  # fmt: skip
                axis.set_title(title)
                axis.spines[:].set_visible(False)
            if column:
                mean = np.mean((state - true) ** 2)
                axes[1, column].set_title(f"|error|, R = {mean:.2g}")
            axes[1, column].set_xlabel("time (model units)")
        for axis in axes[:, 0]:
            axis.set_ylabel("component")
        bar = figure.colorbar(image, ax=axes, fraction=0.03, aspect=40)
        bar.set_label("state and absolute error")
    return figure


def _densities(
    axes: Sequence[Axes], reconstructions: Sequence[Reconstruction], truth: np.ndarray
) -> None:
    errors = [r.x - truth for r in reconstructions]
    for component, axis in enumerate(axes):
        spread = [np.quantile(np.abs(e[..., component]), 0.995) for e in errors]
        edges = np.linspace(-max(spread), max(spread), _BINS + 1)
        for one, error in zip(reconstructions, errors, strict=True):
            counts, _ = np.histogram(error[..., component], edges)
            density = counts / (error[..., component].size * np.diff(edges))
            axis.plot(
                0.5 * (edges[1:] + edges[:-1]), np.where(density > 0, density, np.nan),
                color=one.solver.colour, linestyle=one.solver.line, label=one.solver.label,
            )  # fmt: skip
        axis.set_yscale("log")
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
) -> None:
    size = truth.shape[2]
    axes = figure.subplots(size, len(windows), sharex=True, sharey="row", squeeze=False)
    time = np.arange(truth.shape[1]) * time_step
    for column, window in enumerate(windows):
        for row, axis in enumerate(axes[:, column]):
            axis.plot(time, truth[window, :, row], color=_TRUTH, label="truth")
            for one in reconstructions:
                axis.plot(
                    time, one.x[window, :, row], color=one.solver.colour,
                    linestyle=one.solver.line, linewidth=1.0,
                )  # fmt: skip
            seen = observation[window, :, row]
            if np.isfinite(seen).any():
                axis.plot(time, seen, ".", color=_OBSERVATION, markersize=4, label="observations")
            axis.margins(x=0.01)
        axes[-1, column].set_xlabel("time (model units)")
    for row in range(size):
        axes[row, 0].set_ylabel(f"$x_{{{row + 1}}}$")
    known = [axis for axis in axes[:, 0] if len(axis.get_legend_handles_labels()[1]) > 1]
    _legend(figure, known[0] if known else axes[0, 0])
    figure.align_ylabels(list(axes[:, 0]))


def _legend(figure: FigureBase, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside upper center", ncols=min(len(handles), 4))


@contextmanager
def _figure(width: float, height: float) -> Iterator[Figure]:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        yield Figure(figsize=(width, height), layout="constrained")
