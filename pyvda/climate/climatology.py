"""The climatology of a model: where its states lie when nothing was observed.

Made once by the engine and kept in the user's cache folder, or given by the user; first guesses,
backgrounds, ensembles and the library of the posterior mean all take it from here.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyvda import names
from pyvda.climate.cache import kept
from pyvda.engine import Engine, engine_for, get_engine
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.models.model import Model, Start
from pyvda.operators.covariance import WORST_CONDITION

if TYPE_CHECKING:
    import xarray as xr

    from pyvda.engine.julia.engine import JuliaEngine

log = logging.getLogger("pyvda")

_TRAJECTORIES, _SAMPLES = 64, 256
# Components above which no (D, D) matrix is made, and fewer trajectories are run.
LARGE = 2000
_LARGE_TRAJECTORIES, _LARGE_SAMPLES = 4, 64
_RTOL = 1e-6
_NUMBERS = 1 << 26  # of all states together: large ones are fewer
_VERSION = 3  # of the recipe: a change makes the cached files of before unused

# For models that state no spin-up: most dissipative systems have forgotten a normal start by then.
_SPINUP_STEPS, _INTERVAL_STEPS = 4000, 10
# For a model that states no start, whose runs then begin with standard normal numbers.
START_REMEDY = (
    "the model states no start: give one near its attractor by start(m, rng) in a Julia file, by "
    "start and spread in Python"
)


@dataclass(frozen=True, eq=False)
class Climatology:
    """Mean and covariance of a model's attractor, and states drawn from it.

    Attributes
    ----------
    mean : (D,)
        In the state's units.
    covariance : (D, D), optional
        In their square; None for states of more than `LARGE` components.
    states : (N, D)
        Attractor states in random order, N = 16384 where the engine made them (256 of more than
        `LARGE` components): any part of them is a sample.
    """

    mean: Array
    covariance: Array | None
    states: Array

    @property
    def variance(self) -> Array:
        """Variance of each component, (D,); 1 on land."""
        if self.covariance is not None:
            return np.diag(self.covariance).copy()
        found = self.states.var(0, ddof=1)
        return np.where(found > 0, found, 1.0)

    def matrix(self) -> Array:
        """Return the covariance, (D, D).

        Raises
        ------
        InputError
            The state has more than `LARGE` components.
        """
        if self.covariance is None:
            raise InputError(
                f"the climatological covariance of {len(self.mean)} components is not made, "
                "because the matrix would be too large; give background and covariance, with the "
                "method incremental, or choose fsgd"
            )
        return self.covariance


def climatology(model: Model, engine: Engine | None = None) -> Climatology:
    """Return the climatology of `model`: its own, from the cache, or made by `engine`.

    Both engines give the same states, so that it does not matter which of them filled the cache.

    Raises
    ------
    InputError
        The model diverges from every start, or comes to rest.
    """
    if isinstance(model.climatology, Climatology):
        return model.climatology
    recipe = f"{_VERSION} {_TRAJECTORIES} {_SAMPLES} {_RTOL}"
    D = model.state_size
    shapes = {"mean": (D,)} if D > LARGE else {"mean": (D,), "covariance": (D, D)}

    def made() -> dict[str, Array]:
        found = vars(_made(model, engine or engine_for(model)))
        return {name: array for name, array in found.items() if array is not None}

    def valid(found: Any) -> bool:
        return (
            set(found) == {*shapes, "states"}
            and all(found[name].shape == shape for name, shape in shapes.items())
            and found["states"].shape[1:] == (D,)
        )

    found = kept("climatology", model, recipe, made, valid)
    return Climatology(found["mean"], found.get("covariance"), found["states"])


def with_climatology(model: Model, given: Any) -> Model:
    """Return `model` with a climatology of the user's in place of its own.

    Parameters
    ----------
    given : Climatology, Dataset, (mean, covariance), or path
        A Dataset of states has the model's variables, or `truth` or another variable (..., state).
        A path is that of a netCDF file of the same, or of a NumPy file (.npz) with `states` (N, D),
        or `mean` (D,) and `covariance` (D, D).

    Raises
    ------
    InputError
        When it cannot be read, or is of another size than the model's state.
    """
    found = given if isinstance(given, Climatology) else _given(model, given)
    D = model.state_size
    square = found.covariance is None or found.covariance.shape == (D, D)
    if found.mean.shape != (D,) or not square or found.states.shape[1:] != (D,):
        raise InputError(
            f"the climatology has {found.mean.shape[-1] if found.mean.ndim else 1} components, "
            f"{model.name} has {D}; give one of the model's own state"
        )
    if not all(np.isfinite(a).all() for a in vars(found).values() if a is not None):
        raise InputError("the climatology has NaN or infinite values; give finite ones")
    return replace(model, climatology=found)


def _made(model: Model, engine: Engine) -> Climatology:
    random = np.random.default_rng(20210630)
    x = attractor_states(model, engine, _origins(model, random))
    x[..., ~model.sea] = 0.0  # land is a constant, whatever the model leaves there
    inside = np.isfinite(x).all((1, 2))
    if not inside.any():
        raise InputError(
            f"{model.name} with parameters {model.parameters} diverges from every start and has "
            "no climatology; choose other parameters, or give start, spread and spinup, or a "
            "climatology"
        )
    if not inside.all():
        remedy = "" if model.start else f"; {START_REMEDY}"
        log.warning(
            "%d of %d runs of %s diverged on the way to its climatology and are left out%s",
            (~inside).sum(), len(x), model.name, remedy,
        )  # fmt: skip
        x = x[inside]
    states = random.permutation(x.reshape(-1, model.state_size))
    # What varies less than the simulation's own tolerance does not vary.
    resting = states.std(0) <= 10 * _RTOL * (1 + np.abs(states.mean(0)))
    if resting[model.sea].any():
        raise _at_rest(model.name)
    return _with_moments(model, states)


def _origins(model: Model, random: np.random.Generator) -> Array:
    """Return the states from which the trajectories run to the attractor."""
    origin = model.start or Start()
    count = _LARGE_TRAJECTORIES if model.state_size > LARGE else _TRAJECTORIES
    if origin.drawn:
        found = drawn_starts(model, count, int(random.integers(2**31)))
        found[:, ~model.sea] = 0.0
        return found
    noise = random.standard_normal((count, model.state_size))
    start = np.asarray(np.asarray(origin.mean) + origin.spread * noise)
    start[:, ~model.sea] = 0.0
    return start


def drawn_starts(model: Model, count: int, seed: int) -> Array:
    """Return states (count, D) that the function `start` of a model's Julia file draws."""
    engine: JuliaEngine = get_engine("julia")  # type: ignore[assignment]
    return engine.starts(model, count, seed)


