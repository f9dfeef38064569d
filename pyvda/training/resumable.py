"""Common to every training: average the weights, keep the best, store a state to resume from.

`Assimilator` trains priors and solvers on windows, `FieldTraining` networks on fields with gaps.
"""

from __future__ import annotations

import copy
import math
import time
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from pyvda.errors import TrainingError
from pyvda.progress import ProgressReport, silent
from pyvda.training import state
from pyvda.training.schedule import scheduled
from pyvda.training.state import Progress


class Resumable(lightning.LightningModule):
    """A training that stores the best weights and its whole state after each epoch.

    Subclasses give the data loaders, `group_rates`, `sample_losses` and `validated`.

    Parameters
    ----------
    model : nn.Module
        Has `save(folder)`.
    configuration : Section
        Has the sections `optimiser` and `training`.
    folder : path
        Where the best model and the state are stored.
    progress : Progress
        Numbers of the training so far, updated in place.
    tensors : dict, optional
        Tensors of the state to resume from.
    on_epoch : callable(Progress)
        Called after every epoch.
    on_step : ProgressReport
        Called after every optimiser step.
    """

    def __init__(
        self,
        model: nn.Module,
        configuration: Any,
        folder: Path,
        progress: Progress,
        tensors: dict[str, Tensor] | None,
        on_epoch: Callable[[Progress], None],
        on_step: ProgressReport = silent,
    ) -> None:
        super().__init__()
        self.model: Any = model
        self.average: Any = copy.deepcopy(model) if configuration.training.averaging else None
        self.configuration = configuration
        self.folder = folder
        self.progress = progress
        self.stored = tensors
        self.on_epoch = on_epoch
        self.on_step = on_step
        self._losses: list[Tensor] = []
        self._started = time.monotonic()

    @abstractmethod
    def group_rates(self, step: int, steps_per_epoch: int) -> dict[str, float]:
        """Return the learning rate of each group of parameters, by name, at a step."""

    @abstractmethod
    def sample_losses(self, batch: dict[str, Tensor]) -> Tensor:
        """Return the loss of each sample of a batch, (B,)."""

    @abstractmethod
    def validated(self) -> tuple[dict[str, Any], float | None, dict[str, Any]]:
        """Return an epoch's entry in the learning curve, its score, and what is kept of the best.

        The lowest score is the best; None: this epoch selects nothing.
        """

    def patience_from(self) -> int:
        """Return the epoch from which patience counts at the earliest."""
        return 0

    @property
    def scored(self) -> Any:
        """The model that is validated and stored: the average, if there is one."""
        return self.model if self.average is None else self.average

    def on_fit_start(self) -> None:
        """Restore the stored state, if there is one."""
        if self.stored is None:
            return
        state.restore(self.stored, self.model, self.average, self._optimiser())
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        if scaler is not None and self.progress.scaler:
            scaler.load_state_dict(self.progress.scaler)
        self.stored = None

    def loader(self, dataset: Dataset[Any]) -> DataLoader[Any]:
        """Return batches of a dataset in its order.

        Lightning's own sampler would shuffle. Without, the processes together take the same samples
        in a step as one process with the whole batch.
        """
        processes = self.trainer.world_size
        sampler: DistributedSampler[Any] | None = None
        if processes > 1:
            sampler = DistributedSampler(dataset, processes, self.trainer.global_rank, False)
        return DataLoader(
            dataset, batch_size=self.configuration.training.batch_size, sampler=sampler,
            collate_fn=lambda fetched: fetched,
        )  # fmt: skip

    def optimiser_of(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return the optimiser of groups of parameters, whose rates are set at every step."""
        settings = self.configuration.optimiser
        if settings.kind == "adamw":
            return torch.optim.AdamW(groups, lr=0.0, weight_decay=settings.weight_decay)
        return torch.optim.Adam(groups, lr=0.0)

    def on_train_epoch_start(self) -> None:
        """Forget the losses of the last epoch."""
        self._losses = []

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Set the learning rates of this step."""
        per_epoch = int(self.trainer.num_training_batches)
        by_name = self.group_rates(self.progress.step, per_epoch)
        for group in self._optimiser().param_groups:
            group["lr"] = by_name[group["name"]]

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Return the mean loss of a batch; refuse one that is not finite."""
        loss = self.sample_losses(batch)
        if not bool(loss.isfinite().all()):
            self._stop("the loss is not finite", batch["number"][~loss.isfinite()].tolist())
        self._losses.append(loss.detach().mean())
        return loss.mean()

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Refuse a gradient that is not finite, unless mixed precision rescales and retries."""
        if getattr(self.trainer.precision_plugin, "scaler", None) is not None:
            return
        for name, parameter in self.model.named_parameters():
            if parameter.grad is not None and not bool(parameter.grad.isfinite().all()):
                self._stop(f"the gradient of {name} is not finite", [])

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Count the step and update the average of the weights."""
        self.progress.step += 1
        epochs = self.configuration.training.epochs
        self.on_step(self.progress.step, epochs * int(self.trainer.num_training_batches))
        if self.average is None:
            return
        # Decays faster at first; otherwise the random start would stay in the average for long.
        wanted = self.configuration.training.averaging
        decay = min(wanted, (1 + self.progress.step) / (10 + self.progress.step))
        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.model.parameters(), strict=True)
            for averaged, parameter in pairs:
                averaged.lerp_(parameter, 1.0 - decay)

    def on_train_epoch_end(self) -> None:
        """Store the best weights, then the state, then report."""
        progress, training = self.progress, self.configuration.training
        entry, score, kept = self.validated()
        progress.curve.append(
            {
                "epoch": progress.epoch,
                "step": progress.step,
                "loss": finite(float(torch.stack(self._losses).mean())),
                **entry,
            }
        )
        if score is not None and (progress.best_score is None or score < progress.best_score):
            progress.best_score, progress.best_epoch = score, progress.epoch
            progress.best_scores = kept
            if self.trainer.is_global_zero:
                self.scored.save(self.folder)
        progress.epoch += 1
        since = progress.epoch - 1 - max(progress.best_epoch, self.patience_from())
        stale = training.patience is not None and since >= training.patience
        progress.finished = stale or progress.epoch >= training.epochs
        self.trainer.should_stop = self.trainer.should_stop or progress.finished
        now = time.monotonic()
        progress.seconds += now - self._started
        self._started = now
        if self.trainer.is_global_zero:
            self._save_state()
            self.on_epoch(progress)
        self.trainer.strategy.barrier()  # other processes read the weights at their end

    def gathered(self, columns: Tensor) -> Tensor:
        """Return the columns (n, samples) of all processes, in the order of the samples."""
        together = self.all_gather(columns)
        if not isinstance(together, Tensor):
            raise TypeError(f"gathered a {type(together).__name__}, expected a tensor")
        return together.movedim(-2, 0).reshape(len(columns), -1).cpu()

    def _stop(self, what: str, samples: list[int]) -> None:
        rates = {g["name"]: g["lr"] for g in self._optimiser().param_groups}
        of = f", window {', '.join(str(s) for s in samples[:8])}" if samples else ""
        used = ", ".join(f"{name} {rate:.3g}" for name, rate in rates.items())
        raise TrainingError(
            f"{what} at step {self.progress.step} (epoch {self.progress.epoch}{of}, learning "
            f"rates: {used}); the last good weights and state are kept in {self.folder}: lower the "
            "rates or clip the gradient"
        )

    def _optimiser(self) -> torch.optim.Optimizer:
        found = self.trainer.optimizers
        return found[0]

    def _save_state(self) -> None:
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        if scaler is not None:
            self.progress.scaler = scaler.state_dict()
        state.save(
            self.folder / state.RESUME_FILE, self.progress,
            self.configuration.model_dump(mode="json"), self.model, self.average,
            self._optimiser(),
        )  # fmt: skip


def finite(value: float) -> float | None:
    """Return a finite number, or None, since JSON has no others."""
    return value if math.isfinite(value) else None


class OneRate(Resumable):
    """A training of all weights with one learning rate, whose steps may drop units out."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimiser, one group of parameters."""
        return self.optimiser_of([{"params": list(self.model.parameters()), "name": "all"}])

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Set the rate, and seed what the step drops out: a resumed training drops the same."""
        super().on_train_batch_start(batch, batch_idx)
        torch.manual_seed(self.configuration.training.seed * 1_000_003 + self.progress.step)

    def group_rates(self, step: int, steps_per_epoch: int) -> dict[str, float]:
        """Return the learning rate."""
        settings, epochs = self.configuration.optimiser, self.configuration.training.epochs
        return {"all": settings.rate * scheduled(settings, step, steps_per_epoch, epochs)}
