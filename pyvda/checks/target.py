"""The target of `pyvda check`: a model, windows of observations, and a learned model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from pyvda.checks.derivative_check import spread
from pyvda.checks.windows import own_windows, twin_windows
from pyvda.climate.climatology import LARGE
from pyvda.errors import InputError
from pyvda.io.netcdf import open_observations
from pyvda.learned import patterns, shipped
from pyvda.learned.architecture import Architecture
from pyvda.learned.description import OwnModel, Pattern
from pyvda.learned.model import LearnedModel
from pyvda.models.model import Model
from pyvda.models.registry import names, presets, resolve
from pyvda.state.batch import Batch
from pyvda.validation_errors import validated

# Small, because the checked code is the same for any number of features.
_FRESH = {"kind": "genn", "width": 5, "features": 16, "latent": 8}
_FRESH_SEED = 0


@dataclass(frozen=True)
class CheckTarget:
    """A model with windows to check its cost on.

    Attributes
    ----------
    title : str
        Description in one line.
    model : Model
    batch : Batch
        numpy arrays, (W, T, D).
    time_step : float
        In model time units.
    learned : LearnedModel, optional
        The checkpoint, or a GENN with fresh weights; None for a state that is too large for one.
    """

    title: str
    model: Model
    batch: Batch
    time_step: float
    learned: LearnedModel | None


def check_target(
    model: str | Model | None,
    observations: str | Path | None,
    checkpoint: Path | None,
    *,
    variable: str | None = None,
    window: int | None = None,
    time_step: float | None = None,
    grid_step: str | None = None,
    engine: str | None = None,
    seed: int = 0,
) -> CheckTarget:
    """Return the target that these options specify; see `pyvda check --help`.

    Raises
    ------
    InputError
        When neither a model nor a checkpoint is named, when they do not belong to the same model,
        or when a file cannot be used.
    """
    learned = None
    if checkpoint is not None:
        learned = shipped.load(checkpoint, model)
    chosen = _model(model, learned)
    if observations is None:
        file_options = {
            "variable": variable, "window": window, "time-step": time_step, "grid-step": grid_step,
        }  # fmt: skip
        for name, value in file_options.items():
            if value is not None:
                raise InputError(f"--{name} applies to a file of observations; give it by --obs")
        batch, step = twin_windows(chosen, engine=engine, seed=seed), chosen.time_step
        source = "a twin experiment"
    else:
        observed = open_observations(
            observations, variable, grid_step=grid_step, chunks={}, model=chosen
        )
        batch, step = own_windows(
            observed,
            chosen,
            window=window,
            time_step=time_step,
            engine=engine,
        )
        source = Path(observations).name
    count, steps, _ = batch.observation.shape
    title = f"{chosen.name}, {count} windows of {steps} steps of {step:g} from {source}"
    if learned is None and chosen.state_size > LARGE:
        title += f"; no learned prior of {chosen.state_size} components"
    elif learned is None:
        learned = fresh_genn(chosen, batch)
        title += f"; learned prior: a GENN with fresh weights, seed {_FRESH_SEED}"
    else:
        title += f"; learned prior: that of {checkpoint}"
    return CheckTarget(title, chosen, batch, step, learned)


def fresh_genn(model: Model, batch: Batch) -> LearnedModel:
    """Return a small GENN with aG-Conv of the model's state size, with fixed random weights.

    Parameters
    ----------
    model : Model
    batch : Batch
        numpy arrays (W, T, D), whose first guess gives the normalisation.
    """
    sections = {"prior": _FRESH, "solver": {"kind": "conv"}}
    architecture = validated(Architecture, sections, "pyvda check")
    guess = np.asarray(batch.first_guess, dtype=float)
    if model.is_registered and model.name in presets():
        pattern = Pattern.of(model.name, replace(presets()[model.name], model=model))
    else:
        own = None if model.is_registered else OwnModel.of(model, "", guess.mean((0, 1)))
        pattern = Pattern(
            name=model.name, model=model.name, parameters=model.parameters,
            state_size=model.state_size, time_step=model.time_step, steps=guess.shape[1],
            variance=None, own=own, sizes=model.sizes,
            **patterns.rule(np.asarray(batch.mask) > 0),
        )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_FRESH_SEED)
        return LearnedModel(architecture, pattern, guess.mean(), spread(guess), iterations=1)


def _model(name: str | Model | None, learned: LearnedModel | None) -> Model:
    if learned is None:
        if name is None:
            raise InputError(f"no model was given; give --model, one of {', '.join(names())}")
        return resolve(name)
    trained = learned.pattern.dynamics()
    given = trained if name is None else resolve(name)
    if learned.pattern.own is not None:
        return learned.pattern.runnable(given)
    if given.name != trained.name:
        raise InputError(
            f"the checkpoint was trained for {trained.name}, not for {given.name}; leave out "
            "--model, or choose another checkpoint"
        )
    return trained
