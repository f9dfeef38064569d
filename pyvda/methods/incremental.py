"""Incremental 4D-Var in control space, for states too large for matrices.

The first state of a window is x₀ = x_b + S v with the background covariance B = S Sᵀ, and

    J(v) = |v|² / 2 + Σ (H x_t − y_t)ᵀ R⁻¹ (H x_t − y_t) / 2.

Where the model has an error, its forcing belongs to the control v (`control_space`): the weak
constraint.

Outer loops compute the trajectory and the exact J; inner loops minimise the cost linearised about
that trajectory by conjugate gradients (`inner_loop`), with the tangent linear and adjoint of the
model and no matrix. A step that does not lower the exact J is shortened. Long windows of a chaotic
model have many minima, so that the window grows from a short one (quasi-static).

References
----------
P. Courtier, J.-N. Thépaut and A. Hollingsworth, Q. J. R. Meteorol. Soc. 120 (1994), 1367-1387;
C. Pires, R. Vautard and O. Talagrand, Tellus A 48 (1996), 96-121, for the growing window.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from pyvda import names
from pyvda.climate.background_of_analysis import is_analysis
from pyvda.climate.background_option import CLIMATOLOGY, StateOption, is_name
from pyvda.climate.climatology import climatology
from pyvda.climate.ensemble import Ensemble
from pyvda.engine import Engine
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.methods.control_space import ControlSpace
from pyvda.methods.ensemble_covariance import (
    WEIGHT,
    Localisation,
    blended,
    hybrid_of_climatology,
    of_climatology,
)
from pyvda.methods.first_state import first_state
from pyvda.methods.incremental_cost import ControlCost
from pyvda.methods.incremental_spread import uncertainty
from pyvda.methods.outer_loops import minimised
from pyvda.methods.problem import Positive, Problem, Seed, Solution
from pyvda.methods.statistics import (
    StatisticalOptions,
    judged,
    variance_of,
    without_observations,
)
from pyvda.methods.window_data import WindowData
from pyvda.models.model import Model
from pyvda.operators.covariance import Covariance
from pyvda.operators.covariance_input import CovarianceOption, as_covariance
from pyvda.operators.points import Points
from pyvda.operators.sum import Sum

_FEWEST, _OF_CYCLE = 3, 30  # members of an ensemble: at least; by default in a cycle
COLD_START = (2, 4, 8, *range(12, 1000, 4))
_Steps = Annotated[int, Field(ge=0, le=10**9)]


class IncrementalOptions(StatisticalOptions):
    """Options of incremental 4D-Var.

    Attributes
    ----------
    background : str, path, (D,), pair, Dataset or Background
        Mean of the first state: "climatology", a state, a state and its covariance, or what
        `pyvda.climate.background_option.get_background` takes.
    covariance : float, (D,), (D, D), str or Covariance, optional
        B, see `pyvda.operators`. Default: that of the background; beside an ensemble one with the
        members' mean variance, or the climatology's where that is smaller: for one variable on a
        rectangle with the members' smoothed deviations and their spectrum, else the climatology's.
    model_error : float, (D,), (D, D), str or Covariance, optional
        Q, in the state's units squared: the covariance of an error that the model makes at every
        step, which then belongs to the control. Default: the model is exact.
    growth : int or tuple of int
        Steps by which the window grows, or the lengths through which it grows; 0: the whole window
        at once. The first window of a cycle that starts from the climatology grows through 2, 4, 8,
        12, ... steps by default.
    iterations : int
        Maximum number of outer loops for the whole window.
    inner_iterations : int
        Maximum number of conjugate gradient iterations in a loop.
    inner_tolerance : float
        A loop ends when the gradient has fallen to this fraction.
    tolerance : float
        A window ends when J falls by less than this fraction in a loop; it has converged if the
        linearised J did not promise ten times as much.
    members : int
        Draws from the posterior that give the standard deviation, which is exact without draws
        where the control has at most 256 components; 0: none.
    ensemble : int
        Members at the last step, `final_ensemble`, from which the next window takes a part of B; 0:
        none, and B is static. Where B is made from the members of the window before alone, and the
        control has more than 256 components, draws are scaled by what the data say of that B.
        Default: 0; 30 in a cycle without covariance.
    ensemble_of : {"draws", "analyses"}
        Whether the members are draws from the posterior, which cost hardly more than the standard
        deviation, or an ensemble of 4D-Vars with perturbed observations and backgrounds, whose
        spread is then the standard deviation.
    ensemble_weight : float, optional
        Weight of the ensemble in B, 0 to 1; `covariance` has the rest. Default: 0.5; 0.2 where the
        rest has the members' deviations and spectrum.
    localisation : float or Covariance
        Length L, in grid spacings, of the taper of the ensemble's covariance, which resembles
        exp(−d²/2L²) and is zero from 3.65 L on, or a correlation operator; 0: none.
    inflation : float
        Factor on B.
    memory : float
        GiB that pyvda takes for a window beside the file: data, results, search directions, the
        model's workspace, the trajectory, and, with what is left, linearisations. What does not fit
        is computed again: linearisations first, then states between checkpoints.
    seed : int
        Seed of the draws.
    observation_variance : float, optional
        See `StatisticalOptions`.
    """

    starts_from_first_guess: ClassVar[bool] = False
    takes_points: ClassVar[bool] = True
    takes_ensemble: ClassVar[bool] = True
    cycles: ClassVar[bool] = True
    has_own_covariance: ClassVar[bool] = True

    background: StateOption = CLIMATOLOGY
    covariance: CovarianceOption | None = None
    model_error: CovarianceOption | None = None
    growth: _Steps | tuple[_Steps, ...] = 0
    iterations: int = Field(10, ge=1, le=10**6)
    inner_iterations: int = Field(50, ge=1, le=10**6)
    inner_tolerance: float = Field(1e-2, gt=0, lt=1)
    tolerance: float = Field(1e-3, gt=0, lt=1)
    members: int = Field(30, ge=0, le=10**6)
    ensemble: int = Field(0, ge=0, le=10**6)
    ensemble_of: Literal["draws", "analyses"] = "draws"
    ensemble_weight: float | None = Field(None, gt=0, le=1)
    localisation: Localisation = 10.0
    inflation: Positive = 1.0
    memory: float = Field(4.0, ge=0, le=1e6)
    seed: Seed = 0

    def without_effect(self, model: Model, *, warm: bool, channels: bool) -> dict[str, str]:
        """Return the options that have no effect, and why."""
        found = {}
        if not (self.members or self.ensemble):
            found["seed"] = "nothing is drawn, since members is 0; leave it out, or give members"
        if not self.ensemble:
            found["ensemble_of"] = "ensemble is 0; leave it out, or give ensemble"
            if not is_analysis(self.background):
                for name in ("ensemble_weight", "localisation"):
                    found[name] = "there is no ensemble; leave it out, or give ensemble"
        elif self.ensemble_of == "analyses":
            found["members"] = "the analyses give the standard deviation; leave it out"
        return found

    @model_validator(mode="after")
    def _check(self) -> IncrementalOptions:
        if 0 < self.ensemble < _FEWEST:
            raise ValueError(
                f"ensemble is {self.ensemble}, expected 0 or at least {_FEWEST} members"
            )
        if self.model_error is not None and self.ensemble and self.ensemble_of == "analyses":
            raise ValueError(
                "ensemble_of analyses perturbs observations and background but no model error; "
                "choose ensemble_of draws, or leave out model_error"
            )
        return self

    def cycled(self) -> IncrementalOptions:
        """Return the options with what gives every window its B: `covariance`, or an ensemble."""
        if self.covariance is not None:
            return self
        if isinstance(self.background, tuple):
            mean, B = self.background
            return self.model_copy(update={"covariance": as_covariance(B, mean.size, "background")})
        if self.ensemble:
            return self
        if "ensemble" in self.model_fields_set:
            raise InputError(
                "ensemble is 0, and without covariance the windows of a cycle have no B; give "
                "covariance (--covariance), or leave out ensemble"
            )
        return self.model_copy(update={"ensemble": _OF_CYCLE})

    def for_first_window(self) -> IncrementalOptions:
        """Return the options of the first window: the climatology has a covariance of its own."""
        if not (is_name(self.background) and self.background == CLIMATOLOGY):
            return self
        cold: dict[str, Any] = {"covariance": None, "inflation": 1.0}
        return self.model_copy(update=cold | ({} if self.growth else {"growth": COLD_START}))

    def has_stdev(self) -> bool:
        """Tell whether the method gives the analysis a standard deviation."""
        return self.members > 0 or (self.ensemble > 0 and self.ensemble_of == "analyses")

    def window_outputs(self) -> tuple[str, ...]:
        """Return the names of `Solution.per_window`."""
        final = (names.FINAL_ENSEMBLE,) if self.ensemble else ()
        return (names.OBJECTIVE, names.CHI_SQUARE_LIMIT, *final)

    def expected_state(self, model: Model, engine: Engine) -> Array:
        """Return the state (D,) expected without observations: the background's mean."""
        return _background(self, model, engine)[0]