def usual_spinup(model: Model) -> float:
    """Return the model time from random states to the attractor; a long one where not stated."""
    return _SPINUP_STEPS * model.time_step if model.spinup is None else model.spinup


def attractor_states(model: Model, engine: Engine, start: Array) -> Array:
    """Run a model to its attractor and along it.

    Parameters
    ----------
    start : (W, D)

    Returns
    -------
    (W, N, D)
        States after the spin-up, at equal intervals; NaN in a run that diverged.
    """
    large = model.state_size > LARGE
    count = max(2, min(_LARGE_SAMPLES if large else _SAMPLES, _NUMBERS // start.size))
    spinup = usual_spinup(model)
    interval = model.interval or _INTERVAL_STEPS * model.time_step
    if model.kind == "step":
        # Its states exist at its own steps alone.
        every = max(1, round(interval / model.time_step))
        if large:  # the steps between the samples would not fit in memory
            return _every(model, engine, start, every, count, spinup)
        x = engine.simulate(
            model,
            start,
            time_step=model.time_step,
            steps=every * (count - 1) + 1,
            spinup=round(spinup / model.time_step) * model.time_step,
        )
        return x[:, ::every]
    return engine.simulate(
        model,
        start,
        time_step=interval,
        steps=count,
        spinup=spinup,
        rtol=_RTOL,
        atol=_RTOL,
    )


def _every(
    model: Model, engine: Engine, start: Array, every: int, count: int, spinup: float
) -> Array:
    """Return every `every`-th state of a step model, `count` of them, without those between."""
    found = np.empty((len(start), count, model.state_size))
    step = model.time_step
    x = engine.simulate(model, start, time_step=step, steps=1, spinup=round(spinup / step) * step)
    found[:, 0] = x[:, -1]
    for i in range(1, count):
        later = np.ascontiguousarray(found[:, i - 1])
        found[:, i] = engine.simulate(model, later, time_step=step, steps=every + 1)[:, -1]
    return found


def _with_moments(model: Model, states: Array) -> Climatology:
    mean = states.mean(0)
    if model.state_size > LARGE:
        return Climatology(mean, None, states)
    covariance = np.atleast_2d(np.cov(states, rowvar=False))
    for symmetry in model.symmetries:
        mean, covariance = symmetry.averaged(mean, covariance)
    # Nothing varies on land; a variance there keeps the covariance regular.
    covariance[~model.sea] = covariance[:, ~model.sea] = 0.0
    covariance[~model.sea, ~model.sea] = 1.0
    if not (np.diag(covariance) > 0).all():
        raise _at_rest(model.name)
    return Climatology(mean, regular(covariance), states)


def regular(covariance: Array) -> Array:
    """Return a covariance (D, D) whose correlations have a condition number of at most 1e13.

    States that are smooth, or that conserve something, have directions without variance. The least
    eigenvalues are raised to ten times what would be enough; a matrix that needs none of it is
    returned as it is.
    """
    deviation = np.sqrt(np.diag(covariance))
    scale = np.outer(deviation, deviation)
    values, vectors = np.linalg.eigh(covariance / scale)
    if values[0] * WORST_CONDITION > values[-1]:
        return covariance
    raised = np.maximum(values, 10 * values[-1] / WORST_CONDITION)
    return np.asarray(scale * ((vectors * raised) @ vectors.T))


def _at_rest(name: str) -> InputError:
    return InputError(
        f"{name} comes to rest: a component of its state does not vary on the attractor, so there "
        "is no climatology to assimilate with; give one (climatology)"
    )


def _given(model: Model, given: Any) -> Climatology:
    if isinstance(given, str | Path):
        given = _read(given)
    if isinstance(given, dict) and "states" in given:
        states = _real("states", given["states"], 2)
        return _moments_of(model, states)
    if isinstance(given, dict) and {"mean", "covariance"} <= set(given):
        given = (given["mean"], given["covariance"])
    if isinstance(given, tuple) and len(given) == 2:
        return _normal(_real("mean", given[0], 1), _real("covariance", given[1], 2))
    if hasattr(given, "data_vars"):
        return _moments_of(model, _states_of(model, given))
    raise InputError(
        f"the climatology is {type(given).__name__}, expected a Dataset of states, a pair of mean "
        "and covariance, or the path of a file with them"
    )


def _read(given: str | Path) -> Any:
    path = Path(given)
    if path.suffix != ".npz":
        from pyvda.io.netcdf import open_dataset

        return open_dataset(given)
    if not path.exists():
        raise InputError(f"there is no file {path}; give a climatology that exists")
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except Exception as error:
        raise InputError(f"{path} cannot be read as a NumPy file ({error})") from None
    if "states" not in found and not {"mean", "covariance"} <= set(found):
        raise InputError(
            f"{path} has {', '.join(found) or 'nothing'}, expected states, or mean and covariance"
        )
    return found


def _states_of(model: Model, ds: xr.Dataset) -> Array:
    space = model.state_space
    if space is not None and set(space.names) <= set(ds.data_vars):
        from pyvda.io.cf.orientation import in_model_order

        ds = in_model_order(ds, {dim: dim for dim in space.sizes}, space)
        states = np.asarray(space.stack(ds), dtype=float)
    else:
        flat = [v for v in ds.data_vars.values() if v.dims and v.dims[-1] == names.STATE]
        if names.TRUTH in ds:
            flat = [ds[names.TRUTH]]
        if len(flat) != 1:
            raise InputError(
                f"the climatology has the variables {', '.join(map(str, ds.data_vars))}, expected "
                f"those of the model ({', '.join(space.names) if space else names.STATE}), or one "
                f"variable (..., {names.STATE})"
            )
        states = np.asarray(flat[0].values, dtype=float)
    states = states.reshape(-1, states.shape[-1])
    if states.shape[-1] == model.state_size:
        states = np.where(model.sea, states, 0.0)
    return states[np.isfinite(states).all(1)]


def _moments_of(model: Model, states: Array) -> Climatology:
    if states.shape[-1] != model.state_size or len(states) < 2:
        raise InputError(
            f"the climatology has {len(states)} states of {states.shape[-1]} components, expected "
            f"at least 2 of {model.state_size}"
        )
    random = np.random.default_rng(20210630)
    return _with_moments(model, random.permutation(states))


def _normal(mean: Array, covariance: Array) -> Climatology:
    size = len(mean)
    if covariance.shape != (size, size) or not np.allclose(covariance, covariance.T):
        raise InputError(
            f"the covariance of the climatology has shape {covariance.shape}, expected a symmetric "
            f"matrix ({size}, {size})"
        )
    try:
        factor = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        raise InputError(
            "the covariance of the climatology is not positive definite; give one with a positive "
            "variance in every direction"
        ) from None
    count = max(2, min(_TRAJECTORIES * _SAMPLES, _NUMBERS // size))
    noise = np.random.default_rng(20210630).standard_normal((count, size))
    return Climatology(mean, covariance, mean + noise @ factor.T)


def _real(what: str, values: Any, dimensions: int) -> Array:
    array = np.asarray(values)
    if array.dtype.kind not in "fiu" or array.ndim != dimensions or not np.isfinite(array).all():
        raise InputError(
            f"the {what} of the climatology has type {array.dtype} and shape {array.shape}, "
            f"expected finite real numbers of {dimensions} dimension"
            + ("s" if dimensions > 1 else "")
        )
    return array.astype(float)
