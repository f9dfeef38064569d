"""The training of a network for fields as a Lightning module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pyvda.fields.learned.configuration import FieldConfiguration
from pyvda.fields.learned.frames import stacked
from pyvda.fields.learned.model import FieldModel
from pyvda.fields.learned.network import Inputs
from pyvda.fields.learned.samples import AnySample, Samples
from pyvda.fields.learned.turns import turned
from pyvda.progress import ProgressReport, silent
from pyvda.training.resumable import OneRate, finite
from pyvda.training.state import Progress


class Changes(NamedTuple):
    """Random reversals of the batches of an epoch.

    Attributes
    ----------
    seed : pair of int
    turns : tuple of tuple of str
        See `_turned`.
    """

    seed: tuple[int, int]
    turns: tuple[tuple[str, ...], ...]


class FieldTraining(OneRate):
    """Trains a network on values below gaps of other times, or on the truth.

    Parameters
    ----------
    model : FieldModel
    configuration : FieldConfiguration
    data : Samples
    folder, progress, tensors, on_epoch, on_step
        See `Resumable`.
    """

    def __init__(
        self,
        model: FieldModel,
        configuration: FieldConfiguration,
        data: Samples,
        folder: Path,
        progress: Progress,
        tensors: dict[str, Tensor] | None,
        on_epoch: Callable[[Progress], None],
        on_step: ProgressReport = silent,
    ) -> None:
        super().__init__(model, configuration, folder, progress, tensors, on_epoch, on_step)
        self.data = data
        self._sums: list[Tensor] = []

    def train_dataloader(self) -> DataLoader[Any]:
        """Return the samples of the next epoch in their order."""
        settings, epoch = self.configuration.field, self.progress.epoch
        changes = Changes((settings.seed, epoch), settings.turns())
        return self.loader(_Batches(self.data.epoch(epoch), changes))

    def val_dataloader(self) -> DataLoader[Any]:
        """Return the samples that select the best weights."""
        return self.loader(_Batches(self.data.checks(), None))

    def sample_losses(self, batch: dict[str, Tensor]) -> Tensor:
        """Return the loss of each sample, (B,): the mean of σ^2β times −log of the likelihood."""
        known, error, variance = _errors(self.model, batch)
        weight = known * variance.detach() ** self.configuration.training.focus
        each = 0.5 * (variance.log() + error.square() / variance)
        # Samples count by their number of values: those of a few say little.
        total = weight.sum().clamp(min=1e-12) / len(weight)
        return (weight * each).flatten(1).sum(1) / total

    def on_validation_epoch_start(self) -> None:
        """Forget the scores of the last epoch."""
        self._sums = []

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Sum scores over the values of a batch."""
        self._sums.append(_sums(self.scored, batch))

    def validated(self) -> tuple[dict[str, Any], float | None, dict[str, Any]]:
        """Return the scores of the values that are held back."""
        sums = self.gathered(torch.cat(self._sums, 1))
        found = _scores(sums.sum(1))
        entry = {name: finite(value) for name, value in found.items()}
        if entry["calibration"]:
            factor = drawn_to_one(sums[0], sums[2])
            self.scored.about = self.scored.about | {"variance_factor": factor}
        return entry, entry[self.configuration.training.select], found


def _errors(model: FieldModel, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Return where there are targets, their errors and the variance of these, as the targets."""
    mean, variance, _ = model(Inputs(*(batch[name] for name in Inputs._fields)))
    known = batch["known"]
    datum = torch.outer(batch["is_datum"], model.noise())  # (B, V)
    datum = datum.reshape(*datum.shape, *(known.ndim - 2) * (1,))
    total = variance.float() + batch["noise"] + datum
    total = total.where(known > 0, 1.0)  # of land, where it is 0
    return known, (batch["target"] - mean.float()) * known, total


@torch.no_grad()
def scored(model: FieldModel, samples: Sequence[AnySample]) -> dict[str, float]:
    """Return RMSE, calibration (squared error over variance) and NLL of samples, scaled.

    It leaves the model in evaluation mode.
    """
    batches = _Batches(samples, None)
    model.eval()
    parts = [_sums(model, batches.__getitems__([i])).sum(1) for i in range(len(batches))]
    return _scores(torch.stack(parts).sum(0))


def _sums(model: FieldModel, batch: dict[str, Tensor]) -> Tensor:
    """Return count and sums of squared errors, of scaled ones and of −log likelihoods, (4, B)."""
    known, error, variance = _errors(model, batch)
    squared = error.square()
    scaled = squared / variance
    likelihood = 0.5 * known * ((2 * torch.pi * variance).log() + scaled)
    parts = (known, squared, scaled, likelihood)
    return torch.stack([part.double().flatten(1).sum(1) for part in parts])


def _scores(total: Tensor) -> dict[str, float]:
    count, squared, scaled, likelihood = total.tolist()
    return {
        "rmse": (squared / count) ** 0.5, "calibration": scaled / count, "nll": likelihood / count
    }  # fmt: skip


def drawn_to_one(count: Tensor, scaled: Tensor) -> float:
    """Return the factor on variances that samples of validation ask for, drawn to 1 by its error.

    The errors under one cloud are not independent, so that a few clouds say little: the estimator
    of James and Stein (1961) with the variance of the ratio among samples. Of one sample alone
    the factor is the ratio.

    Parameters
    ----------
    count, scaled : (B,)
        Of each sample the values, and the sum of their squared errors over variances.

    Examples
    --------
    >>> even = torch.full((4,), 10.0)
    >>> drawn_to_one(even, 2 * even), drawn_to_one(even, torch.tensor([0.0, 30.0, 0.0, 20.0]))
    (2.0, 1.0)
    """
    samples = len(count)
    ratio = float(scaled.sum() / count.sum())
    if samples == 1 or ratio == 1:
        return ratio
    apart = float((scaled - ratio * count).square().sum() / count.sum().square())
    error = apart * samples / (samples - 1)
    return 1 + (ratio - 1) * max(0.0, 1 - error / (ratio - 1) ** 2)


class _Batches(Dataset[Any]):
    """Samples as tensors, a batch at a time, perhaps changed at random."""

    def __init__(self, samples: Sequence[AnySample], changes: Changes | None) -> None:
        self.samples, self.changes = samples, changes

    def __len__(self) -> int:
        return len(self.samples)

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        chosen = [self.samples[i] for i in indices]
        inputs = stacked([one.inputs() for one in chosen])
        target = torch.from_numpy(np.stack([one.target for one in chosen]))
        known = target.isfinite()
        batch = {
            **inputs._asdict(),
            "target": target.where(known, 0.0), "known": known.float(),
            "noise": torch.from_numpy(np.stack([one.noise for one in chosen])),
            "is_datum": torch.tensor([float(one.is_datum) for one in chosen]),
            "number": torch.tensor(indices),
        }  # fmt: skip
        if self.changes is None:
            return batch
        random = np.random.default_rng([*self.changes.seed, indices[0], 9])
        return _turned(batch, self.changes.turns, random)


def _turned(
    batch: dict[str, Tensor], turns: Sequence[tuple[str, ...]], random: np.random.Generator
) -> dict[str, Tensor]:
    """Return a batch turned in some of these ways at random."""
    for turn, drawn in zip(turns, random.random(len(turns)) < 0.5, strict=True):
        if drawn:
            batch = turned(batch, turn)
    return batch
