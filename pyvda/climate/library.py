"""The library of a low-dimensional model: attractor states, each with the trajectory that follows.

It is the prior of the posterior mean and where strong-constraint 4D-Var finds its starts. A few
long trajectories hold it, of which every 4th state starts a member; they start from the
climatology's states and stay in the same cache folder. A climatology that the user gives holds at
one time only: then every one of its states starts a trajectory with one member.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pyvda.climate.cache import kept
from pyvda.climate.climatology import climatology
from pyvda.engine import Engine
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.models.model import Model

LOW_DIMENSIONAL = 10
"""Largest state size that a library can stand for."""

LEAD = 20
"""Usual number of states before a member's first: the flow brings them onto the attractor."""

EVERY = 4  # as in julia/src/methods/library.jl
_TRAJECTORIES = 32
_RTOL = 1e-7
_NUMBERS = 1 << 26  # of all states together, where each member has a trajectory of its own
_VERSION = 2  # of the recipe: a change makes the cached files of before unused


@dataclass(frozen=True)
class Library:
    """Trajectories on the attractor.

    Attributes
    ----------
    states : (N, L, D)
        N trajectories of L states, a time step apart.
    lead : int
        States before the first member's first.
    signs : (D,)
        The mirror symmetry that doubles the library; ones where there is none.
    """

    states: Array
    lead: int
    signs: Array


def is_low_dimensional(model: Model) -> bool:
    """Tell whether a library can stand for the model's states."""
    return model.state_size <= LOW_DIMENSIONAL


def expect_low_dimensional(model: Model) -> None:
    """Raise InputError where states drawn at random cannot cover those of the model."""
    if model.state_size > LOW_DIMENSIONAL:
        raise InputError(
            f"{model.name} has a state of {model.state_size} components, and a library of states "
            f"can stand for at most {LOW_DIMENSIONAL}; choose another method, such as "
            "ensemble-smoother"
        )


def library(
    model: Model, engine: Engine, time_step: float, steps: int, members: int, lead: int = LEAD
) -> Library:
    """Return a library for windows of `steps` steps, from the cache or made by `engine`.

    Parameters
    ----------
    time_step : float
        Model time units.
    members : int
        How many states start a member, mirrored ones included.
    lead : int
        How many states each member has before its first.

    Raises
    ------
    InputError
        The model's state is too large, or the model diverges.
    """
    expect_low_dimensional(model)
    if model.climatology is not None:
        return _of_given(model, engine, time_step, steps, members, lead)
    signs = np.array(model.mirror_signs or (1.0,) * model.state_size)
    own = members / (2 if (signs < 0).any() else 1)
    each = int(np.ceil(own / _TRAJECTORIES))
    length = lead + EVERY * (each - 1) + steps
    recipe = f"{_VERSION} {float(time_step).hex()} {length} {_TRAJECTORIES} {_RTOL}"
    shape = (_TRAJECTORIES, length, model.state_size)

    def make() -> dict[str, Array]:
        start = climatology(model, engine).states[:_TRAJECTORIES]
        states = engine.simulate(
            model, start, time_step=time_step, steps=length, rtol=_RTOL, atol=_RTOL
        )
        if not np.isfinite(states).all():
            raise InputError(f"{model.name} diverges from its climatology; choose other parameters")
        return {"states": states}

    def valid(found: Mapping[str, Array]) -> bool:
        states = found.get("states")
        return states is not None and states.shape == shape and bool(np.isfinite(states).all())

    return Library(kept("library", model, recipe, make, valid)["states"], lead, signs)


def starts(model: Model, engine: Engine, time_step: float, members: int) -> Array:
    """Return the first states of the members of a library, mirrored ones included, (N, D)."""
    found = library(model, engine, time_step, 1, members, 0)
    states = found.states[:, ::EVERY].reshape(-1, model.state_size)
    return np.concatenate([states, states * found.signs]) if (found.signs < 0).any() else states


def _of_given(
    model: Model, engine: Engine, time_step: float, steps: int, members: int, lead: int
) -> Library:
    """Return a library whose members start `lead` steps after the states of a given climatology."""
    known, length = climatology(model, engine), lead + steps
    signs = np.array(model.mirror_signs or (1.0,) * model.state_size)
    mirror = np.outer(signs, signs)
    if not (
        np.allclose(known.mean * signs, known.mean)
        and np.allclose(known.matrix() * mirror, known.matrix())
    ):
        signs = np.ones(model.state_size)
    own = members // (2 if (signs < 0).any() else 1)
    count = max(1, min(own, len(known.states), _NUMBERS // (length * model.state_size)))
    states = engine.simulate(
        model, known.states[:count], time_step=time_step, steps=length, rtol=_RTOL, atol=_RTOL
    )
    # A state from which the model diverges explains no observation.
    states = states[np.isfinite(states).all((1, 2))]
    if not len(states):
        raise InputError(
            f"{model.name} diverges from every state of the given climatology; give another one"
        )
    return Library(states, lead, signs)
