"""A trained prior and solver from a checkpoint, as a method like the others.

torch is loaded only to solve. The settings of the training are read from the checkpoint's
description before anything is computed.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from pyvda import names
from pyvda.engine import get_engine
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.learned.description import Description, Pattern, read_description
from pyvda.learned.shipped import checkpoint_folder
from pyvda.methods.problem import Options, Problem, Solution, Status
from pyvda.methods.statistics import half_misfit, judged, precision_of, without_observations
from pyvda.models.model import Model

if TYPE_CHECKING:
    from pyvda.learned.model import LearnedModel

# Values of all windows times iterations above which Julia is started for its kernels: starting and
# compiling takes some five seconds, in which torch does half of this.
_WORTH_STARTING = 24_000_000

# Values that a CPU computes at once: the intermediate results of larger batches do not fit in its
# cache, and Lorenz-96 takes up to three times as long.
_AT_ONCE = 1 << 18


class LearnedOptions(Options):
    """Options of a learned model.

    Attributes
    ----------
    checkpoint : str
        Folder made by `pyvda train`, or the name of a shipped model.
    iterations : int, optional
        Of the solver, in place of the trained number.
    precision : {"float32", "float64"}
    batch_size : int, optional
        Windows computed at once; by default 256, on a CPU as many as its caches hold.
    device : str
        "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1".
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

    def check_time_step(self, time_step: float) -> None:
        """Refuse another step than the trained one: Φ would be wrong for it."""
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
    variance suggests: that of the file, or else that of the training.
    """
    import torch

    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = str(torch.device(device))
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, ImportError) as error:
        # For a device that torch was built without, its message is long and mostly internal.
        unknown = isinstance(error, NotImplementedError | ImportError)
        reason = "torch has no such device here" if unknown else str(error).splitlines()[0][:80]
        raise InputError(
            f"the device {options.device!r} cannot be used ({reason}); choose cpu"
        ) from None
    digest = options.description().digest()
    model = _model(str(checkpoint_folder(options.checkpoint)), digest, options.precision, device)
    windows = len(problem.batch)
    x = np.empty(problem.batch.observation.shape)
    status = np.full(windows, Status.CONVERGED, dtype=int)
    iterations = model.iterations if options.iterations is None else options.iterations
    if device == "cpu" and x.size * iterations >= _WORTH_STARTING:
        get_engine()
    size = options.batch_size or _batch_size(model.solver.widest(*x.shape[1:]), device)
    for first in range(0, windows, size):
        block = slice(first, first + size)
        batch = problem.batch[block].to(device, getattr(torch, options.precision))
        with torch.no_grad():
            found = model(batch, iterations)
        x[block] = found.x.double().cpu().numpy()
        ended = found.status.cpu().numpy()
        # A learned solver has done its work after the iterations it was trained for.
        status[block] = np.where(ended == Status.ITERATION_LIMIT, Status.CONVERGED, ended)
        problem.report(min(first + size, windows), windows)
    made = np.full(windows, iterations)
    unobserved = ~problem.has_observations()
    if unobserved.any():
        # What a solver makes of its first guess alone is not what is known of such a window.
        known, _, nothing = without_observations(problem)
        x[unobserved], status[unobserved] = known[unobserved], nothing[unobserved]
        made[unobserved] = 0
    status, fit = _judged(problem, x, status, options.pattern().variance)
    return Solution(x, status, made, per_window=fit)


def _judged(
    problem: Problem, x: Array, status: Array, trained: float | None
) -> tuple[Array, dict[str, Array]]:
    """Return the status with doubtful windows flagged, and their misfits and limits.

    These are NaN where neither the file nor the training gives the variance of the errors.
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
    """Return how many windows are computed at once, by the values of the widest layer."""
    return 256 if device != "cpu" else max(1, _AT_ONCE // max(1, widest))


@functools.lru_cache(maxsize=4)
def _model(folder: str, digest: str, precision: str, device: str) -> LearnedModel:
    """Return the model, once for all blocks; the digest tells a checkpoint that was replaced."""
    import torch

    from pyvda.learned.model import LearnedModel

    model = LearnedModel.load(folder).to(device, getattr(torch, precision))
    return model.requires_grad_(False)