def solve(problem: Problem, options: IncrementalOptions) -> Solution:
    """Minimise J of each window, one after the other.

    Raises
    ------
    InputError
        The error variance of the observations is unknown, or B is not given and no matrix.
    """
    mean, B, Q = _statistics(problem, options)
    data = _data(problem, options)
    windows, length = np.shape(problem.batch.observation)[:2]
    x, climatological, status = without_observations(problem)
    stdev = climatological if options.has_stdev() else None
    del climatological  # as large as the window
    objective, iterations = np.full(windows, np.nan), np.zeros(windows, int)
    final = np.full((windows, options.ensemble, len(mean)), np.nan)

    def analyse(window: int) -> None:
        own = data(window)
        cost = ControlCost(problem, options, mean, ControlSpace(B, Q, own.steps), own)
        cost.plan.expect_room()
        found = minimised(cost, options)
        x[window], status[window] = found.x[:length], found.status
        objective[window], iterations[window] = found.objective, found.iterations
        if options.members or options.ensemble:
            key = [options.seed, int(problem.window_numbers()[window])]
            spread, final[window] = uncertainty(cost, found, np.random.default_rng(key))
            if stdev is not None:
                stdev[window] = spread[:length]

    chosen = np.flatnonzero(problem.has_observations())
    for done, window in enumerate(chosen):
        analyse(int(window))
        problem.report(done + 1, len(chosen))
    status, limit = judged(status, objective, problem.data())
    per_window = {names.OBJECTIVE: objective, names.CHI_SQUARE_LIMIT: limit}
    if options.ensemble:
        per_window[names.FINAL_ENSEMBLE] = final
    return Solution(x, status, iterations, stdev=stdev, per_window=per_window)


