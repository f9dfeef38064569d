"""A trained prior and solver from a checkpoint, as an assimilation method.

torch is imported only by `solve`. The settings of the training are read from the checkpoint's
description before anything is computed.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from pyvda import names
from pyvda.engine import get_engine
from pyvda.engine.interface import Array, Engine
from pyvda.errors import InputError
from pyvda.learned.description import Description, Pattern, read_description
from pyvda.learned.device import usable_device
from pyvda.learned.shipped import checkpoint_folder
from pyvda.methods.problem import Options, Problem, Solution, Status
from pyvda.methods.statistics import half_misfit, judged, precision_of
from pyvda.models.model import Model

if TYPE_CHECKING:
    from pyvda.learned.model import LearnedModel

# Values of all windows times iterations above which Julia is started for its kernels: starting and
# compiling takes about five seconds, in which torch processes half as many.
_WORTH_STARTING = 24_000_000

# Values in a batch on a CPU: the intermediate results of larger batches do not fit in its cache,
# and Lorenz-96 then takes up to three times as long.
_AT_ONCE = 1 << 18


class LearnedOptions(Options):
    """Options of a learned model.

    Attributes
    ----------
    checkpoint : str
        Folder made by `pyvda train`, or the name of a shipped model.
    iterations : int, optional
        Iterations of the solver, overriding the trained number.
    precision : {"float32", "float64"}
        Floating-point type of the computation.
    batch_size : int, optional
        Windows computed together. Default: 256; on a CPU, as many as its caches hold.
    device : str
        "auto" (CUDA if available), "cpu", "cuda", "cuda:1".
    """

    checkpoint: str
    iterations: int | None = Field(None, ge=0, le=10**9)
    precision: Literal["float32", "float64"] = "float32"
    batch_size: int | None = Field(None, ge=1, le=10**9)
    device: str = "auto"

    def description(self) -> Description:
        """Return the checkpoint's description."""
        return read_description(checkpoint_folder(self.checkpoint))

    def model(self) -> Model:
        """Return the model that the checkpoint was trained for."""
        return self.pattern().dynamics()

    def runs_model(self) -> bool:
        """Tell whether the prior runs a model of the user's own."""
        return self.description().needs_code()

    def expected_state(self, model: Model, engine: Engine) -> Array:
        """Return the climatological mean (D,): of a user's own model, that of the training."""
        own = self.pattern().own
        if own is None or model.climatology is not None:
            return super().expected_state(model, engine)
        return np.asarray(own.expected_state)

    def check_time_step(self, time_step: float) -> None:
        """Raise InputError unless the step is the trained one, the only one that Φ is right for."""
        trained = self.pattern().time_step
        if abs(time_step - trained) > 1e-6 * trained:
            raise InputError(
                f"the observations have a step of {time_step:.6g} model time units, the checkpoint "
                f"{self.checkpoint} was trained for {trained:.6g}; give observations on that step "
                "(NaN where there are none), or the right time_step (--time-step)"
            )

    def pattern(self) -> Pattern:
        """Return the observations that the checkpoint was trained for."""
        return self.description().pattern

    def window_outputs(self) -> tuple[str, ...]:
        """Return the names of the outputs that measure the fit to the observations."""
        return (names.MISFIT, names.CHI_SQUARE_LIMIT)

    def provenance(self) -> dict[str, str]:
        """Return the checkpoint's hash."""
        return {"pyvda_checkpoint_sha256": self.description().digest()}


def solve(problem: Problem, options: LearnedOptions) -> Solution:
    """Run the learned solver from the first guess of every window.

    A window is DOUBTFUL when its analysis is farther from the observations than their error
    variance suggests. The variance is the file's, or else that of the training.
    """
    import torch

    device = usable_device(options.device)
    digest = options.description().digest()
    folder = str(checkpoint_folder(options.checkpoint))
    own = problem.model if options.runs_model() else None
    model = _model(folder, digest, options.precision, device, own)
    windows = len(problem.batch)
    x = np.empty(problem.batch.observation.shape)
    status = np.full(windows, Status.CONVERGED, dtype=int)
    iterations = model.iterations if options.iterations is None else options.iterations
    work = (problem.windows or windows) * x[:1].size * iterations
    if device == "cpu" and work >= _WORTH_STARTING:
        get_engine()
    size = options.batch_size or _batch_size(model.solver.widest(*x.shape[1:]), device)
    for first in range(0, windows, size):
        block = slice(first, first + size)
        batch = problem.batch[block].to(device, getattr(torch, options.precision))
        with torch.no_grad():
            found = model(batch, iterations)
        x[block] = found.x.double().cpu().numpy()
        ended = found.status.cpu().numpy()
        # A learned solver is finished after the iterations it was trained for.
        status[block] = np.where(ended == Status.ITERATION_LIMIT, Status.CONVERGED, ended)
        problem.report(min(first + size, windows), windows)
    made = np.full(windows, iterations)
    unobserved = ~problem.has_observations()
    if unobserved.any():
        # Without observations the climatology is a better analysis than the solver's output.
        x[unobserved] = options.expected_state(problem.model, problem.engine)
        status[unobserved] = Status.NO_OBSERVATIONS
        made[unobserved] = 0
    status, fit = _judged(problem, x, status, options.pattern().variance)
    return Solution(x, status, made, per_window=fit)


def _judged(
    problem: Problem, x: Array, status: Array, trained: float | None
) -> tuple[Array, dict[str, Array]]:
    """Return the status with doubtful windows flagged, and their misfits and limits.

    Misfits and limits are NaN if neither the file nor the training gives the error variance.
    """
    known = trained if problem.observation_variance is None else problem.observation_variance
    if known is None:
        unknown = np.full(len(x), np.nan)
        return status, {names.MISFIT: unknown, names.CHI_SQUARE_LIMIT: unknown}
    observation = np.asarray(problem.batch.observation)
    misfit = half_misfit(precision_of(problem, known), x, observation)
    status, limit = judged(status, misfit, problem.data())
    return status, {names.MISFIT: misfit, names.CHI_SQUARE_LIMIT: limit}


def _batch_size(widest: int, device: str) -> int:
    """Return how many windows are computed together, from the number of values in a layer."""
    return 256 if device != "cpu" else max(1, _AT_ONCE // max(1, widest))


@functools.lru_cache(maxsize=4)
def _model(
    folder: str, digest: str, precision: str, device: str, own: Model | None
) -> LearnedModel:
    """Return the model, cached for all blocks; the digest detects a replaced checkpoint."""
    import torch

    from pyvda.learned.model import LearnedModel

    model = LearnedModel.load(folder, own).to(device, getattr(torch, precision))
    return model.requires_grad_(False)
