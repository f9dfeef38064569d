"""The training of a network for data at points as a Lightning module."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pyvda.fields.learned_points.configuration import PointConfiguration
from pyvda.fields.learned_points.description import Scores
from pyvda.fields.learned_points.model import PointModel
from pyvda.fields.learned_points.network import Inputs
from pyvda.fields.learned_points.samples import PointSamples, Targets
from pyvda.fields.paired import ratio_of_errors
from pyvda.progress import ProgressReport, silent
from pyvda.training.resumable import OneRate
from pyvda.training.state import Progress


class PointTraining(OneRate):
    """Trains the members of a network on hidden values, each without those that score it.

    Parameters
    ----------
    model : PointModel
    configuration : PointConfiguration
    data : PointSamples
    folder, progress, tensors, on_epoch, on_step
        See `Resumable`.
    """

    def __init__(
        self,
        model: PointModel,
        configuration: PointConfiguration,
        data: PointSamples,
        folder: Path,
        progress: Progress,
        tensors: dict[str, Tensor] | None,
        on_epoch: Callable[[Progress], None],
        on_step: ProgressReport = silent,
    ) -> None:
        super().__init__(model, configuration, folder, progress, tensors, on_epoch, on_step)
        self.data = data

    def train_dataloader(self) -> DataLoader[Any]:
        """Return the targets of the next epoch in their order."""
        return self.loader(_Batches(self.data.epoch(self.progress.epoch)))

    def sample_losses(self, batch: dict[str, Tensor]) -> Tensor:
        """Return the squared error of each target over the field's variance, (B,).

        The mean over the members that learn from it.
        """
        change = self.model(Inputs(*(batch[name] for name in Inputs._fields)))
        members = len(change)
        learns = torch.arange(members, device=change.device)[:, None] != batch["fold"]
        squares = (change - batch["error"]).square() / self.data.covariance.variance
        return (squares * learns).sum(0) / (members - 1)

    def validated(self) -> tuple[dict[str, Any], float | None, dict[str, Any]]:
        """Return the scores of the values that a member has not learned from."""
        found = scores(self.scored, self.data.checks(), self.configuration.points.seed)
        self.scored.about = self.scored.about | {"scores": found, "corrects": found.high < 1}
        entry = {name: getattr(found, name) for name in ("rmse", "ratio", "low", "high")}
        return entry, found.rmse, entry


@torch.no_grad()
def scores(model: PointModel, targets: Targets, seed: int) -> Scores:
    """Return the errors of targets, corrected by the member that has not learned from them."""
    before_scoring = model.training
    model.eval()
    device = next(model.parameters()).device
    parts = []
    for some in torch.arange(len(targets.track)).split(4096):
        part = targets.at(some)
        change = model(Inputs(*(one.to(device) for one in part.inputs)))
        parts.append(change.gather(0, part.fold[None].to(device))[0])
    model.train(before_scoring)
    before = targets.error.double().numpy() ** 2
    after = (targets.error - torch.cat(parts).cpu()).double().numpy() ** 2
    return Scores(
        first_guess=float(np.sqrt(before.mean())), rmse=float(np.sqrt(after.mean())),
        values=len(before), **ratio_of_errors(targets.track, after, before, seed)._asdict(),
    )  # fmt: skip


class _Batches(Dataset[Any]):
    """Targets in their order, a batch at a time."""

    def __init__(self, targets: Targets) -> None:
        self.targets = targets

    def __len__(self) -> int:
        return len(self.targets.track)

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        some = self.targets.at(np.array(indices))
        return {
            **some.inputs._asdict(), "error": some.error, "fold": some.fold,
            "number": torch.tensor(indices),
        }  # fmt: skip
