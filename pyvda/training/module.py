"""Joint training of Φ and Γ as a Lightning module."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from pyvda.learned.model import LearnedModel
from pyvda.progress import ProgressReport, silent
from pyvda.scores import score_table
from pyvda.solvers import SolverResult
from pyvda.state.batch import Batch
from pyvda.training import losses
from pyvda.training.configuration import Configuration, Supervised, Unsupervised
from pyvda.training.data import Source, Windows
from pyvda.training.resumable import Resumable, finite
from pyvda.training.schedule import rates
from pyvda.training.state import Progress

_DTYPE = {"64-true": torch.float64}


class Assimilator(Resumable):
    """Trains a learned model on windows.

    Parameters
    ----------
    model : LearnedModel
    configuration : Configuration
    data : TwinData or FileData
    folder, progress, tensors, on_epoch, on_step
        See `Resumable`.
    """

    def __init__(
        self,
        model: LearnedModel,
        configuration: Configuration,
        data: Source,
        folder: Path,
        progress: Progress,
        tensors: dict[str, Tensor] | None,
        on_epoch: Callable[[Progress], None],
        on_step: ProgressReport = silent,
    ) -> None:
        super().__init__(model, configuration, folder, progress, tensors, on_epoch, on_step)
        self.data = data
        self.windows_dtype = _DTYPE.get(configuration.training.precision, torch.float32)
        self._ahead: dict[int, Future[Windows]] = {}
        self._scores: list[losses.Scores] = []

    # Data.

    def train_dataloader(self) -> DataLoader[Any]:
        """Return the windows of the next epoch in order, and prepare those after it in a thread."""
        epoch = self.progress.epoch
        made = self._ahead.pop(epoch, None)
        windows = self._windows(epoch) if made is None else made.result()
        if not self.data.calls_engine and epoch + 1 < self.configuration.training.epochs:
            executor = ThreadPoolExecutor(1)
            self._ahead[epoch + 1] = executor.submit(self._windows, epoch + 1)
            executor.shutdown(wait=False)
        return self.loader(windows)

    def _windows(self, epoch: int) -> Windows:
        return Windows(*self.data.epoch(epoch), self.windows_dtype)

    def val_dataloader(self) -> DataLoader[Any]:
        """Return the windows that select the best weights."""
        batch = self.data.validation
        return self.loader(Windows(batch, np.arange(len(batch)), self.windows_dtype))

    # One step.

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimiser with two groups of parameters, solver and prior."""
        prior = list(self.model.prior.parameters())
        in_prior = {id(p) for p in prior}
        solver = [p for p in self.model.parameters() if id(p) not in in_prior]
        groups = [
            {"params": group, "name": name}
            for group, name in ((solver, "solver"), (prior, "prior"))
            if group
        ]
        return self.optimiser_of(groups)

    def on_fit_start(self) -> None:
        """Compile, and restore the stored state, if there is one."""
        if self.configuration.training.compile:
            for model in (self.model, self.average):
                if model is not None:
                    model.cost.compile()
        super().on_fit_start()

    def on_train_epoch_start(self) -> None:
        """Set the solver's iterations and which parameters are trained in this epoch."""
        super().on_train_epoch_start()
        settings = self.configuration
        iterations = settings.training.iterations_at(self.progress.epoch)
        for model in (self.model, self.average):
            if model is not None:
                model.iterations = iterations
        trains_prior = self.prior_alone or settings.optimiser.prior_rate > 0
        self.model.requires_grad_(not self.prior_alone)
        self.model.prior.requires_grad_(trains_prior)

    def group_rates(self, step: int, steps_per_epoch: int) -> dict[str, float]:
        """Return the learning rates of solver and prior."""
        return rates(self.configuration, step, steps_per_epoch)

    @property
    def prior_alone(self) -> bool:
        """Whether this epoch trains Φ alone, by its error on true states."""
        return (
            self.configuration.loss.kind == "identification"
            or self.progress.epoch < self.configuration.training.pretraining
        )

    def sample_losses(self, batch: dict[str, Tensor]) -> Tensor:
        """Return the loss of each window, (B,)."""
        return self._loss(self._normalised(batch))

    def _loss(self, batch: Batch) -> Tensor:
        settings = self.configuration.loss
        if self.prior_alone:
            return losses.identification(self.model, batch)
        found = self._solve(self.model, batch)
        if isinstance(settings, Unsupervised):
            return losses.unsupervised(self.model, found.x, batch, settings)
        if isinstance(settings, Supervised):
            path = found.path or (found.x,)
            return sum(losses.supervised(self.model, z, batch, settings) for z in path)  # type: ignore
        raise TypeError(f"no loss for a {type(settings).__name__}")

    def _solve(self, model: LearnedModel, batch: Batch) -> SolverResult:
        training = self.configuration.training
        return model.solver.solve(
            model.cost, batch, model.iterations,
            checkpoint_every=training.checkpoint_every, detach_every=training.detach_every,
        )  # fmt: skip

    def _normalised(self, tensors: dict[str, Tensor]) -> Batch:
        t = tensors
        return self.model.normalised(
            Batch(t["observation"], t["mask"], t["first_guess"], t.get("truth"))
        )

    # The end of an epoch.

    def on_validation_epoch_start(self) -> None:
        """Discard the scores of the previous epoch."""
        self._scores = []

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Score a batch of validation windows."""
        windows = self._normalised(batch)
        model = self.scored
        z = windows.first_guess if self.prior_alone else self._solve(model, windows).x
        self._scores.append(losses.scores(model, z, windows, self.configuration.loss))  # type: ignore

    def validated(self) -> tuple[dict[str, Any], float | None, dict[str, Any]]:
        """Return an epoch's entry in the learning curve, its score, and the table of its scores."""
        found = {name: values for name, values in self._gathered().items() if name in self._known()}
        entry: dict[str, Any] = {
            "iterations": 0 if self.prior_alone else self.model.iterations,
            **{name: finite(float(values.mean())) for name, values in found.items()},
        }
        pretrained = self.progress.epoch >= self.configuration.training.pretraining
        score = entry.get(self.configuration.select()) if pretrained else None
        return entry, score, score_table(found)

    def patience_from(self) -> int:
        """Return the end of pretraining, whose scores do not select, or where iterations change."""
        training = self.configuration.training
        return max(training.pretraining, *training.iterations)

    def _known(self) -> tuple[str, ...]:
        """Return the names of the scores that are meaningful in this epoch."""
        if self.prior_alone:
            return ("ode_score",)  # the solver did not run
        return losses.Scores._fields if self.data.validation.truth is not None else ("cost",)

    def _gathered(self) -> dict[str, np.ndarray]:
        """Return the validation scores of all windows from all processes."""
        columns = [torch.cat(column) for column in zip(*self._scores, strict=True)]
        together = self.gathered(torch.stack(columns).double()).numpy()
        return dict(zip(losses.Scores._fields, together, strict=True))
