"""Continue an analysis: the model from the last analysed state of each window.

Where the analysis has the covariance of its last step, the forecast has standard deviations, by
the tangent linear along the trajectory: P ← M P Mᵀ + Q, with the model error Q of the analysis.
Where it has an ensemble, the model continues the members, with noise of covariance Q, and the
forecast is their mean and standard deviation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

import pyvda
from pyvda import names
from pyvda.climate.ensemble import CYCLE, Ensemble
from pyvda.cycling import continued, propagated
from pyvda.engine import CostSettings, Engine, engine_for
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.evaluate import model_of
from pyvda.io import netcdf
from pyvda.io.cf import layout, times
from pyvda.io.sources.open import opened
from pyvda.io.writing.model_attributes import expect_model
from pyvda.methods import Options
from pyvda.models.model import Model, whole
from pyvda.notices import notice
from pyvda.settings import configured


def forecast(
    analysis: Any,
    steps: int,
    *,
    model: str | Model | None = None,
    parameters: Mapping[str, Any] | None = None,
    engine: str | None = None,
) -> xr.Dataset:
    """Return the forecast of each window.

    Parameters
    ----------
    analysis : Dataset or path
        As `assimilate` makes it. Of a series in several windows, its end is continued.
    steps : int
        Number of steps after the last one of the analysis.
    model : str or Model, optional
        The model that made the analysis. Default: pyvda's own of the name that the analysis states.
    parameters : mapping, optional
        Values by name of parameters, which may differ from those of the analysis; the attribute
        `pyvda_forecast_parameters` then says so. What is not named is as the analysis states.
    engine : str, optional
        See `pyvda.engine.get_engine`.

    Returns
    -------
    Dataset
        `forecast` (window, time, state), or the variables of the analysis, NaN where the analysis
        is and from where the model diverges; where covariances or ensembles are known also
        `state_stdev` and, at the last step, `final_covariance` or `final_ensemble`, so that a
        forecast can be the background of an analysis. Time goes on from that of the analysis.

    Raises
    ------
    InputError
        The analysis was not made by pyvda, the model is not the one that made it, the number of
        steps is not positive, or the model diverges from every window.

    Examples
    --------
    >>> forecast(analysis, 100)  # doctest: +SKIP
    """
    analysis = opened(analysis, "the argument analysis")
    steps = whole("the number of steps", steps, 1)
    expect_model(analysis, "a forecast continues the model")
    ds = layout.restacked(analysis)
    if names.ANALYSIS not in ds:
        raise InputError(
            "the file has no variable 'analysis', nor the variables that pyvda_configuration and "
            "pyvda_state describe; give one made by `pyvda assimilate`"
        )
    chosen, step = model_of(ds, model, parameters, may_change=True)
    ds = ds.assign_attrs(_changed_parameters(ds, chosen))
    windowed = names.WINDOW in ds[names.ANALYSIS].dims
    order = names.DIMENSIONS if windowed else names.DIMENSIONS[1:]
    last = ds[names.ANALYSIS].transpose(*order).values[..., -1, :]
    state = np.ascontiguousarray(np.atleast_2d(last), dtype=float)
    cost = CostSettings(step)
    running = engine_for(chosen, engine)
    options = _options(analysis)
    if names.FINAL_ENSEMBLE in ds or names.FINAL_COVARIANCE in ds:
        _expect_model_error(options)
    if names.FINAL_ENSEMBLE in ds:
        of_members = _of_ensembles(ds, len(state), steps, options, chosen, cost, running)
        return _labelled(ds, xr.Dataset(of_members), steps, windowed)
    covariance = _covariance(ds, len(state), windowed)
    on_land = ~layout.sea(ds, state.shape[1])
    state[:, on_land] = 0.0  # NaN in the file, and again on output
    rows = np.flatnonzero(np.isfinite(state).all(1))
    found = np.full((len(state), steps, chosen.state_size), np.nan)
    stdev = np.full_like(found, np.nan)
    x, P = state[rows], None if covariance is None else covariance[rows]
    model_error = None if P is None else options.model_error_per_step(chosen.state_size)
    for t in range(steps):
        if P is None:
            x = running.forecast(chosen, x, time_step=step)
        else:
            x, P = propagated(x, P, chosen, cost, running)
            P = P + model_error
            stdev[rows, t] = np.sqrt(np.maximum(np.einsum("wii->wi", P), 0.0))
        found[rows, t] = x
        stays = np.isfinite(x).all(1)
        if P is not None:
            stays &= np.isfinite(P).all((1, 2))
        if not stays.all():
            _expect_some(stays, chosen, step, t + 1)
            found[rows[~stays], t] = stdev[rows[~stays], t] = np.nan
            rows, x, P = rows[stays], x[stays], None if P is None else P[stays]
    data: dict[str, Any] = {
        names.ANALYSIS: (names.DIMENSIONS, found, dict(ds[names.ANALYSIS].attrs))
    }
    if covariance is not None and P is not None:
        covariance = np.full_like(covariance, np.nan)
        covariance[rows] = P
        attributes = dict(ds[names.FINAL_COVARIANCE].attrs)
        dims = (names.WINDOW, names.STATE_ROW, names.STATE_COLUMN)
        data[names.FINAL_COVARIANCE] = (dims, covariance, attributes)
        data[names.STATE_STDEV] = (
            names.DIMENSIONS, stdev, names.attributes(names.STATE_STDEV),
        )  # fmt: skip
    return _labelled(ds, xr.Dataset(data), steps, windowed)


def _expect_some(stays: Array, model: Model, time_step: float, steps: int) -> None:
    """Say that the forecast of some windows diverges, and refuse that of all."""
    if not stays.any():
        raise InputError(
            f"{model.name} with time steps of {time_step:g} diverges within {steps} "
            f"step{'s' if steps > 1 else ''} of every analysis; forecast fewer steps, or correct "
            "the time step or the parameters in pyvda_configuration of the analysis"
        )
    count = np.count_nonzero(~stays)
    notice(
        f"the forecast of {count} window{'s' if count > 1 else ''} diverges at step {steps}; it is "
        "NaN from there on"
    )


def _changed_parameters(ds: xr.Dataset, model: Model) -> dict[str, str]:
    """Return the attribute that says which parameters differ from those of the analysis."""
    before = json.loads(ds.attrs["pyvda_configuration"])["model"]["parameters"]
    both = zip(model.parameter_names, model.parameters, before, strict=True)
    said = ", ".join(f"{name}={value!r}" for name, value, other in both if value != other)
    return {"pyvda_forecast_parameters": said} if said else {}


def _of_ensembles(
    ds: xr.Dataset, windows: int, steps: int, options: Options, model: Model, cost: CostSettings,
    engine: Engine,
) -> dict[str, Any]:  # fmt: skip
    """Return mean and standard deviation of the members at each step, and the last members."""
    attributes = ds[names.FINAL_ENSEMBLE].attrs
    dims = (names.WINDOW, *names.OUTPUT_DIMENSIONS[names.FINAL_ENSEMBLE])
    array = ds[names.FINAL_ENSEMBLE]
    array = array if names.WINDOW in array.dims else array.expand_dims(names.WINDOW)
    members = array.transpose(*dims).values.astype(float)[-windows:]
    cycle = int(attributes.get(CYCLE, 1))
    mean = np.full((windows, steps, model.state_size), np.nan)
    stdev, last = np.full_like(mean, np.nan), np.full_like(members, np.nan)
    for w in np.flatnonzero(np.isfinite(members).all((1, 2))):
        start = Ensemble(members[w], cycle)
        for t, later in enumerate(continued(start, steps, options, model, cost, engine)):
            mean[w, t], stdev[w, t], last[w] = later.mean(0), later.std(0, ddof=1), later
    return {
        names.ANALYSIS: (names.DIMENSIONS, mean, dict(ds[names.ANALYSIS].attrs)),
        names.STATE_STDEV: (names.DIMENSIONS, stdev, names.attributes(names.STATE_STDEV)),
        # One more cycle: an analysis that starts here must not repeat the noise.
        names.FINAL_ENSEMBLE: (dims, last, {**attributes, CYCLE: cycle + 1}),
    }


def _covariance(ds: xr.Dataset, windows: int, windowed: bool) -> Array | None:
    """Return the covariance of the last step of each window, None where it is not known."""
    if names.FINAL_COVARIANCE not in ds:
        return None
    array = ds[names.FINAL_COVARIANCE].transpose(..., names.STATE_ROW, names.STATE_COLUMN)
    found = np.asarray(array.values, dtype=float).reshape(-1, *array.shape[-2:])
    return found if windowed else found[-windows:]


def _options(analysis: xr.Dataset) -> Options:
    """Return the options of the analysis, as its configuration states them."""
    try:
        stated = json.loads(analysis.attrs["pyvda_configuration"])
        _, options = configured(stated["method"], stated["options"])
        return options
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"the options of the analysis (pyvda_configuration) cannot be read ({error}); "
            "give a file as `pyvda assimilate` made it"
        ) from None


def _expect_model_error(options: Options) -> None:
    """Refuse a model error that the file only describes (`covariance_input`)."""
    given = getattr(options, "model_error", None)
    if isinstance(given, str) and re.fullmatch(r"\w+ of \d+ components", given):
        raise InputError(
            f"the model error of the analysis, {given}, was given as an array or an operator, "
            "which its file does not hold, so that the spread of a forecast is not known; leave "
            "out final_covariance and final_ensemble (ds.drop_vars), or assimilate with the model "
            "error in a file (model_error='Q.npz')"
        )


def _labelled(ds: xr.Dataset, found: xr.Dataset, steps: int, windowed: bool) -> xr.Dataset:
    """Give the forecast the coordinates that follow those of the analysis, and its attributes."""
    found.attrs = {**ds.attrs, "title": f"forecast of {steps} steps"}
    lost = {names.TIME} if windowed else {names.TIME, names.WINDOW}
    coords = {n: c.variable for n, c in ds.coords.items() if not lost & {n, *c.dims}}
    if names.TIME in ds.coords and ds[names.TIME].ndim == 1 and ds.sizes[names.TIME] > 1:
        following = times.later(ds[names.TIME], steps)
        coords[names.TIME] = xr.Variable(names.TIME, following, ds[names.TIME].attrs)
        coords[names.TIME].encoding = dict(ds[names.TIME].encoding)
    dims = {*found.dims, *(layout.own_dims(found) or ())}
    found = found.assign_coords({n: c for n, c in coords.items() if set(c.dims) <= dims})
    if not windowed:
        ends = [n for n in (names.FINAL_COVARIANCE, names.FINAL_ENSEMBLE) if n in found]
        kept = found[ends]
        found = found.isel({names.WINDOW: 0}, drop=True).drop_vars(ends).assign(kept)
    found = layout.restored(found)
    if names.ANALYSIS in found:
        found = found.rename({names.ANALYSIS: names.FORECAST})
        found[names.FORECAST].attrs |= names.attributes(names.FORECAST)
        found[names.FORECAST].attrs.pop("ancillary_variables", None)
    return netcdf.append_history(found, f"pyvda {pyvda.__version__} forecast, {steps} steps")
