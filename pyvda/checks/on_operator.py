"""Check the derivatives of an observation function of the user's own."""

from __future__ import annotations

import numpy as np

from pyvda.checks.derivative_check import Check, difference_check, spread
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.operators.from_file import resolve
from pyvda.operators.function import FunctionOperator
from pyvda.state.batch import Batch

_NAME = "observation operator"
_REACH = 1 / 16  # of the usual length of a direction, for functions that are far from linear
_NOISE = 0.1  # in units of the states' spread, as of the states of the other checks


def observation_function(given: str) -> FunctionOperator:
    """Return the function of an operator's file, see `pyvda.operators.from_file`.

    Raises
    ------
    InputError
        The operator is linear.
    """
    operator = resolve(given)
    if not isinstance(operator, FunctionOperator):
        raise InputError(
            f"{given} is a {type(operator).__name__}, which has no derivatives to check; leave it "
            "out, or give a function (observe.py:name or observe.jl)"
        )
    return operator


def check_operator(operator: FunctionOperator, batch: Batch, *, seed: int = 0) -> list[Check]:
    """Check Hᵀ v of an observation function h by differences of v · h.

    Parameters
    ----------
    operator : FunctionOperator
    batch : Batch
        numpy arrays (W, T, D), around whose first guess the states lie.
    seed : int
        Seed of the random directions.

    A function that `FunctionOperator.check` refuses fails with its sentence.
    """
    guess = np.asarray(batch.first_guess, float)
    rng = np.random.default_rng([seed, 9])
    x = guess + _NOISE * spread(guess) * rng.standard_normal(guess.shape)
    try:
        count = operator.count(x[0, 0])
        operator.check(x.shape[2], count, x[0, :3])
    except InputError as error:
        return [Check(_NAME, np.inf, 0.0, str(error))]
    v = rng.standard_normal((*x.shape[:2], count))

    def value(states: Array) -> Array:
        return np.asarray((v * operator.values(states, count)).sum((1, 2)))

    def gradient(states: Array) -> Array:
        return np.einsum("wtk,wtkd->wtd", v, operator.derivatives(states, count))

    return [difference_check(_NAME, value, gradient, x, seed, reach=_REACH)]
