"""The configuration of a training on data at points, as YAML:

    points: {observations: [jason.nc, saral.nc], variable: sla}
    network: {kind: neighbours, data: 24}
    training: {epochs: 12}

Passes, moorings or floats are hidden, a fifth at a time, and estimated from the others: nothing but
the file is needed. With `points.truth` the network is compared with complete fields. Unknown keys
are refused.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from pyvda.learned.architecture import Section
from pyvda.training.configuration import Run, Updates


class PointSource(Section):
    """The data at points that are learned from.

    Attributes
    ----------
    observations : str or sequence of str
        File, or files such as those of several satellites, as for `pyvda assimilate`.
    truth : str, optional
        File of complete fields of the variable over time and a grid, such as those of a simulation
        that the data observe: the network is compared with these.
    variable : str, optional
        Default: the only one.
    transform : {"log10", "log"}, optional
        Logarithm that is estimated in place of the variable.
    withhold : str, optional
        Variable of the file that is nonzero where a datum is used for nothing, the fit included.
    covariance, functions, factors, fit_by, mean, local_variance
        As the options of the method `oi`, the first guess; but the constants are fitted by passes,
        moorings or floats, unless `fit_by` says otherwise.
    nearest, nearest_other, within_days, group_days
        As the options of the method `oi`.
    combined : bool
        As the option of `oi`: whether the first guess is corrected by other interpolations.
    draws : int
        How often the passes are dealt into fifths, each of which is hidden in turn; with a truth,
        how often it is observed.
    samples : int
        Data of a draw that are estimated, at most; with a truth, points and times of it.
    seed : int
        Seed of the fit, the draws and the order.
    """

    observations: str | tuple[str, ...]
    truth: str | None = None
    variable: str | None = None
    transform: Literal["log10", "log"] | None = None
    withhold: str | None = None
    covariance: str | dict[str, Any] = "fit"
    functions: str | tuple[str, ...] | None = None
    factors: int | None = Field(default=None, ge=1, le=6)
    fit_by: Literal["passes", "likelihood"] | None = None
    mean: str | None = None
    local_variance: bool = False
    nearest: int | None = Field(default=None, ge=1, le=10_000)
    nearest_other: int | None = Field(default=None, ge=0, le=10_000)
    within_days: float | None = Field(default=None, ge=0)
    group_days: float | None = Field(default=None, gt=0)
    combined: bool = False
    draws: int = Field(default=3, ge=1)
    samples: int = Field(default=20_000, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**32)

    def files(self) -> list[str]:
        """Return the files of the observations."""
        return [self.observations] if isinstance(self.observations, str) else [*self.observations]


class NeighboursSettings(Section):
    """A perceptron that weighs the data around a target.

    Attributes
    ----------
    data : int
        Data around a target that it sees, the nearest in space and time.
    hidden : int
        Units of each hidden layer.
    dropout : float
        Share of the units that a step leaves out.
    members : int
        Networks, whose corrections are averaged. Each learns nothing from a part of the passes, or
        of the times of a truth, on which it is scored.
    """

    kind: Literal["neighbours"]
    data: int = Field(default=24, ge=1, le=1000)
    hidden: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    members: int = Field(default=5, ge=2, le=50)


class PointOptimiser(Updates):
    """How the weights are updated.

    Attributes
    ----------
    rate : float
        Learning rate.
    """

    kind: Literal["adam", "adamw"] = "adamw"
    rate: float = Field(default=2e-3, gt=0)
    warmup: int = Field(default=50, ge=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    clip: float | None = Field(default=1.0, gt=0)


class PointRun(Run):
    """Length and hardware. The best weights have the least error on what members left out."""

    epochs: int = Field(default=12, ge=1)
    batch_size: int = Field(default=256, ge=1)
    averaging: float = Field(default=0.99, ge=0, lt=1)


class PointConfiguration(Section):
    """A whole training on data at points."""

    points: PointSource
    network: NeighboursSettings = NeighboursSettings(kind="neighbours")
    optimiser: PointOptimiser = PointOptimiser()
    training: PointRun = PointRun()
