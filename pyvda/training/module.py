"""Joint training of Φ and Γ as a Lightning module."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler

from pyvda.errors import TrainingError
from pyvda.learned.model import LearnedModel
from pyvda.progress import Report, silent
from pyvda.scores import score_table
from pyvda.solvers import SolverResult
from pyvda.state.batch import Batch
from pyvda.training import losses, state
from pyvda.training.configuration import Configuration, Supervised, Unsupervised
from pyvda.training.data import Source, Windows
from pyvda.training.schedule import rates
from pyvda.training.state import Progress

_DTYPE = {"64-true": torch.float64}


class Assimilator(lightning.LightningModule):
    """Trains a learned model; stores the best weights and the whole state after each epoch.

    Parameters
    ----------
    model : LearnedModel
    configuration : Configuration
    data : TwinData or FileData
    folder : path
        Where the best model and the state are stored.
    progress : Progress
        Numbers of the training so far, updated in place.
    tensors : dict, optional
        Tensors of the state to resume from.
    on_epoch : callable(Progress)
        Called after every epoch.
    on_step : Report
        Called after every optimiser step.
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
        on_step: Report = silent,
    ) -> None:
        super().__init__()
        self.model = model
        self.average = copy.deepcopy(model) if configuration.training.averaging else None
        self.configuration = configuration
        self.data = data
        self.folder = folder
        self.progress = progress
        self.stored = tensors
        self.on_epoch = on_epoch
        self.on_step = on_step
        self.windows_dtype = _DTYPE.get(configuration.training.precision, torch.float32)
        self._ahead: dict[int, Future[Windows]] = {}
        self._losses: list[Tensor] = []
        self._scores: list[losses.Scores] = []
        self._started = time.monotonic()

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
        return self._loader(windows)

    def _windows(self, epoch: int) -> Windows:
        return Windows(*self.data.epoch(epoch), self.windows_dtype)

    def val_dataloader(self) -> DataLoader[Any]:
        """Return the windows that select the best weights."""
        batch = self.data.validation
        return self._loader(Windows(batch, np.arange(len(batch)), self.windows_dtype))

    def _loader(self, dataset: Windows) -> DataLoader[Any]:
        processes = self.trainer.world_size
        # Lightning's own sampler would shuffle. Without, the processes together take the same
        # windows in a step as one process with the whole batch.
        sampler: DistributedSampler[Any] | None = None
        if processes > 1:
            sampler = DistributedSampler(dataset, processes, self.trainer.global_rank, False)
        return DataLoader(
            dataset,
            batch_size=self.configuration.training.batch_size,
            sampler=sampler,
            collate_fn=lambda fetched: fetched,
        )

    # One step.

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimiser with two groups of parameters, solver and prior."""
        settings = self.configuration.optimiser
        prior = list(self.model.prior.parameters())
        in_prior = {id(p) for p in prior}
        solver = [p for p in self.model.parameters() if id(p) not in in_prior]
        groups = [
            {"params": group, "name": name}
            for group, name in ((solver, "solver"), (prior, "prior"))
            if group
        ]
        if settings.kind == "adamw":
            return torch.optim.AdamW(groups, lr=0.0, weight_decay=settings.weight_decay)
        return torch.optim.Adam(groups, lr=0.0)

    def on_fit_start(self) -> None:
        """Restore the stored state, if there is one."""
        if self.configuration.training.compile:
            for model in (self.model, self.average):
                if model is not None:
                    model.cost.compile()
        if self.stored is None:
            return
        state.restore(self.stored, self.model, self.average, self._optimiser())
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        if scaler is not None and self.progress.scaler:
            scaler.load_state_dict(self.progress.scaler)
        self.stored = None

    def on_train_epoch_start(self) -> None:
        """Set the solver's iterations and which parameters are trained in this epoch."""
        self._losses = []
        settings = self.configuration
        iterations = settings.training.iterations_at(self.progress.epoch)
        for model in (self.model, self.average):
            if model is not None:
                model.iterations = iterations
        trains_prior = self.prior_alone or settings.optimiser.prior_rate > 0
        self.model.requires_grad_(not self.prior_alone)
        self.model.prior.requires_grad_(trains_prior)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Set the learning rates of this step."""
        per_epoch = int(self.trainer.num_training_batches)
        by_name = rates(self.configuration, self.progress.step, per_epoch)
        for group in self._optimiser().param_groups:
            group["lr"] = by_name[group["name"]]

    @property
    def prior_alone(self) -> bool:
        """Whether this epoch trains Φ alone, by its error on true states."""
        return (
            self.configuration.loss.kind == "identification"
            or self.progress.epoch < self.configuration.training.pretraining
        )

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Return the mean loss of a batch; refuse one that is not finite."""
        loss = self._loss(self._normalised(batch))
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

    def _stop(self, what: str, windows: list[int]) -> None:
        solver_rate = {g["name"]: g["lr"] for g in self._optimiser().param_groups}
        of = f", window {', '.join(str(w) for w in windows[:8])}" if windows else ""
        used = ", ".join(f"{name} {rate:.3g}" for name, rate in solver_rate.items())
        raise TrainingError(
            f"{what} at step {self.progress.step} (epoch {self.progress.epoch}{of}, learning "
            f"rates: {used}); the last good weights and state are kept in {self.folder}: lower the "
            "rates or clip the gradient"
        )

    def _optimiser(self) -> torch.optim.Optimizer:
        found = self.trainer.optimizers
        return found[0]

    # The end of an epoch.

    @property
    def scored(self) -> LearnedModel:
        """The model that is validated and stored: the average, if there is one."""
        return self.model if self.average is None else self.average

    def on_validation_epoch_start(self) -> None:
        """Discard the scores of the previous epoch."""
        self._scores = []

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Score a batch of validation windows."""
        windows = self._normalised(batch)
        model = self.scored
        z = windows.first_guess if self.prior_alone else self._solve(model, windows).x
        self._scores.append(losses.scores(model, z, windows, self.configuration.loss))  # type: ignore

    def on_train_epoch_end(self) -> None:
        """Store the best weights, then the state, then report."""
        found = {name: values for name, values in self._gathered().items() if name in self._known()}
        means = {name: float(values.mean()) for name, values in found.items()}
        progress, training = self.progress, self.configuration.training
        entry: dict[str, Any] = {
            "epoch": progress.epoch,
            "step": progress.step,
            "iterations": 0 if self.prior_alone else self.model.iterations,
            "loss": _finite(float(torch.stack(self._losses).mean())),
            **{name: _finite(value) for name, value in means.items()},
        }
        progress.curve.append(entry)
        score = entry.get(self.configuration.select())
        pretrained = progress.epoch >= training.pretraining
        better = progress.best_score is None or (score is not None and score < progress.best_score)
        if pretrained and score is not None and better:
            progress.best_score, progress.best_epoch = score, progress.epoch
            progress.best_scores = score_table(found)
            if self.trainer.is_global_zero:
                self.scored.save(self.folder)
        progress.epoch += 1
        # Patience counts from the end of pretraining, whose scores do not select, and from the last
        # change of the iterations.
        started = max(training.pretraining, *training.iterations)
        since = progress.epoch - 1 - max(progress.best_epoch, started)
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

    def _known(self) -> tuple[str, ...]:
        """Return the names of the scores that are meaningful in this epoch."""
        if self.prior_alone:
            return ("ode_score",)  # the solver did not run
        return losses.Scores._fields if self.data.validation.truth is not None else ("cost",)

    def _save_state(self) -> None:
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        if scaler is not None:
            self.progress.scaler = scaler.state_dict()
        state.save(
            self.folder / state.RESUME_FILE, self.progress,
            self.configuration.model_dump(mode="json"), self.model, self.average,
            self._optimiser(),
        )  # fmt: skip

    def _gathered(self) -> dict[str, np.ndarray]:
        """Return the validation scores of all windows from all processes."""
        columns = [torch.cat(column) for column in zip(*self._scores, strict=True)]
        together = self.all_gather(torch.stack(columns).double())
        if not isinstance(together, Tensor):
            raise TypeError(f"gathered a {type(together).__name__}, expected a tensor")
        flat = together.movedim(-2, 0).reshape(len(columns), -1).cpu().numpy()
        return dict(zip(losses.Scores._fields, flat, strict=True))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
