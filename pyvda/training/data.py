"""Windows for training: simulated and observed anew in each epoch, or read from files.

Everything random in an epoch (new windows, noise, symmetries, order) depends only on the seed and
the number of the epoch, so that a resumed training sees the same data as an uninterrupted one. The
engine is called here, in the main thread between two epochs, never in a data loader's worker;
windows that need no engine are prepared in a thread during the previous epoch.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.utils.data import Dataset

from pyvda import names, twin, twin_observations
from pyvda.climate.climatology import climatology
from pyvda.engine import get_engine
from pyvda.engine.choice import thread_count
from pyvda.engine.interface import Array
from pyvda.learned.description import Pattern
from pyvda.state import windows
from pyvda.state.batch import Batch
from pyvda.training.data_settings import Data, Files
from pyvda.training.files import FileData

# Seeds of epochs have three 32-bit words, the last of them 1; users' seeds have one word, which
# numpy pads with zeros. So no epoch repeats the windows of a user's seed.
_WORD = 1 << 32

# Windows that a thread observes and interpolates in one block.
_BLOCK = 256


class Windows(Dataset[Any]):
    """A data set of windows as torch tensors, fetched one batch at a time.

    Parameters
    ----------
    batch : Batch
        numpy arrays (W, T, D), with the truth.
    numbers : (W,)
        Number of each window, for messages.
    dtype : torch.dtype
    """

    def __init__(self, batch: Batch, numbers: Array, dtype: torch.dtype) -> None:
        self.tensors = {
            name: torch.as_tensor(value).to(dtype)
            for name, value in vars(batch).items()
            if value is not None
        }
        self.tensors["number"] = torch.as_tensor(numbers)

    def __len__(self) -> int:
        return len(self.tensors["number"])

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: values[index] for name, values in self.tensors.items()}

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        return {name: values[indices] for name, values in self.tensors.items()}


class TwinData:
    """Training and validation windows of a twin experiment.

    Parameters
    ----------
    settings : Data
    engine : str, optional
        See `pyvda.engine.get_engine`.

    Attributes
    ----------
    pattern : Pattern
        The pattern of its observations.
    model : Model
        The dynamical model of the states.
    states : (W, T, D)
        True states of the fixed training windows, or of the first epoch, for the normalisation.
    validation : Batch
        The windows that select the best weights.
    calls_engine : bool
        Whether `epoch` calls the engine, so that only the main thread may call it.
    """

    def __init__(self, settings: Data, engine: str | None = None) -> None:
        self.settings = settings
        self.engine = engine
        self.setting = settings.setting()
        self.pattern = Pattern.of(settings.preset, self.setting, settings.missing)
        self.model = self.setting.model
        self._mean = climatology(self.setting.model, get_engine(engine)).mean
        self._truth = self._simulate(settings.windows, self._seed(0))
        self.states: Array = self._truth[names.TRUTH].values
        seed = settings.validation_seed
        self.validation = self._batch(self._simulate(settings.validation, seed), seed)
        self.calls_engine = settings.fresh
        self.symmetries = self.setting.model.symmetries if settings.symmetries else ()

    def epoch(self, epoch: int) -> tuple[Batch, Array]:
        """Return the windows of an epoch in training order, and their numbers."""
        settings = self.settings
        if settings.fresh and epoch > 0:
            truth = self._simulate(settings.windows, self._seed(epoch))
        else:
            truth = self._truth
        random = np.random.default_rng([settings.seed, epoch, 2])
        for symmetry in self.symmetries:
            # Before observing: only then may the observed components stay where they are.
            turned = symmetry.images(truth[names.TRUTH].values, random)
            truth = truth.assign({names.TRUTH: (names.DIMENSIONS, turned)})
        order = random.permutation(truth.sizes[names.WINDOW])
        seed = self._seed(epoch) if settings.fresh_noise else settings.seed
        batch = self._batch(truth, seed, order)
        return batch, order + (epoch * settings.windows if settings.fresh else 0)

    def distinct(self, epochs: int) -> int:
        """Return the number of distinct true windows in the first `epochs` epochs."""
        return self.settings.windows * (epochs if self.settings.fresh else min(epochs, 1))

    def _seed(self, epoch: int) -> int:
        if epoch == 0:
            return self.settings.seed
        return _WORD**2 + _WORD * self.settings.seed + epoch

    def _simulate(self, count: int, seed: int) -> xr.Dataset:
        return twin.simulate(self.setting, count, seed, engine=self.engine)

    def _batch(self, truth: xr.Dataset, seed: int, order: Array | None = None) -> Batch:
        """Return the observed windows in the given order; threads process blocks of them."""
        observed = twin_observations.observe(truth, self.setting, seed).assign(
            truth=truth[names.TRUTH]
        )
        if self.settings.missing:
            data = observed[names.OBSERVATION]
            kept = _kept(data.shape, self.settings.missing, seed)
            observed = observed.assign({names.OBSERVATION: data.where(kept)})
        order = np.arange(truth.sizes[names.WINDOW]) if order is None else order
        shape = (len(order), *truth[names.TRUTH].shape[1:])
        batch = Batch(np.empty(shape), np.empty(shape), np.empty(shape), np.empty(shape))

        def fill(start: int) -> None:
            part = slice(start, start + _BLOCK)
            made = windows.to_batch(observed.isel(window=order[part]), self._mean)
            for array, values in zip(_arrays(batch), _arrays(made), strict=True):
                array[part] = values

        with ThreadPoolExecutor(thread_count()) as threads:
            list(threads.map(fill, range(0, len(order), _BLOCK)))
        return batch


def _arrays(batch: Batch) -> tuple[Any, ...]:
    return batch.observation, batch.mask, batch.first_guess, batch.truth


def _kept(shape: tuple[int, ...], missing: float, seed: int) -> Array:
    """Return which data remain when each window loses a random share between 0 and `missing`."""
    random = np.random.default_rng([seed, 0, 3])  # no other numbers are drawn from these
    shares = missing * random.random((shape[0], 1, 1))
    return np.asarray(random.random(shape) >= shares)


Source = TwinData | FileData


def source(settings: Data | Files, engine: str | None = None) -> Source:
    """Return the training data of a configuration."""
    return FileData(settings, engine) if isinstance(settings, Files) else TwinData(settings, engine)
