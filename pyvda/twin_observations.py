"""Observations of a twin experiment: noisy, partial values of a truth.

They are made by a preset, by chosen variables or components, or through an observation operator.
For a given seed those of window k are the same for any number of windows and on every machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

import pyvda
from pyvda import names, tracks
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.io.cf.orientation import in_model_order
from pyvda.io.netcdf import append_history
from pyvda.io.sources.open import opened
from pyvda.io.writing import model_attributes
from pyvda.models.model import number, whole
from pyvda.models.presets import Preset
from pyvda.models.registry import numeric, samplings
from pyvda.state.space import StateSpace, Variable
from pyvda.twin import check_seed, named
from pyvda.validation_errors import brief


def observe(
    truth: Any,
    preset: str | Preset | None = None,
    seed: int = 0,
    *,
    variance: float | None = None,
    every: int | None = None,
    components: Sequence[int] | None = None,
    variables: Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
    operator: Any = None,
) -> xr.Dataset:
    """Observe a truth, with noise.

    Parameters
    ----------
    truth : Dataset or path
        With `truth` (window, time, state), or with the variables (window, time, ...) of a model;
        a series is without `window`.
    preset : str or Preset, optional
        Specifies the observed steps and components, and the error variance; or tracks over the
        model's grid, whose observations are point data (see `pyvda.tracks.observe`). Without one,
        half of all components, drawn anew each time, are observed at every fourth step.
    seed : int
        Seed of the noise, and of the choice of components where it is random.
    variance : float, optional
        Error variance in the state's units squared, overriding the preset.
    every : int, optional
        Steps between two observation times, overriding the preset.
    components : sequence of int, optional
        Indices, from 0, of the components of the state vector observed at each of these times.
    variables : sequence of str, optional
        Names of the variables observed at each of these times; an alternative to `components`.
    options : mapping, optional
        Options of a preset with tracks, by name.
    operator : str, path or ObservationOperator, optional
        A `SparseLinear`, `FunctionOperator` or `JuliaFunction`, or the file of one as
        `pyvda.assimilate` takes it: its values are observed, at every fourth step or as `every`
        says.

    Returns
    -------
    Dataset
        `observation`, or the variables of the truth, NaN where nothing is observed. With an
        operator `observation` (window, time, channel).

    Raises
    ------
    InputError
        When the truth is of a model other than the preset's, neither a preset nor a variance is
        given, a number is out of range or a name is unknown.
    """
    check_seed(seed)
    if operator is not None:
        others = {"a preset": preset, "components": components, "variables": variables,
                  "options": options}  # fmt: skip
        return _through(operator, others, truth, seed, variance, every)
    if isinstance(preset, str) and preset in samplings():
        unused = {"every": every, "components": components, "variables": variables}
        given = [word for word, value in unused.items() if value is not None]
        if given:
            raise InputError(
                f"{' and '.join(given)} would have no effect, because the preset {preset} says "
                f"where its tracks lie; leave it out, or give its options: "
                f"{', '.join(samplings()[preset].options)}"
            )
        sampling, truth = samplings()[preset], opened(truth, "the argument truth")
        return tracks.observe(truth, preset, sampling, seed, variance, numeric(options or {}))
    if options:
        raise InputError(
            f"the options {', '.join(options)} belong to presets with tracks; choose one of "
            f"{', '.join(samplings())}, or leave them out"
        )
    name, setting = ("custom", None) if preset is None else named(preset)
    truth = opened(truth, "the argument truth")
    series = names.TRUTH in truth or names.STATE not in truth.dims
    if series and names.TIME in truth.dims and names.WINDOW not in truth.dims:
        found = observe(
            truth.expand_dims(names.WINDOW), preset, seed, variance=variance, every=every,
            components=components, variables=variables,
        )  # fmt: skip
        return found.isel({names.WINDOW: 0}, drop=True)
    state, space = _true_states(truth)
    if setting is not None and state.shape[2] != setting.model.state_size:
        raise InputError(
            f"the truth has a state of {state.shape[2]} components, the preset {name} is for "
            f"{setting.model.state_size}; choose the preset of the same model"
        )
    if variance is None and setting is None:
        raise InputError(
            "neither a preset nor an error variance was given; give one of them (variance)"
        )
    rule = _rule(setting, state.shape[2], variance, every, _chosen(space, components, variables))
    observation = np.full(state.shape, np.nan)
    for window, x in enumerate(state):
        observation[window] = _observed(rule, x, seed, window)
    attrs = {**truth.attrs, "title": f"{names.TWIN_TITLE} {name}: observations", "preset": name,
             "observation_seed": seed, "observation_error_variance": rule.variance}  # fmt: skip
    data: dict[str, Any]
    if space is None:
        attributes = names.attributes(names.OBSERVATION)
        data = {names.OBSERVATION: (names.DIMENSIONS, observation, attributes)}
        ds = xr.Dataset(data, truth[names.TRUTH].coords, attrs)
    else:
        ds = xr.Dataset(dict(space.unstack(observation, truth)), truth.coords, attrs)
    return append_history(ds, f"pyvda {pyvda.__version__} observe {name}, seed {seed}")


def _through(
    given: Any,
    others: Mapping[str, Any],
    truth: Any,
    seed: int,
    variance: float | None,
    every: int | None,
) -> xr.Dataset:
    """Observe a truth through an operator."""
    from pyvda.operators.from_file import resolve as operator_of

    unused = [name for name, value in others.items() if value]
    if unused:
        raise InputError(
            f"{' and '.join(unused)} would have no effect, because the operator says what is "
            "observed; leave it out"
        )
    if variance is None:
        raise InputError("an operator needs the error variance of its values; give variance")
    operator = operator_of(given)
    truth = opened(truth, "the argument truth")
    state = _states_for_operators(truth)
    values = _values_of(operator, truth, state)
    if not np.isfinite(values).all():
        raise InputError("the operator gives NaN or infinite values at the truth; correct it")
    rule = _rule(None, values.shape[2], variance, every, tuple(range(values.shape[2])))
    observation = np.stack([_observed(rule, y, seed, window) for window, y in enumerate(values)])
    attrs = {**truth.attrs, "title": f"{names.TWIN_TITLE} custom: observations",
             "preset": "custom", "observation_seed": seed,
             "observation_error_variance": rule.variance}  # fmt: skip
    dims = (names.WINDOW, names.TIME, names.CHANNEL)
    long_name = {"long_name": "observed value of the observation operator"}
    coords = {name: truth[name] for name in (names.WINDOW, names.TIME) if name in truth.coords}
    ds = xr.Dataset({names.OBSERVATION: (dims, observation, long_name)}, coords, attrs)
    called = given if isinstance(given, str | os.PathLike) else type(operator).__name__
    version = f"pyvda {pyvda.__version__} observe"
    return append_history(ds, f"{version} through {called}, seed {seed}")


def _values_of(operator: Any, truth: xr.Dataset, state: Array) -> Array:
    """Return an operator's values (window, time, channel) for states (window, time, state)."""
    from pyvda.operators.function import FunctionOperator
    from pyvda.operators.sparse_linear import SparseLinear

    if isinstance(operator, SparseLinear):
        H = operator.matrix(model_attributes.required(truth))
        return np.asarray((H @ state.reshape(-1, state.shape[2]).T).T).reshape(
            *state.shape[:2], H.shape[0]
        )
    if isinstance(operator, FunctionOperator):
        count = operator.count(state[0, 0])
        operator.check(state.shape[2], count, state[0, :3])
        return operator.values(state, count)
    raise InputError(
        f"a {type(operator).__name__} does not say how many values it has of a state; give a "
        "SparseLinear operator, a table of one, or a function in torch or Julia"
    )


