"""Estimated parameters of a model in an analysis: `(window, parameter)`, with the model's names."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from pyvda import names
from pyvda.models import PARAMETER_NAMES, Model


def separated(
    per_window: Mapping[str, np.ndarray],
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return what has one value for each window, (W,), and what has one for each parameter."""
    of_parameters = {n: v for n, v in per_window.items() if n in names.OF_PARAMETERS}
    return {n: v for n, v in per_window.items() if n not in of_parameters}, of_parameters


def labelled(
    analysis: xr.Dataset, model: Model, of_parameters: Mapping[str, np.ndarray]
) -> xr.Dataset:
    """Add parameters (W, P), under names of `names.OF_PARAMETERS`, and the coordinate they need."""
    if not of_parameters:
        return analysis
    dims = (names.WINDOW, names.PARAMETER)
    known = np.array(PARAMETER_NAMES[model.name], dtype=object)
    attributes = names.attributes(names.PARAMETER)
    added = {n: (dims, np.asarray(v, float), names.attributes(n)) for n, v in of_parameters.items()}
    return analysis.assign_coords({names.PARAMETER: (names.PARAMETER, known, attributes)}).assign(
        added
    )
