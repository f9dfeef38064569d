"""Backgrounds that are the end of an earlier analysis, by its covariance or its ensemble."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyvda import names
from pyvda.climate.background import Background, ExpectedState, regularised
from pyvda.climate.ensemble import Ensemble, ensembles_in
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.models.model import Model
from pyvda.notices import notice
from pyvda.state.space import StateSpace

if TYPE_CHECKING:
    import xarray as xr

_FILES = (".nc", ".nc4", ".cdf", ".zarr")


def is_analysis(given: Any) -> bool:
    """Tell whether a background is an analysis, as a Dataset or in a file."""
    if isinstance(given, str):
        return Path(given).suffix in _FILES
    return hasattr(given, "data_vars")


def ensemble_in(given: Any) -> Ensemble | None:
    """Return the first ensemble of a background that is an analysis with members, else None."""
    found = ensembles_in(given) if is_analysis(given) else None
    return found[0] if found else None


def member_count(given: Any, members: int, *, chosen: bool) -> int:
    """Return the members that a method starts from: those of its background, else `members`.

    Raises
    ------
    InputError
        The user has chosen another number than the background has.
    """
    ensemble = ensemble_in(given)
    if ensemble is None or len(ensemble.members) == members:
        return members
    count = len(ensemble.members)
    if chosen:
        raise InputError(
            f"members is {members}, but the background is an ensemble of {count}; leave members out"
        )
    return count


def of_analysis(analysis: xr.Dataset) -> list[Background]:
    """Return the state of each window at its last step and its covariance.

    An ensemble gives its mean and its sample covariance.

    Raises
    ------
    InputError
        The Dataset is not an analysis with `final_covariance` or `final_ensemble`, a window has no
        finite one, or the members are too few for a covariance.
    """
    from pyvda.io.cf.layout import restacked, sea

    if names.FORECAST in analysis and names.ANALYSIS not in analysis:
        analysis = analysis.rename({names.FORECAST: names.ANALYSIS})
    ds = restacked(analysis)
    ensembles = None if names.FINAL_COVARIANCE in ds else ensembles_in(analysis)
    if ensembles:
        mean = np.stack([one.mean for one in ensembles])
        B = np.stack([one.covariance() for one in ensembles])
    else:
        mean, B = _stated(ds)
    land = ~sea(analysis, mean.shape[-1])
    if land.any():
        mean, B = np.where(land, 0.0, mean), B.copy()
        B[:, land] = B[:, :, land] = 0.0
        B[:, land, land] = 1.0
    bad = ~(np.isfinite(B).all((1, 2)) & np.isfinite(mean).all(1))
    if bad.any():
        raise InputError(
            f"window {int(bad.argmax())} of the analysis has no finite state and covariance at its "
            "end, so that it cannot be a background; leave the window out"
        )
    return [Background.full(m, regularised(C)) for m, C in zip(mean, B, strict=True)]


def expect_made_by(analysis: xr.Dataset, model: Model) -> None:
    """Compare the model of an analysis, as far as its attributes state one, with `model`.

    Parameters
    ----------
    analysis : Dataset
        Whose end is to be the background of a window of `model`; another name of its model is said
        by a notice, because a model may have been renamed or changed.

    Raises
    ------
    InputError
        The state has other variables or other lengths of their dimensions, or another order.
    """
    from pyvda.io.cf.layout import state_space
    from pyvda.io.cf.orientation import differing

    own, made = model.state_space, state_space(analysis)
    if own is not None and made is not None:
        theirs, ours = ([(v.name, v.shape) for v in space.variables] for space in (made, own))
        if theirs != ours:
            raise InputError(
                f"the background is an analysis of the state {_in_words(made)}, and that of "
                f"{model.name} is {_in_words(own)}; give an analysis of this model"
            )
    for dim, points in () if own is None else own.coordinates:
        at = differing(analysis, dim, np.asarray(points))
        if at is not None:
            notice(
                f"the background's coordinate {dim} is {analysis[dim].values[at]:g} at the point "
                f"{at} from 0, where {model.name} has {points[at]:g}; its points are taken for the "
                "model's in their order"
            )
    try:
        name = json.loads(analysis.attrs["pyvda_configuration"])["model"]["name"]
    except (KeyError, TypeError, ValueError):
        return
    if name != model.name:
        notice(
            f"the background is an analysis with the model {name}; it is continued with "
            f"{model.name}"
        )


def _in_words(space: StateSpace) -> str:
    """Return variables and lengths, as "u (y=3, x=4), c"."""
    sizes = [", ".join(f"{dim}={n}" for dim, n in v.sizes.items()) for v in space.variables]
    return ", ".join(
        f"{v.name} ({size})" if size else v.name
        for v, size in zip(space.variables, sizes, strict=True)
    )


def states_of(analysis: xr.Dataset) -> list[ExpectedState]:
    """Return the state of each window at its last step, 0 on land, without its covariance.

    Raises
    ------
    InputError
        The Dataset is no analysis or forecast, or a window ends with a state that is not finite.
    """
    from pyvda.io.cf.layout import restacked, sea

    ds = restacked(analysis)
    name = names.ANALYSIS if names.ANALYSIS in ds else names.FORECAST
    if name not in ds:
        raise InputError(
            "the background has no analysis; give one as `pyvda assimilate` or `pyvda forecast` "
            "made it, or a state"
        )
    last = ds[name].isel({names.TIME: -1}).transpose(..., names.STATE)
    mean = np.asarray(last.values, float).reshape(-1, last.sizes[names.STATE])
    mean = np.where(sea(analysis, mean.shape[1]), mean, 0.0)
    bad = ~np.isfinite(mean).all(1)
    if bad.any():
        raise InputError(
            f"window {int(bad.argmax())} of the analysis has no finite state at its end, so that "
            "it cannot be a background; leave the window out"
        )
    return [ExpectedState(state) for state in mean]


def _stated(ds: xr.Dataset) -> tuple[Array, Array]:
    """Return the state of each window at its last step, (W, D), and its `final_covariance`."""
    if names.ANALYSIS not in ds or names.FINAL_COVARIANCE not in ds:
        missing = names.ANALYSIS if names.ANALYSIS not in ds else names.FINAL_COVARIANCE
        raise InputError(
            f"the background has no variable {missing}; give an analysis of gauss-newton (form "
            "statistical) or strong-constraint with final_covariance (--set final_covariance=true),"
            " or of ensemble-smoother or posterior-mean with final_ensemble (--set "
            "final_ensemble=true)"
        )
    last = ds[names.ANALYSIS].isel({names.TIME: -1})
    covariance = ds[names.FINAL_COVARIANCE].transpose(..., names.STATE_ROW, names.STATE_COLUMN)
    B = covariance.values.reshape(-1, *covariance.shape[-2:])
    if names.WINDOW not in last.dims:  # windows of a series, merged: its end is that of the last
        B = B[-1:]
    mean = last.transpose(..., names.STATE).values.reshape(-1, last.sizes[names.STATE])
    return mean, B