class _Rule(NamedTuple):
    """The observed steps and components, and the error variance; see `Preset`."""

    every: int
    first: int
    last: int
    variance: float
    components: tuple[int, ...] | None
    random_components: int


def _rule(
    preset: Preset | None,
    size: int,
    variance: float | None,
    every: int | None,
    components: tuple[int, ...] | None,
) -> _Rule:
    if preset is None:
        found = _Rule(4, 0, -1, 0.0, None, max(1, size // 2))
    else:
        found = _Rule(preset.every, preset.first, preset.last, preset.variance,
                      preset.components, preset.random_components)  # fmt: skip
    if variance is not None:
        found = found._replace(variance=number("the error variance", variance))
    if found.variance < 0:
        raise InputError(f"the error variance is {found.variance}, expected at least 0")
    if every is not None:
        found = found._replace(every=whole("the number of steps between observations", every, 1))
    if components is not None:
        found = found._replace(components=components)
    return found


def _true_states(truth: xr.Dataset) -> tuple[Array, StateSpace | None]:
    """Return the states (window, time, state), and the space of a truth with named variables."""
    if names.TRUTH in truth and truth[names.TRUTH].dims == names.DIMENSIONS:
        return truth[names.TRUTH].values, None
    leading = (names.WINDOW, names.TIME)
    variables = tuple(
        Variable(str(key), tuple(map(str, v.dims[2:])), v.shape[2:])
        for key, v in truth.data_vars.items()
        if v.dims[:2] == leading and names.STATE not in v.dims and v.dtype.kind == "f"
    )
    if names.TRUTH in truth or not variables:
        raise InputError(
            f"no variable truth (window, time, state) found, nor variables (window, time, ...), "
            f"but {_listed(truth)}; make them with `pyvda simulate`"
        )
    space = StateSpace(variables)
    return np.asarray(space.stack(truth)), space


def _states_for_operators(truth: xr.Dataset) -> Array:
    """Return the states (window, time, state), in the order of the model where there is one."""
    model = model_attributes.find(truth)
    space = None if model is None else model.state_space
    if space is None or names.WINDOW not in truth.dims or not set(space.names) <= set(truth):
        return _true_states(truth)[0]
    truth = in_model_order(truth, {dim: dim for dim in space.sizes}, space)
    return np.asarray(space.stack(truth))


def _listed(ds: xr.Dataset) -> str:
    found = [f"{name} ({', '.join(map(str, v.dims))})" for name, v in ds.data_vars.items()]
    return ", ".join(found[:4]) + (", ..." if len(found) > 4 else "") or "no variable at all"


def _chosen(
    space: StateSpace | None, components: Sequence[int] | None, variables: Sequence[str] | None
) -> tuple[int, ...] | None:
    """Return the components to observe; None leaves the choice to the preset."""
    for what, given in (("components", components), ("variables", variables)):
        if given is not None and (
            isinstance(given, str | bytes) or not isinstance(given, Iterable) or _is_scalar(given)
        ):
            raise InputError(f"the {what} are {brief(given)}, expected a sequence")
    if variables is None:
        if components is None:
            return None
        chosen = tuple(_component(c) for c in components)
        if not chosen:
            raise InputError("components is empty, expected numbers of components to observe")
        return chosen
    if components is not None:
        raise InputError("both components and variables were given; give one of them")
    variables = [str(name) for name in variables]
    known = {} if space is None else space.slices()
    unknown = [name for name in variables if name not in known]
    found = ", ".join(known) or names.TRUTH
    if not variables:
        raise InputError(f"variables is empty, expected names of variables to observe: {found}")
    if unknown:
        raise InputError(f"the truth has no variable {', '.join(unknown)}, found {found}")
    return tuple(i for name in variables for i in range(known[name].start, known[name].stop))


def _is_scalar(given: Any) -> bool:
    """Tell whether an array has no axis, so that it cannot be iterated over."""
    return hasattr(given, "ndim") and given.ndim == 0


def _component(given: Any) -> int:
    return whole("a component to observe", given, 0)


def _observed(rule: _Rule, x: Array, seed: int, window: int) -> Array:
    rng = np.random.default_rng([seed, window, 1])
    steps, size = x.shape
    times = np.arange(rule.first, (steps if rule.last < 0 else rule.last + 1), rule.every)
    times = times[times < steps]
    if rule.components is not None:
        if any(not 0 <= component < size for component in rule.components):
            raise InputError(
                f"the components to observe are {rule.components}, expected numbers from 0 to "
                f"{size - 1}"
            )
        components = np.broadcast_to(rule.components, (len(times), len(rule.components)))
    else:
        order = rng.random((len(times), size)).argsort(1)
        components = np.sort(order[:, : rule.random_components], 1)
    noise = np.sqrt(rule.variance) * rng.standard_normal(components.shape)
    observation = np.full(x.shape, np.nan)
    observation[times[:, None], components] = x[times[:, None], components] + noise
    return observation
