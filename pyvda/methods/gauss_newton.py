"""Weak-constraint 4D-Var by Gauss-Newton steps with Levenberg-Marquardt damping.

It minimises either exactly the cost (4), which FSGD descends, or its statistical form: half of

    (x₁ - b)ᵀ B⁻¹ (x₁ - b) + Σ (x - y)² / R + Σₖ rₖᵀ Q⁻¹ rₖ,    rₖ = x_{k+1} - M(x_k)

over states at nodes, at every step or every n-th step (the model is exact in between). The inverse
Hessian of the statistical form is the covariance of the analysis.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from pyvda import names
from pyvda.climate.library import is_low_dimensional
from pyvda.engine.data import Shooting
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.methods import final_covariance
from pyvda.methods.blocks import blocks
from pyvda.methods.effects import was_given
from pyvda.methods.model_error import model_weight
from pyvda.methods.problem import Problem, Solution, Status
from pyvda.methods.statistics import (
    OF_A_FUNCTION,
    CyclingOptions,
    background_of,
    judged,
    precision_of,
    variance_of,
    without_observations,
)
from pyvda.models.model import Model
from pyvda.operators.covariance_input import CovarianceOption, as_covariance

# Of R: a model error that is not given. The smaller it is beside R, the less it widens the spread
# and lowers the minimum where the true model is exact.
_SHARE = 5e-5
# The first stage of the statistical form has at most this share of R as model error, and each later
# one a tenth of that before: the cost of a loose model has fewer minima.
_LOOSE = 0.05
# Options of the statistical form only.
_STATISTICAL = (
    "model_error", "background", "covariance", "observation_variance", "final_covariance",
)  # fmt: skip


class GaussNewtonOptions(CyclingOptions):
    """Options of Gauss-Newton.

    Attributes
    ----------
    form : {"weighted", "statistical"}
        The cost (4) with its weights, or its statistical form.
    iterations : int
        Maximum number of iterations of each window in a stage; see `model_error`.
    tolerance : float
        A window has converged when its gradient norm has fallen below this fraction of the first.
    every : int
        Steps from one node to the next; the weighted form requires 1.
    model_error : float, (D,), (D, D), str or Covariance, optional
        Q of the statistical form, in the state's units squared: the covariance of the error that
        the model makes from one node to the next. A number is the variance of each component; see
        `pyvda.operators.covariance_input.as_covariance`. `pyvda.assimilate` also takes "estimate",
        for a variance, see `pyvda.estimated_scales`. Default: 5e-5 of the observation error
        variance R, which makes the model nearly exact, where observations have the unit of the
        state. Minimisation starts with a larger error, up to 5 % of R, unless the first guess is a
        warm start, and reduces it in stages to Q.
    background : str
        Background of the statistical form: see `pyvda.climate.background_option.get_background`.
    substeps : int
        Steps of the scheme per step of the window.
    observation_variance : float, optional
        R of the statistical form: see `StatisticalOptions`.
    """

    starts_from_first_guess: ClassVar[bool] = True
    takes_points: ClassVar[bool] = True
    takes_channels: ClassVar[bool] = True

    form: Literal["weighted", "statistical"] = "weighted"
    iterations: int = Field(200, ge=1, le=10**9)
    tolerance: float = Field(1e-8, gt=0)
    every: int = Field(1, ge=1, le=10**9)
    model_error: CovarianceOption | None = None
    substeps: int = Field(1, ge=1, le=10**9)

    @model_validator(mode="after")
    def _check(self) -> GaussNewtonOptions:
        given = [
            name
            for name in _STATISTICAL
            if was_given(self, name) and getattr(self, name) is not False
        ]
        if given and self.form == "weighted":
            raise ValueError(
                f"{', '.join(given)} given, but the weighted form uses lambda1 and lambda2 "
                "instead; choose the statistical form (--set form=statistical), or leave them out"
            )
        return self

    def without_effect(self, model: Model, *, warm: bool, channels: bool) -> dict[str, str]:
        """Return the options that have no effect, and why."""
        return {"final_covariance": OF_A_FUNCTION} if channels and self.final_covariance else {}

    def for_variance(self, known: float | None) -> GaussNewtonOptions:
        """Return the options with the default of `model_error`."""
        R = known if self.observation_variance is None else self.observation_variance
        if self.form == "weighted" or R is None or was_given(self, "model_error"):
            return self
        found = self.model_copy(update={"model_error": _SHARE * R})
        found.model_fields_set.discard("model_error")  # a default, not given by the user
        return found

    def cycled(self) -> CyclingOptions:
        """Return the options with the final covariance, which the statistical form has."""
        if self.form == "weighted":
            raise InputError(
                "the weighted form of gauss-newton has no background that a cycle could give it; "
                "choose the statistical form (--set form=statistical)"
            )
        return super().cycled()

    def minimises_weighted_cost(self) -> bool:
        """Tell whether the analysis depends on the weights λ₁ and λ₂ of the cost (4)."""
        return self.form == "weighted"

    def screened_by(self, model: Model) -> str | None:
        """Return the strong constraint, of models whose library has its starts."""
        own = any(was_given(self, name) for name in ("background", "covariance"))
        return "strong-constraint" if not own and is_low_dimensional(model) else None

    def estimates(self) -> tuple[str, ...]:
        """Return the options that `pyvda.estimated_scales` can estimate."""
        return ("covariance", "model_error") if self.form == "statistical" else ()

    def has_stdev(self) -> bool:
        """Tell whether the method gives the analysis a standard deviation."""
        return self.form == "statistical"

    def states_curvature(self) -> bool:
        """Tell whether the spread is the curvature of a minimum under a nearly exact model."""
        return self.has_stdev() and not was_given(self, "model_error")

    def window_outputs(self) -> tuple[str, ...]:
        """Return the names of `Solution.per_window`."""
        if self.form == "weighted":  # its objective is the cost (4), which every analysis has
            return ()
        final = (names.FINAL_COVARIANCE,) if self.final_covariance else ()
        return (names.OBJECTIVE, names.CHI_SQUARE_LIMIT, *final)

    def model_error_per_step(self, state_size: int) -> Array:
        """Return the covariance (D, D) that the model adds to a state's error in a step."""
        if isinstance(self.model_error, int | float):
            return self.model_error / self.every * np.eye(state_size)
        return as_covariance(self.model_error, state_size, "model_error").dense() / self.every


