"""The numbers of a figure and the weights it was made with, as JSON beside it.

A test compares the weights with the shipped ones, so that no figure becomes outdated unnoticed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyvda.io.writing.atomic import write_json
from pyvda.paper.error_maps import error_limit
from pyvda.paper.figures import Pathway, Reconstruction

_QUANTILES = (0.5, 0.9, 0.99, 0.999)


def write(
    path: Path,
    *,
    sets: Mapping[str, int],
    quick: bool,
    weights: Mapping[str, str],
    numbers: Mapping[str, Any],
) -> None:
    """Write the JSON of a figure.

    Parameters
    ----------
    path : path
    sets : mapping
        Setting to number of its test windows.
    quick : bool
        Whether descents were cut short.
    weights : mapping
        Name of a shipped model to its SHA-256.
    numbers : mapping
        What is drawn, as the functions below return it.
    """
    content = {
        "format": 1,
        "figure": path.stem,
        "windows": dict(sets),
        "quick": quick,
        "weights": dict(sorted(weights.items())),
        **numbers,
    }
    write_json(path, content)


def of_pathways(pathways: Mapping[str, Sequence[Pathway]]) -> dict[str, Any]:
    """Return the numbers of figure 2: all of its lines."""
    return {
        "pathways": {
            title: {
                one.solver.label: {
                    "iteration": _plain(one.iteration),
                    "r_score": _plain(one.r_score),
                    "four_dvar_score": _plain(one.cost),
                }
                for one in of_solvers
            }
            for title, of_solvers in pathways.items()
        }
    }


def of_errors(found: Sequence[Reconstruction], truth: np.ndarray) -> dict[str, Any]:
    """Return the numbers of figure 3: quantiles of the errors of each component."""
    return {
        "quantiles": list(_QUANTILES),
        "solvers": {
            one.solver.label: {
                "r_score": _plain(one.r_score(truth).mean()),
                "absolute_error": _plain(
                    np.quantile(np.abs(one.x - truth), _QUANTILES, axis=(0, 1)).T
                ),
            }
            for one in found
        },
    }


def of_maps(found: Sequence[Reconstruction], truth: np.ndarray, window: int) -> dict[str, Any]:
    """Return the numbers of figure 4: the window, its R-scores, and where the colours end."""
    return {
        "window": window,
        "error_limit": _plain(error_limit(found, truth, window)),
        "solvers": {
            one.solver.label: {
                "r_score": _plain(one.r_score(truth)[window]),
                "r_score_of_all_windows": _plain(one.r_score(truth).mean()),
            }
            for one in found
        },
    }


def _plain(values: Any) -> Any:
    """Return numbers to six digits, None if not finite."""
    if np.ndim(values):
        return [_plain(value) for value in values]
    return float(f"{values:.6g}") if np.isfinite(values) else None
