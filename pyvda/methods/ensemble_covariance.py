"""Hybrid B, which changes from window to window: a localised ensemble and a static operator.

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

from pyvda import names
from pyvda.climate.climatology import climatology
from pyvda.engine import Engine
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.models.model import Model
from pyvda.operators.covariance import Covariance, Dense, FromEnsemble
from pyvda.operators.fitted import fitted_spectral
from pyvda.operators.localisation import REACH, is_wall, taper
from pyvda.operators.spectral import Boundary
from pyvda.operators.sum import Sum
from pyvda.state.space import StateSpace, Variable
from pyvda.validation_errors import brief

WEIGHT = 0.5  # of an ensemble in B
# Where the rest is fitted to the members: the smaller one, since the sample itself is noisy.
_WEIGHT_BESIDE_FIT = 0.2
# Of variances fitted to members: points of averages, and the share of their mean added.
_SMOOTHING, _FLOOR = 4, 0.09
_FEWEST_POINTS = 5  # along a side of a rectangle with a spectrum


def _validated(given: Any) -> Any:
    if isinstance(given, Covariance):
        return given
    value = float(given) if isinstance(given, int | float | str) else np.nan
    if not 0 <= value <= 1e9:
        raise ValueError(
            f"found {brief(given)}, expected a length in grid spacings, 0 for no taper, or a "
            "correlation"
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
    chosen = taper_of(model, localisation) if isinstance(localisation, float) else localisation
    sample = FromEnsemble(members, chosen)
    if weight == 1:
        return sample
    if static is None:
        raise InputError(
            f"the ensemble has the weight {weight:g} in B, but there is no covariance for the rest;"
            " give covariance, such as pyvda.operators.Spectral, or ensemble_weight 1"
        )
    return Sum([static, sample], [1 - weight, weight])


def hybrid_of_climatology(
    members: Array, weight: float | None, localisation: Any, model: Model, engine: Engine
) -> Covariance:
    """Return B of the members (N, D) and of a static covariance with their mean variance.

    For one variable on a rectangle the static part has the members' standard deviations, smoothed,
    and their spectrum: the errors of forecasts are smaller than the climatology's anomalies, and
    smoother in their size but not in space. For other states it is the climatological covariance
    times a factor. Where the members' mean variance is above the climatology's, both parts are
    reduced to that. Without `weight` that of the members is 0.2 on a rectangle, else 0.5.

    Raises
    ------
    InputError
        As `of_climatology` and `taper_of`, or the members are all equal.
    """
    known = of_climatology(model, engine)
    spread, usual = members.var(0, ddof=1)[model.sea], known.variance()[model.sea]
    factor = float(spread.sum() / usual.sum())
    if not factor > 0:
        raise InputError(
            "the members of the background's ensemble are all equal, so that they give B no "
            "variance; give covariance"
        )
    grid = _rectangle(model)
    static: Covariance
    if grid is None:
        static, usual_weight = Sum([known], [factor]), WEIGHT
    else:
        static = fitted_spectral(members, *grid, smoothing=_SMOOTHING, floor=_FLOOR)
        static, usual_weight = Sum([static], [1 / (1 + _FLOOR)]), _WEIGHT_BESIDE_FIT
    B = blended(static, members, weight or usual_weight, localisation, model)
    return B if factor <= 1 else Sum([B], [1 / factor])


def taper_of(model: Model, length: float) -> Covariance | None:
    """Return the taper on the grid of a model's state; None for the length 0, and without a grid.

    Parameters
    ----------
    model : Model
    length : float
        L, in grid spacings, of exp(−d²/2L²), which the taper resembles.

    Raises
    ------
    InputError
        The variables of the state have different grids.
    """
    space = model.state_space
    if space is None:  # a line
        space = StateSpace((Variable(names.STATE, (names.STATE,), (model.state_size,)),))
    if not length or not space.sizes:
        return None
    return taper(space, REACH * length)


def of_climatology(model: Model, engine: Engine) -> Covariance:
    """Return the climatological covariance, of a state too large for a matrix by its spectrum.

    Raises
    ------
    InputError
        A state too large for a matrix is not one variable on a rectangle, at most with land on its
        edges.
    """
    known = climatology(model, engine)
    if known.covariance is not None:
        return Dense(known.covariance)
    grid = _rectangle(model)
    if grid is not None:
        return fitted_spectral(known.states, *grid)
    raise InputError(
        f"the climatological covariance of {model.name} is not known as an operator; give "
        "background and covariance"
    )


def _rectangle(model: Model) -> tuple[tuple[int, ...], Boundary] | None:
    """Return shape and boundary of a state that is one variable on a rectangle, else None."""
    space = model.state_space
    if space is None or len(space.variables) != 1 or len(space.variables[0].shape) != 2:
        return None
    shape = space.variables[0].shape
    if min(shape) < _FEWEST_POINTS:
        return None
    dry = ~np.asarray(model.sea).reshape(shape)
    if not dry.any():
        return shape, "open"
    return (shape, "wall") if is_wall(dry) else None
