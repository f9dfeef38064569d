"""What the paper's figures 3 and 4 draw, as Datasets that are stored beside the images.

Analyses of hundreds of windows take minutes; what a figure shows of them is small, and the figure
can be drawn again from its file. The numbers of figure 2 are in `pyvda.paper.figure_numbers`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.io.writing.save import save_analysis
from pyvda.paper.error_density import error_density
from pyvda.paper.figures import Reconstruction

_PLACES = 241  # points at which a density is drawn
_RARE = 0.001  # largest share of errors beyond the ends of a density's axis
_LEVELS = 2**12  # of states, which are packed


def of_errors_and_examples(
    found: Sequence[Reconstruction],
    truth: np.ndarray,
    observation: np.ndarray,
    *,
    time_step: float,
    windows: Sequence[int] = (0, 1, 2, 3),
    examples: Sequence[str] = (),
) -> xr.Dataset:
    """Return what figure 3 draws: densities of the errors, and some reconstructions.

    Parameters
    ----------
    found : sequence of Reconstruction
    truth, observation : (W, T, D)
        Observations NaN where there are none.
    time_step : float
        Model time units.
    windows : sequence of int
        Windows shown below the densities.
    examples : sequence of str
        Labels of the solvers shown there. Default: all.

    Returns
    -------
    Dataset
        `error` (component, place) and `density` (solver, component, place); `truth` and
        `observation` (window, time, component), `analysis` (example, window, time, component).
    """
    errors = [one.x - truth for one in found]
    places = np.stack([_places([e[..., c] for e in errors]) for c in range(truth.shape[2])])
    density = [[error_density(e[..., c], at) for c, at in enumerate(places)] for e in errors]
    shown = [one for one in found if not examples or one.solver.label in examples]
    chosen = list(windows)
    return xr.Dataset(
        {
            "error": (("component", "place"), places),
            "density": (("solver", "component", "place"), density),
            "truth": ((names.WINDOW, names.TIME, "component"), truth[chosen]),
            "observation": ((names.WINDOW, names.TIME, "component"), observation[chosen]),
            "analysis": (
                ("example", names.WINDOW, names.TIME, "component"),
                np.array([one.x[chosen] for one in shown]).reshape(-1, *truth[chosen].shape),
            ),
        },
        {
            "solver": [one.solver.label for one in found],
            "example": [one.solver.label for one in shown],
            names.WINDOW: chosen,
            names.TIME: np.arange(truth.shape[1]) * time_step,
        },
    )


def _places(errors: Sequence[np.ndarray]) -> np.ndarray:
    """Return the errors at which densities are drawn, to where all solvers but one have few."""
    ends = sorted(np.quantile(np.abs(error), 1 - _RARE) for error in errors)
    return np.linspace(-ends[-2:][0], ends[-2:][0], _PLACES)


def of_maps(
    found: Sequence[Reconstruction],
    truth: np.ndarray,
    observation: np.ndarray,
    *,
    time_step: float,
    window: int = 0,
) -> xr.Dataset:
    """Return what figure 4 draws, one window; parameters are those of `of_errors_and_examples`.

    Returns
    -------
    Dataset
        `truth` and `observation` (time, component), `analysis` (solver, time, component).
    """
    dims = (names.TIME, "component")
    analyses = np.array([one.x[window] for one in found]).reshape(-1, *truth.shape[1:])
    return xr.Dataset(
        {
            "truth": (dims, truth[window]),
            "observation": (dims, observation[window]),
            "analysis": (("solver", *dims), analyses),
        },
        {
            "solver": [one.solver.label for one in found],
            names.TIME: np.arange(truth.shape[1]) * time_step,
        },
    )


def write(data: xr.Dataset, path: Path) -> None:
    """Write the data of a figure, with states to one part in 2¹² of the largest."""
    encoding: dict[Hashable, dict[str, Any]] = {}
    for name in ("truth", "observation", "analysis"):
        largest = float(np.nanmax(np.abs(data[name].values), initial=1e-30))
        encoding[name] = {
            "dtype": "int16",
            "scale_factor": largest / _LEVELS,
            "_FillValue": -(2**15),
        }
    for name in ("error", "density"):
        if name in data:
            encoding[name] = {"dtype": "float32"}
    save_analysis(data, path, encoding=encoding)
