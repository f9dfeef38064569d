"""The model error: its weight in a cost, and the noise it adds to the members of an ensemble."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyvda.engine.interface import Array
from pyvda.operators.covariance import Covariance
from pyvda.operators.covariance_input import as_covariance


def model_weight(given: Any, size: int) -> tuple[float, Array | None]:
    """Return the weight of the model in the weak-constraint cost, a number or a matrix.

    Parameters
    ----------
    given : float, or what `as_covariance` takes
        q or Q of the option `model_error`.

    Returns
    -------
    float, (D, D) or None
        `Shooting.weights` and `Shooting.model_precision`: 1/q and None for a number, for which the
        engines are faster, otherwise 1 and Q⁻¹.

    Raises
    ------
    InputError
        Q cannot be read, is singular, or has another size.
    """
    if isinstance(given, (int, float)):
        return 1 / given, None
    return 1.0, as_covariance(given, size, "model_error").precision()


def drawn(mean: Array, covariance: Covariance, count: int, seed: int) -> Array:
    """Draw N states from a Gaussian, (N, D), so that their sample mean is exactly `mean`.

    With N > rank their sample covariance is exact, too.

    Parameters
    ----------
    mean : (D,)
    covariance : Covariance
    count : int
        N.
    seed : int
    """
    random = np.random.default_rng([seed, 3])
    deviates = random.standard_normal((count, covariance.rank))
    deviates -= deviates.mean(0)
    if covariance.rank < count:
        columns = np.linalg.qr(np.hstack([np.ones((count, 1)), deviates]))[0][:, 1:]
        deviates = np.sqrt(count - 1) * columns
    return np.asarray(mean + covariance.sqrt(deviates))


def model_noise(Q: Covariance, members: Array, steps: int, seed: int | tuple[int, ...]) -> Array:
    """Return noise for each member and step whose sample covariance over the members is Q.

    The noise of a step has mean zero over the members. Where N - 1 ≥ rank Q its sample covariance
    is exactly Q. Where N - 1 ≥ D + `steps` · rank Q the noise of every step is also uncorrelated
    with the members and with the noise of all other steps, so that an ensemble smoother has no
    sampling error on a linear model. With fewer members the correlations are of order 1/√N.

    Parameters
    ----------
    Q : Covariance
    members : (N, D)
        The states at the start.
    steps : int
        Number of steps to which noise is added.
    seed : int or tuple of int

    Returns
    -------
    (steps, D, N)
    """
    N, rank = len(members), Q.rank
    random = np.random.default_rng([*np.atleast_1d(seed), 2])
    deviates = random.standard_normal((steps, N, rank))
    deviates -= deviates.mean(1, keepdims=True)
    # The anomalies of the members occupy D of the N - 1 available directions.
    known = np.hstack([np.ones((N, 1)), members - members.mean(0)])
    if known.shape[1] + steps * rank <= N:
        drawn = np.moveaxis(deviates, 0, 1).reshape(N, steps * rank)
        columns = np.linalg.qr(np.hstack([known, drawn]))[0][:, known.shape[1] :]
        deviates = np.sqrt(N - 1) * np.moveaxis(columns.reshape(N, steps, rank), 1, 0)
    elif rank < N:
        ones = np.ones((steps, N, 1))
        columns = np.linalg.qr(np.concatenate([ones, deviates], axis=2))[0][:, :, 1:]
        deviates = np.sqrt(N - 1) * columns
    return np.ascontiguousarray(np.swapaxes(Q.sqrt(deviates), 1, 2))