def solve(problem: Problem, options: GaussNewtonOptions) -> Solution:
    """Minimise from the first guess of every window that has observations.

    In the statistical form a window is DOUBTFUL when its objective is larger than expected from the
    observations' error variance.

    Raises
    ------
    InputError
        In the statistical form, R is unknown or B is singular; in the weighted form, `every` or
        `substeps` is not 1.
    """
    engine = problem.engine
    x = np.array(problem.batch.first_guess, float)
    observation = np.asarray(problem.batch.observation, float)
    mask = np.asarray(problem.batch.mask, float)
    windows, steps, size = x.shape
    status = np.full(windows, int(Status.NO_OBSERVATIONS))
    iterations = np.zeros(windows, int)
    objective = np.full(windows, np.nan)
    stdev, model_precision = None, None
    background, precision = np.zeros((windows, size)), np.zeros((size, size))
    if options.form == "statistical":
        R = variance_of(problem, options.observation_variance)
        options = options.for_variance(R)
        weight, model_precision = model_weight(options.model_error, size)
        weights = weight / (np.ones(1) if problem.warm else _stages(options.model_error, size, R))
        divisor = np.full(windows, R)
        known = background_of(options, problem.model, engine)
        background[:], precision = known.mean, known.precision
        stdev = np.full(x.shape, np.nan)
        empty = ~problem.has_observations()
        if empty.any():
            unobserved, spread, _ = without_observations(problem)
            x[empty], stdev[empty] = unobserved[empty], spread[empty]
    else:
        _check_weighted(problem, options)
        weights = np.array([2 * problem.cost.lambda2 / ((steps - 1) * size)])
        divisor = np.maximum(problem.data(), 1) / (2 * problem.cost.lambda1)
    shooting = Shooting(
        weights, options.every, options.substeps, options.iterations, options.tolerance,
        model_precision=model_precision,
    )  # fmt: skip
    chosen = np.flatnonzero(problem.has_observations())
    done = 0
    for block in blocks(chosen, steps, size):
        found = engine.weak_constraint(
            problem.model, problem.cost, shooting, x[block], observation[block],
            mask[block], divisor[block], background[block], precision, spread=stdev is not None,
            points=problem.points(block),
        )  # fmt: skip
        x[block], status[block], iterations[block] = found.x, found.status, found.iterations
        objective[block] = found.cost
        if stdev is not None and found.stdev is not None:
            stdev[block] = found.stdev
        done += len(block)
        problem.report(done, len(chosen))
    status[~np.isfinite(x).all((1, 2))] = Status.DIVERGED
    if options.form == "weighted":
        return Solution(x, status, iterations)
    status, limit = judged(status, objective, problem.data())
    per_window = {names.OBJECTIVE: objective, names.CHI_SQUARE_LIMIT: limit}
    if options.final_covariance:
        points = problem.batch.points
        per_window[names.FINAL_COVARIANCE] = final_covariance.of_windows(
            problem, x, precision_of(problem, options.observation_variance), precision,
            options.every * options.model_error_per_step(size), every=options.every,
            points=points and points.weighed(1 / divisor[0]), substeps=options.substeps,
        )  # fmt: skip
    return Solution(x, status, iterations, stdev=stdev, per_window=per_window)


def _stages(model_error: Any, size: int, R: float) -> Array:
    """Return the factors of the model error in each stage, falling tenfold to 1."""
    q = as_covariance(model_error, size, "model_error").variance().mean()
    return 10.0 ** np.arange(max(np.floor(np.log10(_LOOSE * R / q) + 1e-9), 0), -1, -1)


def _check_weighted(problem: Problem, options: GaussNewtonOptions) -> None:
    if options.every != 1 or options.substeps != 1:
        raise InputError(
            f"the cost (4) has a node at every step and one step of the scheme in between, but "
            f"every is {options.every} and substeps {options.substeps}; leave them out, or choose "
            "the statistical form (--set form=statistical)"
        )
    if not (problem.cost.lambda1 > 0 and problem.cost.lambda2 > 0):
        raise InputError(
            f"gauss-newton needs positive weights of the cost (4), found {problem.cost.lambda1} "
            f"and {problem.cost.lambda2}"
        )


def spacing(mask: Array) -> int:
    """Return the largest n such that all observations are at steps 0, n, 2n, ...; at least 1.

    >>> mask = np.zeros((1, 9, 2)); mask[0, [0, 4, 8]] = 1
    >>> spacing(mask)
    4
    """
    observed = np.flatnonzero((np.asarray(mask) > 0).any((0, 2)))
    return max(int(np.gcd.reduce(observed, initial=0)), 1)
