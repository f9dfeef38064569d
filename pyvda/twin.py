"""Twin experiments: a truth simulated by the model, and noisy, partial observations of it.

Windows are independent, each with its own start and spin-up. For a given seed, window k is the same
for any number of windows, with either engine and on every machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

import pyvda
from pyvda import names, tracks
from pyvda.climate.climatology import START_REMEDY, drawn_starts, usual_spinup
from pyvda.engine import engine_for
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.io.netcdf import append_history
from pyvda.io.sources.open import opened
from pyvda.io.writing import model_attributes
from pyvda.models.model import Model, Start, number, whole
from pyvda.models.presets import Preset
from pyvda.models.registry import get_preset, numeric, presets, resolve, samplings
from pyvda.models.registry import names as model_names
from pyvda.state.space import StateSpace, Variable
from pyvda.validation_errors import brief

# A start needs to lie on the attractor only to within a millionth; the window itself is integrated
# tightly (at rtol 1e-3 the integration error alone would give the truth an ODE-score of 1e-5).
SPINUP_RTOL = 1e-6
RTOL = 1e-9
_BLOCK = 128


def simulate(
    preset: str | Preset | Model,
    windows: int,
    seed: int = 0,
    *,
    steps: int | None = None,
    parameters: Mapping[str, Any] | None = None,
    engine: str | None = None,
    report: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """Simulate the truth of a twin experiment.

    Parameters
    ----------
    preset : str, Preset or Model
        A preset specifies the model, number of steps, spin-up and distribution of starts. For a
        model, or a string that names one (see `pyvda.models.registry.resolve`), windows have 200
        steps and start as the model specifies, or as its climatology does by default.
    windows : int
        Number of independent windows.
    seed : int
    steps : int, optional
        Steps per window, overriding the preset.
    parameters : mapping, optional
        Parameters and sizes by name, overriding those of the model.
    engine : str, optional
        See `pyvda.engine.get_engine`.
    report : callable(done, total), optional
        Called with the number of windows completed so far and their total.

    Returns
    -------
    Dataset
        `truth` (window, time, state) for a preset, or the model's own variables (window, time,
        ...); time in model time units from the start of the window.

    Raises
    ------
    InputError
        When a name is unknown, a number is out of range, or the model diverges.
    """
    name, setting, flat = _experiment(preset, parameters, steps)
    _check_seed(seed)
    model = setting.model
    windows = whole("the number of windows", windows, 1)
    running = engine_for(model, engine)
    start = np.stack([_start(setting, seed, window) for window in range(windows)])
    start[:, ~model.sea] = 0.0
    truth = np.empty((windows, setting.steps, model.state_size))
    for first in range(0, windows, _BLOCK):
        block = slice(first, first + _BLOCK)
        on_attractor = running.simulate(
            model, start[block], time_step=model.time_step, steps=1, spinup=setting.spinup,
            rtol=SPINUP_RTOL, atol=SPINUP_RTOL,
        )[:, 0]  # fmt: skip
        on_attractor = np.where(model.sea, on_attractor, 0.0)
        remedy = START_REMEDY if model.start is None else _of(model, "start")
        _check_finite(on_attractor, model, "on the way to its attractor", remedy)
        truth[block] = running.simulate(
            model,
            on_attractor,
            time_step=model.time_step,
            steps=setting.steps,
            rtol=RTOL,
            atol=RTOL,
        )
        if report is not None:
            report(min(first + _BLOCK, windows), windows)
    _check_finite(truth[..., model.sea], model, "within the windows", _of(model, "time step"))
    time = np.arange(setting.steps) * model.time_step
    coords = {
        names.WINDOW: (names.WINDOW, np.arange(windows), names.attributes(names.WINDOW)),
        names.TIME: (names.TIME, time, {"long_name": "model time", "units": "1"}),
    }
    data: dict[str, Any]
    if flat or model.state_space is None:
        data = {names.TRUTH: (names.DIMENSIONS, truth, names.attributes(names.TRUTH))}
        numbers = np.arange(model.state_size)
        coords[names.STATE] = (names.STATE, numbers, names.attributes(names.STATE))
    else:
        data = dict(model.state_space.unstack(truth))
        for dim, points in model.state_space.coordinates:
            coords[dim] = (dim, np.array(points), {"units": "1"})
    ds = xr.Dataset(
        data,
        coords,
        {"Conventions": "CF-1.11", "title": f"{names.TWIN_TITLE} {name}: truth", "seed": seed}
        | model_attributes.attributes(model),
    )
    return append_history(ds, f"pyvda {pyvda.__version__} simulate {name}, seed {seed}")


def _of(model: Model, what: str) -> str:
    """Return the advice to check a property of the model and its parameters."""
    values = ", ".join(f"{name} {value:g}" for name, value in model.fields)
    return f"check its {what}" + (f" and its parameters ({values})" if values else "")


def _check_finite(states: Array, model: Model, where: str, remedy: str) -> None:
    if not np.isfinite(states).all():
        raise InputError(f"the simulation of {model.name} diverged {where}; {remedy}")


def truth_bytes(
    preset: str | Preset | Model,
    windows: int,
    *,
    steps: int | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> int:
    """Return the bytes of the truth that `simulate` makes with the same arguments."""
    _, setting, _ = _experiment(preset, parameters, steps)
    return windows * setting.steps * setting.model.state_size * np.dtype(float).itemsize


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
    _check_seed(seed)
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
    name, setting = ("custom", None) if preset is None else _named(preset)
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
    state, _ = _true_states(truth)
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


def _named(preset: str | Preset) -> tuple[str, Preset]:
    if isinstance(preset, str):
        return preset, get_preset(preset)
    if not isinstance(preset, Preset):
        raise InputError(
            f"the preset is {brief(preset)}, expected a name, one of {', '.join(presets())}, or a "
            "Preset"
        )
    return "custom", preset


def _experiment(
    what: str | Preset | Model, parameters: Mapping[str, Any] | None, steps: int | None
) -> tuple[str, Preset, bool]:
    """Return the name and preset of an experiment, and whether its truth is one variable."""
    if isinstance(what, str) and what in samplings():
        get_preset(what)  # says that it only observes
    flat = isinstance(what, Preset) or (isinstance(what, str) and what in presets())
    if flat:
        name, setting = _named(what)  # type: ignore[arg-type]
        if parameters:
            own = dict(setting.model.fields) | dict(parameters)
            setting = replace(setting, model=resolve(setting.model.name, own))
    else:
        try:
            model = resolve(what, parameters)  # type: ignore[arg-type]
        except InputError as error:
            if isinstance(what, str) and str(error).startswith("unknown model"):
                raise InputError(
                    f"unknown preset or model {what!r}; choose one of "
                    f"{', '.join([*presets(), *model_names()])}, or give a file"
                ) from None
            raise
        name, setting = model.name, of_model(model)
    if steps is not None:
        setting = replace(setting, steps=whole("the number of steps", steps, 2))
    return name, setting, flat


def of_model(model: Model) -> Preset:
    """Return the default twin experiment of `model`, with the model's own start and spin-up."""
    start = model.start or Start()
    return Preset(
        model, 200, usual_spinup(model), start.mean, start.spread, 4, 0, -1, 1.0, None,
        max(1, model.state_size // 2),
    )  # fmt: skip


def _check_seed(seed: int) -> None:
    # Seeds from 2^64 on are those of training epochs, which are never written to a file.
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise InputError(f"the seed is {brief(seed)}, expected an integer from 0 to 2^63 - 1")
    if not (0 <= seed < 2**63 or seed >= 2**64):
        raise InputError(f"the seed is {seed}, expected an integer from 0 to 2^63 - 1")


def _start(setting: Preset, seed: int, window: int) -> Array:
    own = setting.model.start
    if own is not None and own.drawn and setting.start_mean == own.mean:
        # The model's file draws them; a number that is the window's own seeds its generator.
        number = np.random.SeedSequence([seed, window, 0]).generate_state(1)[0]
        return drawn_starts(setting.model, 1, int(number) >> 1)[0]
    rng = np.random.default_rng([seed, window, 0])
    noise = rng.standard_normal(setting.model.state_size)
    return np.asarray(setting.start_mean) + setting.start_stdev * noise


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
