"""Twin experiments: a truth from the model, and noisy, partial observations of it.

Windows are independent, each with its own start and spin-up. Window k of a seed is the same however
many windows are asked for, on either engine and on every machine.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

import pyvda
from pyvda import names
from pyvda.engine import get_engine
from pyvda.engine.interface import Array
from pyvda.errors import EngineError, InputError
from pyvda.io.netcdf import append_history
from pyvda.models.presets import Preset
from pyvda.models.registry import get_preset

# On the attractor within a millionth is enough for a start; the window itself is integrated tightly
# (at rtol 1e-3 the truth would have an ODE-score of 1e-5, which is only integration error).
SPINUP_RTOL = 1e-6
RTOL = 1e-9
_BLOCK = 128


def simulate(
    preset: str | Preset,
    windows: int,
    seed: int,
    *,
    engine: str | None = None,
    report: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """Simulate the truth of a twin experiment.

    Parameters
    ----------
    preset : str or Preset
        Model, steps, spin-up and distribution of the starts.
    windows : int
        Number of independent windows.
    seed : int
    engine : str, optional
        See `pyvda.engine.get_engine`.
    report : callable(done, total), optional
        Told of progress.

    Returns
    -------
    Dataset
        `truth` (window, time, state), time in model time units from the start of the window.
    """
    name, setting = _named(preset)
    _check_seed(seed)
    model = setting.model
    if windows < 1:
        raise InputError(f"{windows} windows were asked for, expected at least 1")
    running = get_engine(engine)
    start = np.stack([_start(setting, seed, window) for window in range(windows)])
    truth = np.empty((windows, setting.steps, model.state_size))
    for first in range(0, windows, _BLOCK):
        block = slice(first, first + _BLOCK)
        on_attractor = running.simulate(
            model, start[block], time_step=model.time_step, steps=1, spinup=setting.spinup,
            rtol=SPINUP_RTOL, atol=SPINUP_RTOL,
        )[:, 0]  # fmt: skip
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
    if not np.isfinite(truth).all():
        raise EngineError(f"the simulation of {model.name} diverged; check its parameters")
    time = np.arange(setting.steps) * model.time_step
    ds = xr.Dataset(
        {names.TRUTH: (names.DIMENSIONS, truth, names.attributes(names.TRUTH))},
        {
            names.WINDOW: np.arange(windows),
            names.TIME: (names.TIME, time, {"long_name": "model time", "units": "1", "axis": "T"}),
            names.STATE: np.arange(model.state_size),
        },
        {"Conventions": "CF-1.11", "title": f"twin experiment {name}: truth", "seed": seed,
         "model": model.name, "parameters": list(model.parameters)},
    )  # fmt: skip
    return append_history(ds, f"pyvda {pyvda.__version__} simulate {name}, seed {seed}")


def observe(
    truth: xr.Dataset,
    preset: str | Preset,
    seed: int,
    *,
    variance: float | None = None,
    every: int | None = None,
) -> xr.Dataset:
    """Observe a truth, with noise.

    Parameters
    ----------
    truth : Dataset
        With `truth` (window, time, state).
    preset : str or Preset
        Which steps and components are observed, and the error variance.
    seed : int
        Of the noise, and of the choice of components where that is random.
    variance : float, optional
        Error variance in the state's units squared, in place of the preset's.
    every : int, optional
        Steps between two observation times, in place of the preset's.

    Returns
    -------
    Dataset
        `observation`, NaN where nothing is observed.
    """
    name, setting = _named(preset)
    _check_seed(seed)
    if names.TRUTH not in truth or truth[names.TRUTH].dims != names.DIMENSIONS:
        raise InputError(
            "no variable truth (window, time, state) found; make one with `pyvda simulate`"
        )
    state = truth[names.TRUTH].values
    if state.shape[2] != setting.model.state_size:
        raise InputError(
            f"the truth has a state of {state.shape[2]} components, the preset {name} is for "
            f"{setting.model.state_size}; choose the preset of the same model"
        )
    if variance is None:
        variance = setting.variance
    if not 0 <= variance < np.inf:
        raise InputError(f"the error variance is {variance}, expected a number of at least 0")
    if every is not None and every < 1:
        raise InputError(f"observations every {every} steps were asked for, expected at least 1")
    observation = np.full(state.shape, np.nan)
    for window, x in enumerate(state):
        observation[window] = _observed(setting, x, seed, window, variance, every or setting.every)
    attrs = {**truth.attrs, "title": f"twin experiment {name}: observations", "preset": name,
             "observation_seed": seed, "observation_error_variance": variance}  # fmt: skip
    ds = xr.Dataset(
        {names.OBSERVATION: (names.DIMENSIONS, observation, names.attributes(names.OBSERVATION))},
        truth[names.TRUTH].coords,
        attrs,
    )
    return append_history(ds, f"pyvda {pyvda.__version__} observe {name}, seed {seed}")


def _named(preset: str | Preset) -> tuple[str, Preset]:
    return (preset, get_preset(preset)) if isinstance(preset, str) else ("custom", preset)


def _check_seed(seed: int) -> None:
    # From 2^64 on they are those of the epochs of a training, which no file has.
    if not (0 <= seed < 2**63 or seed >= 2**64):
        raise InputError(f"the seed is {seed}, expected an integer from 0 to 2^63 - 1")


def _start(setting: Preset, seed: int, window: int) -> Array:
    rng = np.random.default_rng([seed, window, 0])
    noise = rng.standard_normal(setting.model.state_size)
    return np.asarray(setting.start_mean) + setting.start_stdev * noise


def _observed(
    setting: Preset, x: Array, seed: int, window: int, variance: float, every: int
) -> Array:
    rng = np.random.default_rng([seed, window, 1])
    steps, size = x.shape
    times = np.arange(setting.first, (steps if setting.last < 0 else setting.last + 1), every)
    times = times[times < steps]
    if setting.components is not None:
        components = np.broadcast_to(setting.components, (len(times), len(setting.components)))
    else:
        order = rng.random((len(times), size)).argsort(1)
        components = np.sort(order[:, : setting.random_components], 1)
    noise = np.sqrt(variance) * rng.standard_normal(components.shape)
    observation = np.full(x.shape, np.nan)
    observation[times[:, None], components] = x[times[:, None], components] + noise
    return observation
