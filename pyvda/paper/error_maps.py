"""The paper's figure 4: states and absolute errors of one window as maps of time and component.

All states share one colour scale, and all errors another one that ends at a high percentile: on the
scale of the states they would hardly be visible.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pyvda.paper.figures import Reconstruction, page
from pyvda.plotting.window_axes import without_gaps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LIMIT = 99  # percentile of the absolute errors at which the colours end
_ACROSS = 4  # maps side by side


def typical_window(reconstructions: Sequence[Reconstruction], truth: np.ndarray) -> int:
    """Return the window whose error is nearest to the median of the best solver by median."""
    each = [one.r_score(truth) for one in reconstructions]
    best = min(each, key=lambda r: float(np.median(r)))
    return int(np.abs(best - np.median(best)).argmin())


def error_limit(reconstructions: Sequence[Reconstruction], truth: np.ndarray, window: int) -> float:
    """Return where the colours of the error maps of a window end."""
    return _limit([np.abs(one.x[window] - truth[window]) for one in reconstructions])


def _limit(errors: Sequence[np.ndarray]) -> float:
    """Return a high percentile of all absolute errors."""
    return float(np.percentile(errors, _LIMIT)) if len(errors) else 1.0


def state_and_error_maps(data: xr.Dataset) -> Figure:
    """Draw states and absolute errors of a window over time and component.

    The truth comes first, above its observations; then each analysis above its error.

    Parameters
    ----------
    data : Dataset
        See `pyvda.paper.figure_data.of_maps`.
    """
    true, seen, time = (data[name].values for name in ("truth", "observation", "time"))
    pairs = [("truth", true, "observations", without_gaps(np.arange(len(seen)), seen)[1])]
    differences: list[np.ndarray] = []
    for label, x in zip(data["solver"].values, data["analysis"].values, strict=True):
        differences.append(np.abs(x - true))
        mean = np.mean((x - true) ** 2)
        pairs.append((str(label), x, f"|error|, R = {mean:.2f}", differences[-1]))
    largest, limit = float(np.abs(true).max()), _limit(differences)
    of_states: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest}
    of_errors: dict[str, Any] = {"cmap": "magma_r", "vmin": 0.0, "vmax": limit}
    across = min(_ACROSS, len(pairs))
    groups = -(-len(pairs) // across)
    with page(0.9 + 1.6 * across, 0.3 + 2.9 * groups) as figure:
        axes = figure.subplots(2 * groups, across, sharex=True, sharey=True, squeeze=False)
        place: dict[str, Any] = {
            "origin": "lower", "aspect": "auto", "interpolation": "nearest",
            "extent": (0.0, len(true) * (time[1] - time[0]), 0.5, true.shape[1] + 0.5),
        }  # fmt: skip
        for n, (above, state, below, other) in enumerate(pairs):
            row, column = divmod(n, across)
            upper, lower = axes[2 * row : 2 * row + 2, column]
            states = upper.imshow(state.T, **of_states, **place)
            errors = lower.imshow(other.T, **(of_errors if n else of_states), **place)
            lower.set_facecolor("0.88")  # where nothing was observed
            upper.set_title(above)
            lower.set_title(below)
        for n, axis in enumerate(axes.ravel()):
            axis.spines[:].set_visible(False)
            row, column = divmod(n, across)
            axis.set_visible((row // 2) * across + column < len(pairs))
            if row == len(axes) - 1:
                axis.set_xlabel("time (model units)")
            if column == 0:
                axis.set_ylabel("component")
        bars: dict[str, Any] = {"fraction": 0.03, "aspect": 18 * groups}
        figure.colorbar(states, ax=axes[:groups], **bars).set_label("state")
        figure.colorbar(errors, ax=axes[groups:], extend="max", **bars).set_label(
            f"absolute error ({_LIMIT} % are below {limit:.2g})"
        )
    return figure
