"""Shared by the statistical methods: observation errors, windows without observations, doubt."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from scipy.special import chdtri

from pyvda import names
from pyvda.climate.background import Background
from pyvda.climate.background_option import CLIMATOLOGY, BackgroundOption, get_background, is_name
from pyvda.climate.climatology import LARGE, climatology
from pyvda.engine import Engine
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.methods.problem import Options, Positive, Problem, Status
from pyvda.models.model import Model
from pyvda.operators.covariance_input import CovarianceOption, as_covariance
from pyvda.operators.function import Channels

# Fraction of correct windows above the limit: 3.5 standard deviations for a thousand data.
_EXCEEDED = 1 / 2450

OF_A_FUNCTION = (
    "it cannot be computed where the observations are a function of the state; leave it "
    "out, or choose strong-constraint or ensemble-smoother where a cycle needs it"
)
"""Why an option `final_covariance` has no effect."""

_CYCLED = 100  # windows and components up to which covariances are written by default


class StatisticalOptions(Options):
    """Options of a method that weighs observations by their error variance.

    Attributes
    ----------
    observation_variance : float, optional
        R of a datum with weight 1, in the state's units squared. Default: the file's.
        `pyvda.assimilate` also takes "estimate", see `pyvda.estimated_variance`.
    """

    observation_variance: Positive | None = None


class CyclingOptions(StatisticalOptions):
    """Options of a method whose analysis can be the background of the next window.

    Attributes
    ----------
    background : str, path, Dataset or Background
        See `pyvda.climate.background_option.get_background`; a given background applies at the
        window's first step.
    covariance : float, (D,), (D, D), str or Covariance, optional
        B in place of that of the background, see `pyvda.operators` and `pyvda.fit_covariance`.
        For some methods `pyvda.assimilate` also takes "estimate": the background's B times a
        factor, see `pyvda.estimated_scales`.
    final_covariance : bool, optional
        Whether the analysis has the covariance of its last step, `final_covariance`, from which the
        next window can start. Default: for up to 100 windows of up to 100 components.
    """

    cycles: ClassVar[bool] = True

    background: BackgroundOption = CLIMATOLOGY
    covariance: CovarianceOption | None = None
    final_covariance: bool | None = None

    def for_problem(self, windows: int, state_size: int) -> CyclingOptions:
        """Return the options with the defaults that depend on the size of the problem."""
        if self.final_covariance is not None:
            return self
        wanted = self.has_stdev() and windows <= _CYCLED and state_size <= _CYCLED
        found = self.model_copy(update={"final_covariance": wanted})
        found.model_fields_set.discard("final_covariance")  # a default, not given by the user
        return found

    def cycled(self) -> CyclingOptions:
        """Return the options with the final covariance."""
        if self.final_covariance is False:
            raise InputError(
                "final_covariance is false, but in a cycle the next window starts from it; leave "
                "it out, or cycle (--cycle)"
            )
        return self.model_copy(update={"final_covariance": True})


class EnsembleOptions(StatisticalOptions):
    """Options of an ensemble method, whose members the next window can start from.

    Attributes
    ----------
    final_ensemble : bool, optional
        Whether the analysis has the members at its last step, `final_ensemble`. Default: the method
        decides by their size.
    """

    final_ensemble: bool | None = None

    def has_stdev(self) -> bool:
        """Tell whether the method gives the analysis a standard deviation."""
        return True

    def cycled(self) -> Self:
        """Return the options with the final members."""
        if self.final_ensemble is False:
            raise InputError(
                "final_ensemble is false, but in a cycle the next window starts from it; leave it "
                "out, or cycle (--cycle)"
            )
        return self.model_copy(update={"final_ensemble": True})

    def window_outputs(self) -> tuple[str, ...]:
        """Return the names of `Solution.per_window`."""
        final = (names.FINAL_ENSEMBLE,) if self.final_ensemble else ()
        return (names.MISFIT, names.CHI_SQUARE_LIMIT, *final)


def background_of(options: CyclingOptions, model: Model, engine: Engine) -> Background:
    """Return the background that `background` and `covariance` give together.

    Raises
    ------
    InputError
        Either cannot be read, does not fit the model, or is singular; or there is no background.
    """
    background = options.background
    if options.covariance is None:
        return get_background(background, model, engine)
    of_model = is_name(background) and background == CLIMATOLOGY and model.climatology is None
    if of_model and model.state_size > LARGE:
        raise InputError(
            "covariance was given without a background, and this method cannot take the "
            f"climatology of a state of {model.state_size} components; choose the method "
            "incremental (--method incremental), or leave out covariance and give mean and "
            "covariance together as background (--background)"
        )
    found = get_background(background, model, engine)
    if not found.precision.any():
        raise InputError(
            f"a covariance was given, but the background is {options.background}; leave out one of "
            "them"
        )
    B = as_covariance(options.covariance, model.state_size, "covariance", model.state_space)
    return Background.full(found.mean, B.dense())


def precision_of(problem: Problem, given: float | None) -> Array:
    """Return one over the error variance of each datum, (W, T, D), 0 where nothing is observed.

    Raises
    ------
    InputError
        See `variance_of`.
    """
    return np.asarray(problem.batch.mask, float) / variance_of(problem, given)


def variance_of(problem: Problem, given: float | None) -> float:
    """Return the error variance of a datum with weight 1: `given`, or else the file's.

    Raises
    ------
    InputError
        Neither the option nor the file gives the variance, or it is not positive.
    """
    variance = problem.observation_variance if given is None else given
    if variance is None:
        raise InputError(
            "the file does not state how large the observation errors are; give their variance, in "
            "the state's units squared, as observation_variance (--set observation_variance=2), or "
            "their standard deviations in the file, in a variable x_error for a variable x"
        )
    if not (np.isfinite(variance) and variance > 0):
        raise InputError(
            f"the variance of the observations is {variance}, expected a positive number; give "
            "observation_variance (--set observation_variance=2)"
        )
    return variance


def without_observations(problem: Problem) -> tuple[Array, Array, Array]:
    """Return the analysis of windows without observations: the climatology.

    Returns
    -------
    x, stdev : (W, T, D)
        Climatological mean and standard deviation; NaN where every window has observations.
    status : (W,) int
        NO_OBSERVATIONS.
    """
    shape = np.shape(problem.batch.observation)
    if problem.has_observations().all():  # the model may have no attractor, hence no climatology
        unknown = np.full(shape, np.nan)
        return unknown, unknown.copy(), np.full(shape[0], int(Status.NO_OBSERVATIONS))
    known = climatology(problem.model, problem.engine)
    x = np.broadcast_to(known.mean, shape).copy()
    stdev = np.broadcast_to(np.sqrt(known.variance), shape).copy()
    return x, stdev, np.full(shape[0], int(Status.NO_OBSERVATIONS))


def half_misfit(precision: Array, x: Array, observation: Array) -> Array:
    """Return half the squared errors of the data in units of their standard deviation, (W,).

    Parameters
    ----------
    precision : (W, T, D)
        See `precision_of`.
    x, observation : (W, T, D)
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(0.5 * (precision * (x - observation) ** 2).sum((1, 2)))


