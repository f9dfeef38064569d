"""The first state and the covariance B of its error, for methods that make no matrix of B."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyvda.climate.background import ExpectedState
from pyvda.climate.background_option import get_background
from pyvda.climate.ensemble import Ensemble
from pyvda.engine import Engine
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.models.model import Model
from pyvda.operators.covariance import Covariance, Dense
from pyvda.operators.covariance_input import as_covariance


def first_state(
    background: Any, covariance: Any, model: Model, engine: Engine
) -> tuple[Array, Covariance | None]:
    """Return the mean (D,) of a background that is not a name, and its covariance.

    Parameters
    ----------
    background : see `pyvda.climate.background_option.StateOption`
    covariance : see `pyvda.operators.covariance_input.CovarianceOption`, or None
        In place of that of the background.
    model : Model
    engine : Engine

    Returns
    -------
    (D,) array, Covariance or None
        None where neither states a covariance.

    Raises
    ------
    InputError
        The background is of another size than the state.
    """
    size, B = model.state_size, None
    if isinstance(background, tuple):
        mean, B = background[0], as_covariance(background[1], size, "background", model.state_space)
    elif isinstance(background, np.ndarray):
        mean = background
    elif isinstance(background, ExpectedState | Ensemble):
        mean = background.mean
    else:
        known = get_background(background, model, engine)
        mean, B = known.mean, Dense(np.linalg.inv(known.precision))
    if mean.size != size:
        raise InputError(
            f"the background has {mean.size} components, and {model.name} has {size}; give a state "
            "of the model's size"
        )
    if covariance is not None:
        B = as_covariance(covariance, size, "covariance", model.state_space)
    return mean, B
