"""Add a trained model to the package, with the scores that tests compare it with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import pyvda
from pyvda.errors import InputError
from pyvda.io.writing.atomic import write_json
from pyvda.learned import shipped
from pyvda.learned.description import read_description
from pyvda.learned.model import LearnedModel
from pyvda.machine import machine
from pyvda.paper.held_out import HELD_OUT, check_not_trained_on
from pyvda.paper.retraining import runs
from pyvda.paper.scoring import assimilated, scored
from pyvda.scores import score_table

CURVE_POINTS = 200


def ship(
    run: Path,
    name: str,
    folder: Path | None = None,
    *,
    windows: int | None = None,
    engine: str | None = None,
) -> dict[str, Any]:
    """Copy a model with its training.json, score it, and store the scores beside it.

    Parameters
    ----------
    run : path
        Folder written by `pyvda train`.
    name : str
        Name of the shipped model; it starts with the preset that it was trained for.
    folder : path, optional
        Folder of all shipped models; default: that of the package.
    windows : int, optional
        Number of test windows to score; default: all of the test set.
    engine : str, optional

    Returns
    -------
    dict
        The content of `scores.json`.

    Raises
    ------
    InputError
        The run has no model, was trained on a test set, or the name does not fit.
    """
    preset = read_description(run).pattern.name
    if not re.fullmatch(rf"{re.escape(preset)}(-[a-z0-9]+)+", name) or preset not in HELD_OUT:
        raise InputError(
            f"{run} was trained for {preset}, so its name is {preset}-..., in small letters, and "
            f"not {name}"
        )
    training = shipped.read_json(run, shipped.TRAINING_FILE)
    for one in runs(training):
        check_not_trained_on(one.get("configuration", {}))
    target = (folder or shipped.FOLDER) / name
    target.mkdir(parents=True, exist_ok=True)
    LearnedModel.load(run).save(target)
    if training:
        write_json(target / shipped.TRAINING_FILE, trimmed(training))
    scores = score(target, windows=windows, engine=engine)
    write_json(target / shipped.SCORES_FILE, scores)
    return scores


def score(
    checkpoint: Path, *, windows: int | None = None, engine: str | None = None
) -> dict[str, Any]:
    """Return the scores of a learned model on its test set, and on the subset that tests repeat.

    They are computed in float32 on the CPU, so that all machines nearly agree.
    """
    description = read_description(checkpoint)
    held_out = HELD_OUT[description.pattern.name]
    truth, observed = held_out.make(windows, engine)
    analysis, seconds = assimilated(observed, checkpoint=checkpoint, device="cpu", engine=engine)
    return {
        "sha256": description.digest(),
        "preset": held_out.preset,
        "windows": truth.sizes["window"],
        "truth_seed": held_out.truth_seed,
        "observation_seed": held_out.observation_seed,
        "iterations": description.iterations,
        "full": score_table(scored(analysis, truth, checkpoint, engine)),
        "subset": subset_means(checkpoint, truth, observed, engine),
        "seconds": round(seconds, 3),
        "pyvda": pyvda.__version__,
        "machine": machine(engine),
    }


def subset_means(
    checkpoint: Path, truth: xr.Dataset, observed: xr.Dataset, engine: str | None = None
) -> dict[str, float]:
    """Return the mean scores on the first windows of a test set, assimilated on their own."""
    held_out = HELD_OUT[read_description(checkpoint).pattern.name]
    first = {"window": slice(0, held_out.subset)}
    analysis, _ = assimilated(
        observed.isel(first), checkpoint=checkpoint, device="cpu", engine=engine
    )
    found = scored(analysis, truth.isel(first), checkpoint, engine)
    return {name: float(np.mean(values)) for name, values in found.items()}


def trimmed(training: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a training.json with at most `CURVE_POINTS` points of its curve.

    The first, the last and the best epoch are kept.
    """
    curve = training.get("curve", [])
    if len(curve) <= CURVE_POINTS:
        return training
    kept = set(np.linspace(0, len(curve) - 1, CURVE_POINTS - 1).round().astype(int).tolist())
    best = training.get("best_epoch", -1)
    kept |= {i for i, point in enumerate(curve) if point.get("epoch") == best}
    return {**training, "curve": [curve[i] for i in sorted(kept)], "curve_of": len(curve)}
