"""Twin experiments with settings under a name, such as those of the paper's section 4.

The presets themselves are in their model's file, in `pyvda/models/zoo/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from pyvda.errors import InputError
from pyvda.models.model import Model, chosen, number, whole


@dataclass(frozen=True)
class Preset:
    """A twin experiment.

    Attributes
    ----------
    model : Model
    steps : int
        Steps of a window, `model.time_step` apart.
    spinup : float
        Model time units from the random start to the window.
    start_mean, start_stdev : tuple of float, float
        The random start is normal; one mean for every component or one for all.
    every, first, last : int
        Observed are the steps first, first + every, ... up to last (-1: the end).
    components : tuple of int, optional
        Which components are observed; None: `random_components` of them, drawn at each time.
    variance : float
        Variance of the observation error, in the state's units squared.
    """

    model: Model
    steps: int
    spinup: float
    start_mean: tuple[float, ...]
    start_stdev: float
    every: int
    first: int
    last: int
    variance: float
    components: tuple[int, ...] | None = None
    random_components: int = 0


class Tracks(NamedTuple):
    """Where and when an instrument moved over a model's grid and observed it.

    Attributes
    ----------
    time : (K,)
        In model time.
    positions : mapping of str to (K,)
        For each dimension of the model, in its coordinates.
    track : (K,) of int
        Data with the same number belong to one track.
    """

    time: np.ndarray
    positions: Mapping[str, np.ndarray]
    track: np.ndarray


@dataclass(frozen=True)
class Sampling:
    """A twin experiment whose observations are point data along tracks.

    Attributes
    ----------
    model : str
        The name of the model.
    tracks : callable
        (model, time, random, **options) to `Tracks`, with the times (T,) of the truth and a NumPy
        generator.
    variance : float
        Variance of the observation error, in the state's units squared.
    options : mapping of str to (float or int)
        Names and defaults; integers must be at least 1, other numbers positive.
    """

    model: str
    tracks: Callable[..., Tracks]
    variance: float
    options: Mapping[str, float] = field(default_factory=dict)

    def settled(self, name: str, given: Mapping[str, Any]) -> dict[str, float]:
        """Return the options of the preset `name` with the given ones, checked.

        Raises
        ------
        InputError
            For an unknown option, or a value that it cannot have.
        """
        chosen("option", given, self.options, f"the preset {name}")
        found: dict[str, float] = {}
        for option, default in self.options.items():
            what = f"the option {option} of the preset {name}"
            value = given.get(option, default)
            if isinstance(default, int):
                found[option] = whole(what, value, 1)
                continue
            found[option] = number(what, value)
            if found[option] <= 0:
                raise InputError(f"{what} is {found[option]}, expected a positive number")
        return found
