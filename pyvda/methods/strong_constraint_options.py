"""Options of strong-constraint 4D-Var, and their defaults for a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from pyvda import names
from pyvda.climate.background_option import is_name
from pyvda.climate.library import LEAD, LOW_DIMENSIONAL, is_low_dimensional
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.methods.effects import expect_effects
from pyvda.methods.problem import Positive, Problem, Seed
from pyvda.methods.statistics import OF_A_FUNCTION, CyclingOptions
from pyvda.models.model import Model
from pyvda.operators.covariance_input import CovarianceOption, as_covariance

_GROWTH = 4
_DENSE = 5  # components up to which a library has states near to the right minimum of any window

ONE_START = ("mean", "first-guess")
"""Values of `starts` that give one start."""


class StrongConstraintOptions(CyclingOptions):
    """Options of strong-constraint 4D-Var.

    Attributes
    ----------
    starts : {"library", "climatology", "mean", "first-guess"}, optional
        The likeliest states of a library; climatological states; the background's mean; the state
        of a library whose trajectory is nearest to the first guess (for models without a library,
        the first guess at t₀). The last two give one start. Default: "first-guess" with a warm
        start, else "library" for low-dimensional models, else "mean".
    count : int
        Number of starts; the minimum with the lowest cost is kept.
    growth : int, optional
        Steps by which the window grows (quasi-static); 0: the whole window at once. Default: 0 from
        a first guess or, for up to five components, from a library, else 4. Steps without data cost
        nothing; where a window grows by several observation times at once, the descent ends in a
        wrong minimum more often.
    background : str
        "climatology" (Gaussian), "flat" (none), or a file: see
        `pyvda.climate.background_option.get_background`.
    covariance : float, (D,), (D, D), str or Covariance, optional
        See `CyclingOptions`.
    background_lead : int, optional
        Steps before the window at which the background applies. Default: 0 for a given background
        or climatology; for the model's own climatology, 20 for low-dimensional models, so that the
        flow brings the state onto the attractor, else 0.
    members : int
        Number of members of the library, including mirrored ones.
    iterations : int
        Maximum number of Gauss-Newton iterations for each start and length of the window.
    tolerance : float
        Converged when twice the predicted remaining decrease of the cost is below this.
    seed : int
        Seed of the climatological starts.
    parameters : bool or "shared"
        Whether the control includes the model's parameters: separate ones for each window (True),
        or one vector shared by all windows that are assimilated together (those of a block, where a
        file is read in blocks). Their standard deviation accounts only for observation errors. With
        hundreds of windows it is so small that the difference between minimum and mean (1-2 %)
        exceeds it.
    minima : bool
        Keep every distinct minimum found, not only the best: objective and first state,
        `(window, minimum)`, in increasing order, padded with NaN.
    model_error : float, (D,), (D, D), str or Covariance, optional
        Q, in the state's units squared: the covariance of an error that the model makes at every
        step, which then belongs to the control (`pyvda.methods.forcing`). The minima of the exact
        model are the first guesses, the background applies at t₀, and `tolerance` is relative to
        the first gradient norm. Default: the model is exact.
    parameter_stdev : float
        Standard deviation of the Gaussian prior of the parameters, which is centred on the model's
        values, relative to these.
    observation_variance : float, optional
        See `StatisticalOptions`.
    """

    starts_from_first_guess: ClassVar[bool] = True
    takes_points: ClassVar[bool] = True
    takes_channels: ClassVar[bool] = True

    starts: Literal["library", "climatology", "mean", "first-guess"] | None = None
    count: int = Field(3, ge=1, le=10**9)
    growth: int | None = Field(None, ge=0, le=10**9)
    background_lead: int | None = Field(None, ge=0, le=1000)
    members: int = Field(120_000, ge=100, le=20_000_000)
    iterations: int = Field(1000, ge=1, le=10**9)
    tolerance: float = Field(1e-8, gt=0)
    seed: Seed = 0
    parameters: bool | Literal["shared"] = False
    parameter_stdev: Positive = 0.1
    minima: bool = False
    model_error: CovarianceOption | None = None

    @model_validator(mode="after")
    def _check(self) -> StrongConstraintOptions:
        for name in ("parameters", "minima", "background_lead"):
            if self.model_error is not None and getattr(self, name):
                raise ValueError(
                    f"{name} cannot be combined with model_error; leave out one of them"
                )
        return self

    def without_effect(self, model: Model, *, warm: bool, channels: bool) -> dict[str, str]:
        """Return the options that have no effect, and why."""
        starts, found = self.starts_for(model.state_size, warm, channels), {}
        if starts != "climatology":
            found["seed"] = (
                f"starts {starts} draws nothing at random; leave it out, or choose starts "
                "climatology"
            )
        if not uses_library(starts, model.state_size):
            found["members"] = f"starts {starts} uses no library of {model.name}; leave it out" + (
                ", or choose starts library" if is_low_dimensional(model) else ""
            )
        if starts in ONE_START and self.count > 1:
            found["count"] = (
                f"starts {starts} gives one start; leave it out, or choose starts library or "
                "climatology"
            )
        if not self.parameters:
            found["parameter_stdev"] = (
                "no parameters are estimated; leave it out, or give parameters (--set "
                "parameters=true)"
            )
        if self.minima and self.parameters == "shared":
            found["minima"] = (
                "parameters that all windows share leave each window one minimum; leave out one "
                "of them"
            )
        if self.final_covariance and self.parameters:
            found["final_covariance"] = (
                "the last step depends on the estimated parameters, too; leave out one of them"
            )
        if self.final_covariance and self.model_error is not None and channels:
            found["final_covariance"] = OF_A_FUNCTION
        return found

    def starts_for(self, state_size: int, warm: bool, channels: bool) -> str:
        """Return `starts`, or its default for a problem."""
        # The likelihood of library states is not implemented for functions of the state.
        usual = "library" if state_size <= LOW_DIMENSIONAL and not channels else "mean"
        return self.starts or ("first-guess" if warm else usual)

    def cycled(self) -> CyclingOptions:
        """Return the options with the final covariance, which fixed parameters leave defined."""
        if self.parameters:
            raise InputError(
                "the parameters that a window estimates are not carried to the next, so that a "
                "cycle cannot estimate any; leave out parameters or cycle (--cycle)"
            )
        return super().cycled()

    def estimates(self) -> tuple[str, ...]:
        """Return the options that `pyvda.estimated_scales` can estimate."""
        return () if self.parameters else ("covariance",)

    def has_stdev(self) -> bool:
        """Tell whether the method gives the analysis a standard deviation."""
        return True

    def states_curvature(self) -> bool:
        """Tell whether the spread is the curvature of a minimum under a nearly exact model."""
        return self.model_error is None

    def couples_windows(self) -> bool:
        """Tell whether the analysis of a window depends on the others of its block."""
        return self.parameters == "shared"

    def window_outputs(self) -> tuple[str, ...]:
        """Return the names of `Solution.per_window`."""
        of_parameters = names.PARAMETER_OUTPUTS if self.parameters else ()
        of_minima = names.MINIMUM_OUTPUTS if self.minima else ()
        # With estimated parameters the next state depends on them, too, not on the state alone.
        final = (names.FINAL_COVARIANCE,) if self.final_covariance and not self.parameters else ()
        return (names.OBJECTIVE, names.CHI_SQUARE_LIMIT, *of_parameters, *of_minima, *final)

    def model_error_per_step(self, state_size: int) -> Array:
        """Return the covariance (D, D) that the model adds to a state's error in a step."""
        if self.model_error is None:
            return np.zeros((state_size, state_size))
        return as_covariance(self.model_error, state_size, "model_error").dense()


