"""Lightning's trainer as a configuration asks for it, without its own output."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lightning
from lightning.fabric.utilities.exceptions import MisconfigurationException

from pyvda.errors import InputError
from pyvda.signals import handlers_kept
from pyvda.training.configuration import Run


def make_trainer(
    out: Path, settings: Run, epochs: int, clip: float | None, *, leaves_unused: bool = False
) -> lightning.Trainer:
    """Return a trainer for at most `epochs` epochs.

    Parameters
    ----------
    out : path
    settings : Run
    epochs : int
    clip : float, optional
        Largest norm of the gradient.
    leaves_unused : bool
        Whether a step may leave weights unused, which DDP must expect.

    Raises
    ------
    InputError
        The accelerator, devices or strategy are not available on this machine.
    """
    strategy = settings.strategy
    if strategy == "ddp" and leaves_unused:
        strategy = "ddp_find_unused_parameters_true"
    try:
        with quiet():
            return lightning.Trainer(
                accelerator=settings.accelerator,
                devices=settings.devices,
                strategy=strategy,
                precision=settings.precision,
                max_epochs=epochs,
                gradient_clip_val=clip,
                reload_dataloaders_every_n_epochs=1,
                use_distributed_sampler=False,  # the module has one of its own
                num_sanity_val_steps=0,
                inference_mode=False,  # Φ's gradient is taken in validation too
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                default_root_dir=out,
            )
    except (MisconfigurationException, ImportError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()).partition(". ")[0].rstrip(".!")
        raise InputError(
            f"training: accelerator {settings.accelerator!r} with devices {settings.devices!r} and "
            f"strategy {settings.strategy!r} cannot be used ({reason}), expected devices of this "
            "machine; correct them, or leave them out to let Lightning choose one device"
        ) from error


def run(trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
    """Train, with the handlers of signals as they were.

    At its end Lightning resets every signal to the handler that Python knows. Julia's threads stop
    for garbage collection by a SIGSEGV that Julia handles in C; without that handler the next
    collection would end the process.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C was pressed.
    """
    with quiet(), handlers_kept():
        try:
            trainer.fit(module)
        except SystemExit:
            if not trainer.interrupted:
                raise
            raise KeyboardInterrupt from None  # Lightning turns it into an exit


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress Lightning's tips and its advice about data loaders."""
    loggers = [logging.getLogger(n) for n in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
