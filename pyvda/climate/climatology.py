"""The climatology of a model: where its states lie when nothing was observed.

Made once by the engine and kept in the user's cache folder; first guesses, backgrounds, ensembles
and the library of the posterior mean all take it from here.
"""

from __future__ import annotations

import hashlib
import logging
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pyvda.engine import Engine, get_engine
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.io.atomic import replacing
from pyvda.models.model import Model, Start

log = logging.getLogger("pyvda")


@dataclass(frozen=True)
class Climatology:
    """Mean and covariance of a model's attractor, and states drawn from it.

    Attributes
    ----------
    mean : (D,)
        In the state's units.
    covariance : (D, D)
        In their square.
    states : (N, D)
        Attractor states in random order, N = 16384: any part of them is a sample.
    """

    mean: Array
    covariance: Array
    states: Array


_TRAJECTORIES, _SAMPLES, _INTERVAL = 64, 256, 0.25  # interval in model time units
_VERSION = 1  # of the recipe: a change makes the cached files of before unused


def climatology(model: Model, engine: Engine | None = None) -> Climatology:
    """Return the climatology of `model`, from the cache or made by `engine` in about a second.

    The cache is $PYVDA_CACHE, else $XDG_CACHE_HOME/pyvda, else ~/.cache/pyvda. Both engines give
    the same states, so that it does not matter which of them filled it.

    Raises
    ------
    InputError
        The model diverges from every start.
    """
    key = _key(model)
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    path = cache_folder() / f"climatology-{model.name}-{digest}.npz"
    found = _load(path, key, model)
    if found is None:
        found = _make(model, engine or get_engine())
        _save(path, key, found)
    return found


def cache_folder() -> Path:
    """Return the folder for what can be made again."""
    own = os.environ.get("PYVDA_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pyvda"


def _key(model: Model) -> str:
    parameters = " ".join(value.hex() for value in model.parameters)
    return f"{_VERSION} {model.name} {model.state_size} {parameters}"


def _make(model: Model, engine: Engine) -> Climatology:
    origin, spinup = model.start or Start(), model.spinup or 0.0
    random = np.random.default_rng(20210630)
    shape = (_TRAJECTORIES, model.state_size)
    start = np.asarray(origin.mean) + origin.spread * random.standard_normal(shape)
    x = engine.simulate(
        model,
        start,
        time_step=_INTERVAL,
        steps=_SAMPLES,
        spinup=spinup,
        rtol=1e-6,
        atol=1e-6,
    )
    x = x[np.isfinite(x).all((1, 2))]
    if not len(x):
        raise InputError(
            f"{model.name} with parameters {model.parameters} diverges from every start and has "
            "no climatology; choose other parameters"
        )
    states = random.permutation(x.reshape(-1, model.state_size))
    mean, covariance = states.mean(0), np.cov(states, rowvar=False)
    for symmetry in model.symmetries:
        mean, covariance = symmetry.averaged(mean, covariance)
    return Climatology(mean, covariance, states)


def _load(path: Path, key: str, model: Model) -> Climatology | None:
    """Return what the file holds, or None if there is none or it is not what `key` says."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["key"]) != key:
                return None
            found = Climatology(file["mean"], file["covariance"], file["states"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        log.warning("making %s again, it cannot be read (%s)", path, error)
        return None
    D = model.state_size
    shapes = (found.mean.shape, found.covariance.shape, found.states.shape[1:])
    return found if shapes == ((D,), (D, D), (D,)) else None


def _save(path: Path, key: str, made: Climatology) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial, open(partial, "wb") as file:
            np.savez(file, key=key, mean=made.mean, covariance=made.covariance, states=made.states)
    except (OSError, InputError) as error:
        log.info("the climatology is not kept for the next run (%s)", error)