@dataclass(frozen=True)
class Setting:
    """Options whose defaults depend on the problem, resolved.

    Attributes
    ----------
    starts : str
    count : int
    growth : int
    lead : int
        `background_lead`.
    """

    starts: str
    count: int
    growth: int
    lead: int


def setting_of(problem: Problem, options: StrongConstraintOptions) -> Setting:
    """Return the options with defaults that depend on the problem.

    Raises
    ------
    InputError
        Options contradict each other, or contradict the warm start.
    """
    channels = problem.batch.channels is not None
    expect_effects(
        "strong-constraint", options, problem.model, warm=problem.warm, channels=channels
    )
    starts = options.starts_for(problem.model.state_size, problem.warm, channels)
    if starts == "library" and channels:
        raise InputError(
            "starts is library, which supports only observations of components of the state, but "
            "the observations are a function of it; choose starts climatology or mean"
        )
    if problem.warm and starts != "first-guess":
        raise InputError(
            f"a warm start was given, but starts is {starts}, which would ignore it; leave out one "
            "of them"
        )
    dense = problem.model.state_size <= _DENSE
    at_once = starts == "first-guess" or (starts == "library" and dense)
    growth = (0 if at_once else _GROWTH) if options.growth is None else options.growth
    count = 1 if starts in ONE_START else options.count
    return Setting(starts, count, growth, _lead(problem, options))


def uses_library(starts: str, state_size: int) -> bool:
    """Tell whether these starts come from, or are compared with, a library of states."""
    return starts == "library" or (starts == "first-guess" and state_size <= LOW_DIMENSIONAL)


def _lead(problem: Problem, options: StrongConstraintOptions) -> int:
    """Return the number of steps from the control to the first step of the window.

    The climatology holds at any time, so it can apply before the window, and the flow then brings
    the control onto the attractor. A background or climatology given by the user applies at the
    first step.
    """
    if options.model_error is not None:
        return 0
    if options.background_lead is not None:
        return options.background_lead
    model = problem.model
    anytime = is_name(options.background) and model.climatology is None
    return LEAD if anytime and is_low_dimensional(model) else 0
