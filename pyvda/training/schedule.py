"""Learning rates as a function of the step alone: a resumed training has no schedule to restore."""

from __future__ import annotations

import math

from pyvda.training.configuration import Configuration, Updates


def rates(configuration: Configuration, step: int, per_epoch: int) -> dict[str, float]:
    """Return the learning rates of the groups "solver" and "prior" at an optimiser step.

    During pretraining Φ has a constant rate and the solver rate 0; the schedule starts afterwards.

    Parameters
    ----------
    step : int
        Completed optimiser steps.
    per_epoch : int
        Optimiser steps in an epoch.
    """
    settings, training = configuration.optimiser, configuration.training
    first = training.pretraining * per_epoch
    if step < first:
        return {"solver": 0.0, "prior": settings.pretraining_rate}
    factor = scheduled(settings, step - first, per_epoch, training.epochs, training.pretraining)
    return {"solver": factor * settings.solver_rate, "prior": factor * settings.prior_rate}


def scheduled(settings: Updates, step: int, per_epoch: int, epochs: int, before: int = 0) -> float:
    """Return the factor on the rates at an optimiser step.

    Parameters
    ----------
    settings : Updates
    step : int
        Completed steps of the schedule.
    per_epoch : int
        Steps in an epoch.
    epochs : int
        Number of epochs of the whole training.
    before : int
        Epochs before the schedule starts.
    """
    factor = 1.0
    if settings.schedule == "cosine":
        last = max((epochs - before) * per_epoch - 1, 1)
        wave = 0.5 * (1.0 + math.cos(math.pi * min(step / last, 1.0)))
        factor = settings.final + (1.0 - settings.final) * wave
    elif settings.schedule == "step":
        epoch = before + step // per_epoch
        factor = settings.factor ** sum(epoch >= at for at in settings.steps_at)
    if step < settings.warmup:
        factor *= (step + 1) / settings.warmup
    return factor
