"""Input (`Problem`, `Options`) and output (`Solution`) of a method."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from pyvda.climate.background_option import CLIMATOLOGY, get_background, is_name, of_climatology
from pyvda.climate.climatology import climatology
from pyvda.engine import CostSettings, Engine
from pyvda.engine.interface import Array
from pyvda.learned.description import Pattern
from pyvda.models.model import Model
from pyvda.names import Status
from pyvda.operators.data import Data
from pyvda.progress import ProgressReport, silent
from pyvda.state.batch import Batch

__all__ = ["Options", "Positive", "Problem", "Seed", "Solution", "Status"]

# A quantity in the state's units, or a factor on one, whose inverse and square do not overflow.
Positive = Annotated[float, Field(ge=1e-30, le=1e30)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Options(BaseModel):
    """Options of a method: unknown keys are refused, values are checked.

    Attributes
    ----------
    starts_from_first_guess : bool
        Whether the method starts from a first guess, which may be another method's analysis.
    takes_points : bool
        Whether the method accepts observations at arbitrary times, `Batch.points`.
    takes_channels : bool
        Whether the method accepts observations of a function of the state, `Batch.channels`.
    takes_ensemble : bool
        Whether the method continues the members of an ensemble that is given as `background`.
    resumes : bool
        Whether the method keeps its state in a file, the keyword `state` of its `solve`.
    cycles : bool
        Whether an analysis of the method can be the background of the next.
    has_own_covariance : bool
        Whether the method has an option for B, so that a background needs none.
    """

    starts_from_first_guess: ClassVar[bool] = False
    takes_points: ClassVar[bool] = False
    takes_channels: ClassVar[bool] = False
    takes_ensemble: ClassVar[bool] = False
    resumes: ClassVar[bool] = False
    cycles: ClassVar[bool] = False
    has_own_covariance: ClassVar[bool] = False
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)

    def model(self) -> Model | None:
        """Return the only model that the method works with, or None if it works with any."""
        return None

    def runs_model(self) -> bool:
        """Tell whether the method needs the model's code, not only its description."""
        return True

    def check_time_step(self, time_step: float) -> None:
        """Raise InputError for a time step, in model time units, that the method cannot use."""

    def without_effect(self, model: Model, *, warm: bool, channels: bool) -> dict[str, str]:
        """Return the options that have no effect beside the others, and why (and the remedy).

        A reason continues "but with METHOD"; see `pyvda.methods.effects`.
        """
        return {}

    def minimises_weighted_cost(self) -> bool:
        """Tell whether the analysis depends on the weights λ₁ and λ₂ of the cost (4)."""
        return False

    def expected_state(self, model: Model, engine: Engine) -> Array:
        """Return the state (D,) expected without observations: the background's mean."""
        given = getattr(self, "background", CLIMATOLOGY)
        if is_name(given):
            return climatology(model, engine).mean
        return get_background(given, model, engine).mean

    def likely_states(self, model: Model, engine: Engine) -> Array:
        """Return three states (3, D) to try functions of the state at."""
        given = getattr(self, "background", CLIMATOLOGY)
        if not is_name(given):
            return get_background(given, model, engine).likely_states()
        known = climatology(model, engine)
        if len(known.states) >= 3:
            return np.asarray(known.states[:3])
        return of_climatology(model, engine).likely_states()

    def for_problem(self, windows: int, state_size: int) -> Options:
        """Return the options with the defaults that depend on the size of the problem."""
        return self

    def for_variance(self, known: float | None) -> Options:
        """Return the options with the defaults that depend on R.

        Parameters
        ----------
        known : float, optional
            That of the file, for options that do not give it.
        """
        return self

    def cycled(self) -> Options:
        """Return the options with which each analysis has what the next window starts from.

        Raises
        ------
        InputError
            The other options rule that out.
        """
        return self

    def for_first_window(self) -> Options:
        """Return the options of the first window of a cycle, which has no forecast."""
        return self

    def states_curvature(self) -> bool:
        """Tell whether the spread is the curvature of a minimum under a nearly exact model."""
        return False

    def model_error_per_step(self, state_size: int) -> Array:
        """Return the covariance (D, D) that the model adds to a state's error in a step."""
        return np.zeros((state_size, state_size))

    def model_noise(self, members: Array, steps: int, *key: int) -> Array | None:
        """Return the model error of ensemble members (N, D), (steps, D, N); None: there is none.

        `key` tells apart draws that must differ, beside the option `seed`.
        """
        return None

    def couples_windows(self) -> bool:
        """Tell whether the analysis of a window depends on the others of its block."""
        return False

    def pattern(self) -> Pattern | None:
        """Return the observation pattern that a learned method was trained for, else None."""
        return None

    def screened_by(self, model: Model) -> str | None:
        """Return the method that finds a file's gross errors in place of this one, or None.

        A method that states no spread, or whose errors are larger, finds fewer of them. The other
        one, whose model is exact, is asked where it fits the file: see `BlockTask.screen`.
        """
        return None

    def estimates(self) -> tuple[str, ...]:
        """Return the options that `pyvda.estimated_scales` can estimate."""
        return ()

    def has_stdev(self) -> bool:
        """Tell whether the method gives the analysis a standard deviation."""
        return False

    def window_outputs(self) -> tuple[str, ...]:
        """Return the names of `Solution.per_window`."""
        return ()

    def provenance(self) -> dict[str, str]:
        """Return attributes for the analysis file that identify files named by the options."""
        return {}


