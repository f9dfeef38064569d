"""Figure of the judgements of an analysis: fit, innovations, their mean, reasons for doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.errors import InputError
from pyvda.io.cf.layout import restacked
from pyvda.judgements.report import Report, report_on
from pyvda.plotting.style import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FOUND, _EXPECTED = "#0072B2", "#D55E00"
_BINS = 30


def plot_diagnosis(analysis: xr.Dataset) -> Figure:
    """Draw the fit of the windows, the innovations and their mean, and the reasons for doubt.

    Parameters
    ----------
    analysis : Dataset
        As made by `pyvda.assimilate`.

    Raises
    ------
    InputError
        There is no innovation.
    """
    analysis = restacked(analysis)
    innovation = np.asarray(analysis[names.INNOVATION].values, float)
    innovation = innovation[None] if innovation.ndim == 2 else innovation
    if not np.isfinite(innovation).any():
        raise InputError(
            "the analysis has no innovation that could be drawn; give one with observations"
        )
    report = report_on(analysis)
    with new_figure() as figure:
        figure.set_size_inches(6.6, 4.6)
        axes = figure.subplots(2, 2).ravel()
        _draw_fit(axes[0], np.atleast_1d(analysis[names.FIT].values), report)
        _draw_innovations(axes[1], innovation)
        _draw_mean(axes[2], innovation)
        _draw_doubts(axes[3], report)
    return figure


def _draw_fit(axis: Axes, fit: np.ndarray, report: Report) -> None:
    known = fit[np.isfinite(fit)]
    if len(known):
        axis.hist(np.minimum(known, 4.0), bins=_BINS, color=_FOUND)
    axis.axvline(1.0, color=_EXPECTED)
    mean = "" if report.fit is None else f", mean {report.fit}"
    axis.set_xlabel(f"fit (1 is expected{mean})")
    axis.set_ylabel("windows")


def _draw_innovations(axis: Axes, innovation: np.ndarray) -> None:
    values = innovation[np.isfinite(innovation)]
    size = np.sqrt(np.mean(values**2)) or 1.0
    axis.hist(np.clip(values / size, -5, 5), bins=_BINS, density=True, color=_FOUND)
    x = np.linspace(-5, 5, 201)
    axis.plot(x, np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), color=_EXPECTED)
    axis.set_yscale("log")
    axis.set_ylim(1e-4, 2)
    axis.set_xlabel("innovation / root mean square")
    axis.set_ylabel("density")


def _draw_mean(axis: Axes, innovation: np.ndarray) -> None:
    there = np.isfinite(innovation)
    number = there.sum((0, 2))
    steps = np.flatnonzero(number)
    total = np.where(there, innovation, 0.0).sum((0, 2))
    spread = np.sqrt(np.nanmean(innovation**2))
    axis.errorbar(
        steps, total[steps] / number[steps], spread / np.sqrt(number[steps]), fmt=".", color=_FOUND,
        markersize=3, linewidth=0.6,
    )  # fmt: skip
    axis.axhline(0.0, color=_EXPECTED)
    axis.set_xlabel("step")
    axis.set_ylabel("mean innovation")


def _draw_doubts(axis: Axes, report: Report) -> None:
    shown = list(report.doubts.items()) or [("no doubt", 0)]
    axis.barh([name.replace("_", " ") for name, _ in shown], [n for _, n in shown], color=_FOUND)
    axis.set_xlim(0, report.windows)
    axis.set_xlabel(f"windows (of {report.windows})")
