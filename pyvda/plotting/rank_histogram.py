"""Rank histogram: where the truth falls in the distribution that an analysis states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from scipy.special import ndtr

from pyvda import names
from pyvda.errors import InputError
from pyvda.io.pairs import aligned, paired
from pyvda.plotting.fields import as_analysis
from pyvda.plotting.style import BLACK, BLUE, axes_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS = 20


def plot_rank_histogram(
    analysis: xr.Dataset, truth: xr.Dataset | None, *, ax: Axes | None = None
) -> Axes:
    """Draw the histogram of the truth's rank in the distribution that the analysis states.

    The rank of a value is the probability that N(analysis, state_stdev²) gives to smaller ones (the
    probability integral transform; the limit of an ensemble's rank histogram for many members). The
    histogram is flat where errors are as large as stated, U-shaped where they are larger, a dome
    where they are smaller, and sloped where the analysis is biased.

    Parameters
    ----------
    analysis : Dataset
        With `state_stdev`, or the standard deviations of its own variables.
    truth : Dataset
    ax : Axes, optional
        Default: those of a new figure, the attribute `figure` of the result.

    Raises
    ------
    InputError
        The truth is not given or is not that of the analysis, or no standard deviation is known.
    """
    if truth is None:
        raise InputError("a rank histogram compares with the truth; give it (--truth)")
    standardised = np.concatenate([_standardised(*parts) for parts in _stated(analysis, truth)])
    if not len(standardised):
        raise InputError("no value has both a truth and a standard deviation; nothing to draw")
    with axes_of(ax, (3.6, 2.4)) as axis:
        axis.hist(ndtr(standardised), bins=BINS, range=(0, 1), density=True, color=BLUE)
        axis.axhline(1.0, color=BLACK, linewidth=0.9)
        axis.set_xlim(0, 1)
        axis.set_xlabel("rank of the truth in the stated distribution")
        axis.set_ylabel("density")
        axis.set_title(f"mean (error / σ)² = {np.mean(standardised**2):.2f}")
    return axis


def _stated(analysis: xr.Dataset, truth: xr.Dataset) -> Iterator[tuple[xr.DataArray, ...]]:
    """Yield mean, standard deviation and truth of each variable that has all three."""
    stdevs = {f"{name}_stdev": (name, name) for name in map(str, analysis.data_vars)}
    stdevs[names.STATE_STDEV] = (names.ANALYSIS, names.TRUTH)
    analysis = as_analysis(analysis)
    found = [stdev for stdev in stdevs if stdev in analysis]
    if not found:
        raise InputError(
            "the analysis has no standard deviation; choose a method that states one, such as "
            "strong-constraint"
        )
    for stdev in found:
        mean, true = stdevs[stdev]
        if true not in truth:
            raise InputError(
                f"the file of the truth has no variable {true!r}, but "
                f"{', '.join(map(str, truth.data_vars))}"
            )
        here = aligned(truth, analysis, map(str, analysis[mean].dims))[true]
        yield analysis[mean], analysis[stdev], paired(here, analysis[mean])


def _standardised(mean: xr.DataArray, stdev: xr.DataArray, true: xr.DataArray) -> np.ndarray:
    departure, stated = true.values - mean.values, stdev.transpose(*mean.dims).values
    known = np.isfinite(departure) & np.isfinite(stated) & (stated > 0)
    return np.asarray(departure[known] / stated[known], float)