def control_cost(problem: Problem, options: IncrementalOptions) -> ControlCost:
    """Return J of the problem's first window, as a function of the control, for checks."""
    mean, B, Q = _statistics(problem, options)
    own = _data(problem, options)(0)
    return ControlCost(problem, options, mean, ControlSpace(B, Q, own.steps), own)


def _statistics(
    problem: Problem, options: IncrementalOptions
) -> tuple[Array, Covariance, Covariance | None]:
    """Return the background's mean (D,), its covariance B and that of the model error, Q."""
    mean, B = _background(options, problem.model, problem.engine)
    Q = options.model_error
    if Q is not None:
        Q = as_covariance(Q, len(mean), "model_error", problem.model.state_space)
    return mean, B, Q


def _data(problem: Problem, options: IncrementalOptions) -> Callable[[int], WindowData]:
    """Return a function that returns the data of a window."""
    variance, batch = variance_of(problem, options.observation_variance), problem.batch

    def of_window(window: int) -> WindowData:
        points = problem.points(slice(window, window + 1))
        weighed = points.weighed(1 / variance) if isinstance(points, Points) else None
        observation, mask = (np.asarray(a[window], float) for a in (batch.observation, batch.mask))
        return WindowData(observation, mask / variance, weighed)

    return of_window


def _background(
    options: IncrementalOptions, model: Model, engine: Engine
) -> tuple[Array, Covariance]:
    """Return the mean (D,) of the first state and the covariance B of its error."""
    given, size = options.background, model.state_size
    B: Covariance | None = None
    if not is_name(given):
        mean, B = first_state(given, options.covariance, model, engine)
    elif given != CLIMATOLOGY:
        raise InputError(
            f"the background is {given}, but incremental 4D-Var needs one; give climatology, "
            "or a state and a covariance"
        )
    else:
        known = climatology(model, engine)
        mean = known.mean
        if options.covariance is not None:
            B = as_covariance(options.covariance, size, "covariance", model.state_space)
        else:
            B = of_climatology(model, engine)
    if isinstance(given, Ensemble):
        weight, localisation = options.ensemble_weight, options.localisation
        if B is None and weight != 1:
            B = hybrid_of_climatology(given.members, weight, localisation, model, engine)
        else:
            B = blended(B, given.members, weight or WEIGHT, localisation, model)
    if B is None:
        raise InputError(
            f"no covariance of the background is known for {size} components; give one as "
            "covariance (--covariance), such as a file of pyvda covariance"
        )
    return mean, B if options.inflation == 1 else Sum([B], [options.inflation])
