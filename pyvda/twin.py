"""Twin experiments: a truth simulated by the model. Its observations are `twin_observations`.

Windows are independent, each with its own start and spin-up. For a given seed, window k is the same
for any number of windows, with either engine and on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

import pyvda
from pyvda import names
from pyvda.climate.climatology import START_REMEDY, drawn_starts, usual_spinup
from pyvda.engine import engine_for
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.io.netcdf import append_history
from pyvda.io.writing import model_attributes
from pyvda.models.model import Model, Start, whole
from pyvda.models.presets import Preset
from pyvda.models.registry import get_preset, presets, resolve, samplings
from pyvda.models.registry import names as model_names
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
    check_seed(seed)
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


def named(preset: str | Preset) -> tuple[str, Preset]:
    """Return the name of a preset, and itself; "custom" for one that has none."""
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
        name, setting = named(what)  # type: ignore[arg-type]
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


def check_seed(seed: int) -> None:
    """Raise InputError unless the seed is an integer that a file can hold."""
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