@dataclass(frozen=True)
class Problem:
    """Windows to assimilate, the model that links their steps, and the engine to use.

    Attributes
    ----------
    batch : Batch
        numpy arrays (W, T, D).
    model : Model
    cost : CostSettings
        The cost (4), which is reported and, by some methods, minimised.
    engine : Engine
    observation_variance : float, optional
        R of a datum with mask 1, in the state's units squared: the mean error variance given by the
        file (`observation_error`, or the attribute `observation_error_variance`), None if the file
        has neither. The error variance of a datum is this divided by its mask.
    report : ProgressReport
        Called with the progress from time to time.
    warm : bool
        Whether the first guess is the analysis of another method.
    numbers : (W,) int, optional
        The windows' numbers in their file, which seed their random numbers, so that a window's
        result does not depend on the block it is in. Default: 0, 1, ...
    windows : int, optional
        Number of windows in the file. Default: those of the batch.
    """

    batch: Batch
    model: Model
    cost: CostSettings
    engine: Engine
    observation_variance: float | None = None
    report: ProgressReport = silent
    warm: bool = False
    numbers: Array | None = None
    windows: int | None = None

    def __post_init__(self) -> None:
        self.batch.expect_components("an assimilation")

    def has_observations(self) -> Array:
        """Return whether each window has observations, (W,) bool."""
        return self.data() > 0

    def data(self) -> Array:
        """Return the number of observations of each window, (W,)."""
        return self._data.copy()

    @cached_property
    def _data(self) -> Array:
        found = (np.asarray(self.batch.mask) > 0).sum((1, 2))
        for more in (self.batch.points, self.batch.channels):
            found = found if more is None else found + np.asarray(more.counted())
        return np.asarray(found)

    def window_numbers(self) -> Array:
        """Return the windows' numbers in their file, (W,)."""
        return np.arange(len(self.batch)) if self.numbers is None else np.asarray(self.numbers)

    def chosen(self, windows: Array) -> Problem:
        """Return the problem of some of the windows, (n,) int."""
        numbers = self.window_numbers()[windows]
        return replace(self, batch=self.batch[windows], numbers=numbers)

    def points(self, windows: Any) -> Data | None:
        """Return the observations, other than of components on the grid, of the chosen windows.

        An observation operator makes either data at arbitrary times or channels, never both.
        """
        data: Data | None = self.batch.points
        if self.batch.channels is not None:
            data = self.batch.channels
        return None if data is None else data[windows]


@dataclass(frozen=True)
class Solution:
    """The analysis of each window.

    Attributes
    ----------
    x : (W, T, D)
        The analysis, in the state's units.
    status : (W,) int
        A `Status` for each window.
    iterations : (W,) int
    history : dict, optional
        Means over the windows, arrays over `iteration`, for the descent plot.
    stdev : (W, T, D), optional
        Standard deviation of the analysis, when `Options.has_stdev()`.
    per_window : dict
        Additional arrays (W, ...) by the names that `Options.window_outputs()` lists.
    """

    x: Array
    status: Array
    iterations: Array
    history: dict[str, Array] | None = None
    stdev: Array | None = None
    per_window: dict[str, Array] = field(default_factory=dict)
