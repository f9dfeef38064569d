"""Observations as the pipeline takes them: under pyvda's names, validated, data placed in time.

A large file is read twice: once for the statistics that the validation and the reference variance
need, and once to be assimilated.
"""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr

from pyvda.io import conventions, point_observations, validation
from pyvda.io.validation import Statistics
from pyvda.models.model import Model
from pyvda.operators.observation import Mask, ObservationOperator


def prepared(
    observations: xr.Dataset,
    variable: str | Sequence[str] | None,
    model: Model,
    operator: ObservationOperator | None = None,
) -> tuple[xr.Dataset, Statistics]:
    """Return observations as state vectors of the model, in float64, validated.

    Parameters
    ----------
    observations : Dataset
        See `pyvda.assimilate`.
    variable : str or sequence of str, optional
        See `conventions.normalise`.
    model : Model
        Its state space says which variables are meant.
    operator : ObservationOperator, optional
        How the observed values follow from the state. Default: they are its components.

    Raises
    ------
    InputError
        See `conventions.normalise`, `validation.check` and `point_observations.located`.
    """
    if operator is not None and not isinstance(operator, Mask):
        observations, variable = operator.observations(observations, model, variable), None
    ds = conventions.normalise(observations, variable, model.state_space)
    ds = conventions.as_float64(ds)
    found = validation.check(ds)
    return point_observations.located(ds), found
