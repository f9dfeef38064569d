"""Training losses, one value a window, (B,), and the scores that select the best weights."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pyvda.cost import as_tensor
from pyvda.learned.architecture import Section
from pyvda.learned.model import LearnedModel
from pyvda.state.batch import Batch
from pyvda.training.configuration import Supervised, Unsupervised


class Scores(NamedTuple):
    """Scores of each window in physical units, (B,), as in `pyvda.scores`, Φ the model's own."""

    r_score: Tensor
    cost: Tensor
    ode_score: Tensor


def supervised(model: LearnedModel, z: Tensor, batch: Batch, weights: Supervised) -> Tensor:
    """Loss (14) of analyses z given the truth, all normalised, (B,).

    mean((ẑ − z)²) + w₁ mean((Φ(ẑ) − ẑ)²) + w₂ mean((Φ(z) − z)²)
    """
    truth = _truth(batch)
    loss = _mean_square(z - truth)
    if weights.prior_analysis:
        loss = loss + weights.prior_analysis * _mean_square(residual(model, z))
    if weights.prior_truth:
        loss = loss + weights.prior_truth * identification(model, batch)
    return loss


def identification(model: LearnedModel, batch: Batch) -> Tensor:
    """Return the squared error of Φ on the normalised truth, (B,)."""
    return _mean_square(residual(model, _truth(batch)))


def unsupervised(model: LearnedModel, z: Tensor, batch: Batch, weights: Unsupervised) -> Tensor:
    """Loss (13): U (4) of normalised analyses z, in physical units, (B,)."""
    mask, observation = as_tensor("mask", batch.mask), as_tensor("y", batch.observation)
    observed = (mask > 0).flatten(1).sum(1).clamp(min=1)
    # Normalised differences times std are the differences in physical units.
    misfit = mask * (model.std.to(z) * (z - observation)).square()
    dynamics = _mean_square(model.std.to(z) * residual(model, z))
    return weights.lambda1 * misfit.flatten(1).sum(1) / observed + weights.lambda2 * dynamics


def residual(model: LearnedModel, z: Tensor) -> Tensor:
    """Return z − Φ(z) of the steps that Φ predicts."""
    first = int(getattr(model.prior, "first_predicted", 0))
    difference: Tensor = (z - model.prior(z))[:, first:]
    return difference


@torch.no_grad()
def scores(model: LearnedModel, z: Tensor, batch: Batch, loss: Section) -> Scores:
    """Return the scores of normalised analyses z in physical units, NaN without a truth."""
    weights = loss if isinstance(loss, Unsupervised) else Unsupervised(kind="unsupervised")
    cost = unsupervised(model, z, batch, weights)
    if batch.truth is None:
        unknown = torch.full_like(cost, torch.nan)
        return Scores(unknown, cost, unknown)
    std, truth = model.std.to(z), _truth(batch)
    return Scores(_mean_square(std * (z - truth)), cost, _mean_square(std * residual(model, truth)))


def _truth(batch: Batch) -> Tensor:
    if batch.truth is None:
        raise ValueError("the batch has no truth, which every loss but (13) needs")
    return batch.truth  # type: ignore[return-value]


def _mean_square(difference: Tensor) -> Tensor:
    return difference.square().flatten(1).mean(1)
