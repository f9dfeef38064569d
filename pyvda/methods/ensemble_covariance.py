"""B with a part that changes from window to window: a localised ensemble beside a static operator.

    B = α [(1 − w) B_static + w ρ ∘ P_ensemble]

with the inflation α, the weight w of the ensemble and the taper ρ.

References
----------
T. M. Hamill and C. Snyder, Mon. Wea. Rev. 128 (2000), 2905-2919, for the hybrid.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, PlainSerializer

from pyvda.climate.climatology import climatology
from pyvda.engine import Engine
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.models.model import Model
from pyvda.operators.covariance import Covariance, FromEnsemble
from pyvda.operators.fitted import fitted_spectral
from pyvda.operators.sum import Sum
from pyvda.operators.taper import Taper


def _validated(given: Any) -> Any:
    if isinstance(given, Covariance):
        return given
    value = float(given) if isinstance(given, int | float | str) else np.nan
    if not 0 <= value <= 1e9:
        raise ValueError(
            f"found {given!r}, expected a length in grid spacings, 0 for no taper, or a correlation"
        )
    return value


def _plain(given: Any) -> Any:
    return given if isinstance(given, float) else f"{type(given).__name__} of {given.size}"


Localisation = Annotated[Any, BeforeValidator(_validated), PlainSerializer(_plain)]
"""An option of a method: the length of a taper, or a correlation operator."""


def blended(
    static: Covariance | None, members: Array, weight: float, localisation: Any, model: Model
) -> Covariance:
    """Return B of a static operator and the members (N, D) of an ensemble, with the given weight.

    Raises
    ------
    InputError
        The weight leaves a part to a static operator, and there is none; or see `taper_of`.
    """
    taper = taper_of(model, localisation) if isinstance(localisation, float) else localisation
    sample = FromEnsemble(members, taper)
    if weight == 1:
        return sample
    if static is None:
        raise InputError(
            f"the ensemble has the weight {weight:g} in B, but there is no covariance for the rest;"
            " give covariance, such as pyvda.operators.Spectral, or ensemble_weight 1"
        )
    return Sum([static, sample], [1 - weight, weight])


def taper_of(model: Model, length: float) -> Taper | None:
    """Return the taper on the grid of a model's state; None for the length 0.

    Raises
    ------
    InputError
        The variables of the state have different shapes.
    """
    if not length:
        return None
    space = model.state_space
    shapes = {(model.state_size,)} if space is None else {v.shape or (1,) for v in space.variables}
    if len(shapes) > 1:
        raise InputError(
            f"the variables of {model.name} have different shapes, for which there is no taper; "
            "give localisation=0, or a correlation operator as localisation"
        )
    return Taper(shapes.pop(), length, 1 if space is None else len(space.variables))


def of_climatology(model: Model, engine: Engine) -> Covariance:
    """Return the climatological covariance of a state too large for a matrix, by its spectrum.

    Raises
    ------
    InputError
        The state is not one variable on a rectangle, at most with land on its edges.
    """
    space = model.state_space
    if space is not None and len(space.variables) == 1 and len(space.variables[0].shape) == 2:
        shape = space.variables[0].shape
        sea = np.asarray(model.sea).reshape(shape)
        inside = np.zeros_like(sea)
        inside[1:-1, 1:-1] = True
        if sea.all() or (sea == inside).all():
            states = climatology(model, engine).states
            return fitted_spectral(states, shape, "open" if sea.all() else "wall")
    raise InputError(
        f"the climatological covariance of {model.name} is not known as an operator; give "
        "background and covariance"
    )
