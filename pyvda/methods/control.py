"""The control of strong-constraint 4D-Var: a state, or a state and the model's parameters.

A control is a vector of the state's D components followed, where parameters are estimated, by the
model's P parameters. Its prior is Gaussian, with state and parameters independent. A window's
information on parameters that all windows share is its Hessian with the state eliminated (a Schur
complement), which it adds to their precision.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.models.model import Model


class Prior(NamedTuple):
    """A Gaussian distribution of the control.

    Attributes
    ----------
    mean : (C,)
    precision : (C, C)
        The inverse covariance; zero for no prior information.
    variance : (C,)
        Typical squared distance of the control from the mean, the unit of the damping.
    """

    mean: Array
    precision: Array
    variance: Array


def with_parameters(state: Prior, model: Model, relative_stdev: float) -> Prior:
    """Return the prior of the state and of the model's parameters.

    Parameters
    ----------
    relative_stdev : float
        Standard deviation of each parameter, in units of the model's value.

    Raises
    ------
    InputError
        When the model has no parameters, or one is 0, so that a relative deviation is undefined.
    """
    names, mean = model.parameter_names, np.array(model.parameters)
    if not len(mean):
        raise InputError(
            f"{model.name} has no parameters to estimate; leave out parameters, or give the model "
            "some"
        )
    if not mean.all():
        zero = ", ".join(name for name, value in zip(names, mean, strict=True) if not value)
        raise InputError(
            f"the parameter {zero} of {model.name} is 0, and parameter_stdev is relative to the "
            "model's value; start from another value"
        )
    variance = (relative_stdev * mean) ** 2
    return Prior(
        np.concatenate([state.mean, mean]),
        block_diagonal(state.precision, np.diag(1 / variance)),
        np.concatenate([state.variance, variance]),
    )


def with_common(prior: Prior, mean: Array, precision: Array) -> Prior:
    """Replace the Gaussian of the parameters by one of this mean (P,) and precision (P, P)."""
    size = len(prior.mean) - len(mean)
    return prior._replace(
        mean=np.concatenate([prior.mean[:size], mean]),
        precision=block_diagonal(prior.precision[:size, :size], precision),
    )


class Common(NamedTuple):
    """A Gaussian distribution of the shared parameters.

    Attributes
    ----------
    mean : (P,)
    precision : (P, P)
    """

    mean: Array
    precision: Array


def common(control: Array, hessian: Array, used: Prior, before: Common) -> Common:
    """Return the parameters that fit all windows best, to second order around the minima.

    Let c and Q be mean and precision of the prior that was used. At a window's minimum θ, with the
    state eliminated, the window's own cost has the slope -Q (θ - c) and, as curvature, the Schur
    complement minus Q.

    Parameters
    ----------
    control : (W, C)
        The windows' minima with the prior `used`.
    hessian : (W, C, C)
        The Hessians at these minima.
    used : Prior
    before : Common
        Prior of the parameters, counted once for all windows.
    """
    size = control.shape[1] - len(before.mean)
    prior_precision = used.precision[size:, size:]
    root = factors(hessian)[:, size:, size:]
    curvature = root @ np.swapaxes(root, 1, 2) - prior_precision
    theta = control[:, size:]
    slope = -(theta - used.mean[size:]) @ prior_precision
    precision = before.precision + curvature.sum(0)
    right = before.precision @ before.mean + np.einsum("wij,wj->i", curvature, theta) - slope.sum(0)
    return Common(np.linalg.solve(precision, right), precision)


def moved(control: Array, hessian: Array, mean: Array) -> Array:
    """Return controls (W, C) with the parameters `mean` and states adjusted to first order."""
    size = control.shape[1] - len(mean)
    shift = mean - control[:, size:]
    L = factors(hessian)
    mixed = np.swapaxes(L[:, size:, :size], 1, 2) @ shift[..., None]
    following = np.linalg.solve(np.swapaxes(L[:, :size, :size], 1, 2), mixed)[..., 0]
    there = np.broadcast_to(mean, shift.shape)
    return np.concatenate([control[:, :size] - following, there], axis=1)


def with_all_windows(hessian: Array, precision: Array) -> Array:
    """Add the other windows' information on the parameters to the Hessians, (W, C, C).

    With the state eliminated, the precision of the parameters is then `precision` (P, P) in every
    window.
    """
    size = hessian.shape[1] - len(precision)
    mixed = factors(hessian)[:, size:, :size]
    found = hessian.copy()
    found[:, size:, size:] = mixed @ np.swapaxes(mixed, 1, 2) + precision
    return found


def parameter_stdev(hessian: Array, size: int) -> Array:
    """Return the parameters' posterior standard deviations, (W, P).

    They are NaN where a Hessian (W, C, C) is not positive definite. `size` is D, the number of
    components of the state, which precede the parameters.
    """
    root = factors(hessian)[:, size:, size:]
    inverse = np.linalg.inv(np.where(np.isfinite(root), root, np.eye(root.shape[1])))
    stdev = np.sqrt((inverse**2).sum(1))
    stdev[~np.isfinite(root).all((1, 2))] = np.nan
    return np.asarray(stdev)


def factors(hessian: Array) -> Array:
    """Return the Cholesky factors (W, C, C), lower, NaN where a matrix is not positive definite.

    The state's rows come first, so that the last rows and columns are the factor of the parameters'
    Schur complement. If the complement were computed from the difference that defines it, it would
    be mostly rounding error in windows that are sensitive to their first state.
    """
    try:
        return np.linalg.cholesky(hessian)
    except np.linalg.LinAlgError:  # one matrix makes NumPy reject the whole batch
        if len(hessian) == 1:
            return np.full_like(hessian, np.nan)
        half = len(hessian) // 2
        return np.concatenate([factors(hessian[:half]), factors(hessian[half:])])


def block_diagonal(first: Array, second: Array) -> Array:
    """Return the block-diagonal matrix of these two."""
    size, whole = len(first), len(first) + len(second)
    matrix = np.zeros((whole, whole))
    matrix[:size, :size], matrix[size:, size:] = first, second
    return matrix