def half_point_misfit(problem: Problem, x: Array, variance: float) -> Array:
    """Return the `half_misfit` of the data `Problem.points`, (W,), NaN where x is not finite.

    Parameters
    ----------
    x : (W, T, D)
    variance : float
        R of a datum with weight 1.
    """
    points = problem.points(slice(None))
    if points is None:
        return np.zeros(len(x))
    finite = np.asarray(np.isfinite(x).all((1, 2)))
    usable = np.where(finite[:, None, None], x, 0.0)
    if isinstance(points, Channels):
        predicted = points.predicted(usable)
    else:
        predicted = problem.engine.observed(problem.model, problem.cost, usable, points)
    squares = np.asarray(points.weight) * (predicted - np.asarray(points.value)) ** 2
    squares = squares.reshape(len(x), -1)
    return np.where(finite, 0.5 * squares.sum(1) / variance, np.nan)


def judged(status: Array, misfit: Array, data: Array) -> tuple[Array, Array]:
    """Return the status with doubtful windows flagged, and the misfit above which they are.

    Parameters
    ----------
    status : (W,) int
        Windows that diverged or have no observations keep their status.
    misfit : (W,)
        Half the sum of squared errors in units of their standard deviation: those of the data, and
        possibly others.
    data : (W,) int
        Number of observations.
    """
    limit = chi_square_limit(data)
    lost = (status == Status.DIVERGED) | (status == Status.NO_OBSERVATIONS)
    return np.where((misfit > limit) & ~lost, Status.DOUBTFUL, status), limit


def chi_square_limit(data: Array) -> Array:
    """Return the half misfit that `data` correct observations exceed once in 2450 windows.

    Twice the misfit is then a chi-square variable with n degrees of freedom, and the limit is half
    its quantile. For n = 1000 it equals the familiar (n/2)(1 + 3.5 √(2/n)), which would be exceeded
    more often for fewer data (once in 68 windows of one datum).

    >>> float(round(chi_square_limit(np.array(1000)).item(), 1))
    578.3
    """
    n = np.asarray(data, float)
    return np.where(n > 0, chdtri(np.maximum(n, 1), _EXCEEDED) / 2, 0.0)
