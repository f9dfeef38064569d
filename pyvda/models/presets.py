"""Twin experiments with settings under a name, such as those of the paper's section 4.

The presets themselves stand beside their model, in `pyvda/models/zoo/`.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyvda.models.model import Model


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
        Of the observation error, in the state's units squared.
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
