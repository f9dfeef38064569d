"""The configuration of a training on a field, as YAML:

    field: {observations: chl.nc, variable: chl, transform: log10}
    network: {kind: unet, days: 5, widths: [24, 48, 72]}
    optimiser: {rate: 0.002}
    training: {epochs: 60, batch_size: 8, patience: 15}

Without `field.truth` the training is unsupervised: clouds of other times hide observations, which
are what the network is compared with. Unknown keys are refused.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from pyvda.learned.architecture import Section
from pyvda.training.configuration import Run, Updates

TURNS = ("sign", "time", "y", "x")
_NEIGHBOURS = ("nearest", "nearest_other", "within_days")


def turns_of(given: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Return what is turned together in each of some turns.

    Raises
    ------
    ValueError
        One is unknown.

    >>> turns_of(("sign y", "x"))
    (('sign', 'y'), ('x',))
    """
    found = tuple(tuple(one.split()) for one in given)
    unknown = sorted({one for turn in found for one in turn} - set(TURNS))
    if unknown or any(not turn for turn in found):
        raise ValueError(
            f"what is turned has {', '.join(unknown) or 'an empty string'}, expected a list of "
            f"{', '.join(TURNS)}, joined by a space where they are turned together"
        )
    return found


def idle_at_points(turns: tuple[tuple[str, ...], ...]) -> str:
    """Name the turns that change nothing at a point, neither a sign nor its coordinates.

    >>> idle_at_points((("sign", "y"), ("x", "time"), ("y",)))
    'y'
    """
    return ", ".join(turn[0] for turn in turns if len(turn) == 1 and turn[0] != "sign")


_Positive = Annotated[int, Field(ge=1)]


class FieldSource(Section):
    """The file that is learned from.

    Attributes
    ----------
    observations : str
        File of variables over time and two dimensions of space, as for `pyvda assimilate`; with a
        truth also of data at points, such as tracks, each of which belongs to the nearest point and
        time of the truth.
    truth : str, optional
        File of the complete fields, of the same variables, times and grid: the training is then
        supervised, and gaps of other times are laid over the truth for more samples.
    variable : str, optional
        Variable or variables, separated by commas.
    mask, transform, withhold
        As the options of `pyvda assimilate`; what is withheld is used for nothing.
    covariance, season_days
        As the options of the method `oi`, the first guess.
    first_guess : {"oi", "mean"}
        What the network corrects: optimal interpolation, or the mean by pixel and season.
    nearest, nearest_other, within_days
        As the options of the method `oi`: the data that the first guess uses. Fewer make it faster.
    draws : int
        How often other clouds are laid over all times; the epochs take them in turn.
    samples : int, optional
        Samples of an epoch at most, each a tile at a time.
    tile : int
        Points of a sample's side at most.
    validation : float
        Share of the times that select the best weights: those below a cloud that is laid over each,
        from which nothing else is learned; with a truth, the last times as a whole.
    augment : bool or sequence of str
        What is turned at random: "sign" of the anomalies, direction of "time", "y" and "x"; those
        that only together leave the dynamics as they are, in one string: "sign y" for an ocean
        between two walls with winds that are odd in y. An axis by itself runs the other way, and
        points keep their coordinates; together with something else it is mirrored about the centre
        of the grid, and points have the coordinates of their mirror images. True: each by itself.
        False: nothing.
    ends : float
        Share of the samples whose data before or after a random time, at most `network.days` away,
        neither the network nor its first guess sees, as at the ends of a file: for a network that
        is used on shorter ones.
    seed : int
        Seed of the draws, the times of validation and the order.
    """

    observations: str
    truth: str | None = None
    variable: str | None = None
    mask: str | None = None
    transform: Literal["log10", "log"] | None = None
    withhold: str | None = None
    covariance: str | dict[str, Any] = "fit"
    season_days: float | None = Field(default=None, ge=0)
    first_guess: Literal["oi", "mean"] = "oi"
    nearest: int | None = Field(default=None, ge=1, le=10_000)
    nearest_other: int | None = Field(default=None, ge=0, le=10_000)
    within_days: float | None = Field(default=None, ge=0)
    draws: int = Field(default=8, ge=1)
    samples: int | None = Field(default=None, ge=1)
    tile: int = Field(default=96, ge=8)
    validation: float = Field(default=0.15, gt=0, lt=0.9)
    augment: bool | tuple[str, ...] = True
    ends: float = Field(default=0.0, ge=0, le=1)
    seed: int = Field(default=1, ge=0, lt=2**32)

    def turns(self) -> tuple[tuple[str, ...], ...]:
        """Return what is turned at random, a tuple of what is turned together each."""
        if isinstance(self.augment, bool):
            return tuple((one,) for one in TURNS) if self.augment else ()
        return turns_of(self.augment)

    @model_validator(mode="after")
    def _check(self) -> FieldSource:
        self.turns()
        given = [name for name in _NEIGHBOURS if getattr(self, name) is not None]
        if self.first_guess == "mean" and given:
            raise ValueError(
                f"{', '.join(given)} would have no effect: the first guess is the mean; leave it "
                "out, or let first_guess be oi"
            )
        return self


class UNetSettings(Section):
    """A regression without iterations, the baseline of learned priors: a U-Net.

    Attributes
    ----------
    days : int
        Times before and after that it sees.
    widths : sequence of int
        Channels at each resolution.
    dropout : float
        Share of the coarsest channels that a step leaves out.
    means : bool
        Whether coarser resolutions see the means of the observations in each of their cells.
    together : bool
        Whether it estimates all times that it sees at once, and not the middle one alone: as many
        targets for the same work, so that it learns with fewer steps. It is trained on a truth, and
        starts from the mean.
    """

    kind: Literal["unet"]
    days: int = Field(default=5, ge=0, le=60)
    means: bool = True
    widths: tuple[_Positive, ...] = Field(default=(24, 48, 72), min_length=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    together: bool = False


class VariationalSettings(Section):
    """The paper's form: a two-scale prior Φ over (time, y, x), and a solver Γ on the gradient.

    Attributes
    ----------
    days : int
        Times before and after that a window has.
    width : tuple of 3 odd int
        Size of the kernels of Φ in time, y and x.
    features, latent : int
        Channels of the first layer of Φ and of its bilinear block.
    factors : tuple of 3 int
        Points of a cell of the coarse scale.
    solver : {"lstm", "conv"}
        Γ: a recurrent or a plain convolution of the gradient.
    iterations : int
        Steps of the solver.
    head : sequence of int
        Channels of the U-Net that gives the error variance.
    """

    kind: Literal["variational"]
    together: ClassVar[bool] = False
    days: int = Field(default=3, ge=1, le=60)
    width: tuple[_Positive, _Positive, _Positive] = (3, 5, 5)
    features: int = Field(default=16, ge=1)
    latent: int = Field(default=16, ge=1)
    factors: tuple[_Positive, _Positive, _Positive] = (1, 4, 4)
    solver: Literal["lstm", "conv"] = "lstm"
    iterations: int = Field(default=5, ge=1)
    head: tuple[_Positive, ...] = Field(default=(12, 24), min_length=1)

    @model_validator(mode="after")
    def _check(self) -> VariationalSettings:
        if any(width % 2 == 0 for width in self.width):
            raise ValueError(f"width is {self.width}, expected odd sizes")
        return self


class StackSettings(Section):
    """A perceptron that weighs three interpolations by where and when they are.

    Attributes
    ----------
    days : int
        Times before and after that it sees beyond those that interpolations use: none.
    hidden : sequence of int
        Units of each hidden layer.
    dropout : float
        Share of the units that a step leaves out.
    """

    kind: Literal["stack"]
    together: ClassVar[bool] = False
    days: Literal[0] = 0
    hidden: tuple[_Positive, ...] = Field(default=(48, 48), min_length=1)
    dropout: float = Field(default=0.2, ge=0, lt=1)


AnyNetwork = Annotated[
    UNetSettings | VariationalSettings | StackSettings, Field(discriminator="kind")
]


class FieldOptimiser(Updates):
    """How the weights are updated.

    Attributes
    ----------
    rate : float
        Learning rate.
    """

    kind: Literal["adam", "adamw"] = "adamw"
    rate: float = Field(default=2e-3, gt=0)
    warmup: int = Field(default=50, ge=0)
    weight_decay: float = Field(default=1e-3, ge=0)
    clip: float | None = Field(default=1.0, gt=0)


class FieldRun(Run):
    """Length, loss and hardware.

    Attributes
    ----------
    select : {"rmse", "nll"}
        The score of the values of validation that selects the best weights.
    focus : float
        β of the weights σ^(2β) of the values' negative log likelihoods (Seitzer et al. 2022): with
        0 the likelihood itself, with 1 errors count alike wherever they are.
    """

    epochs: int = Field(default=60, ge=1)
    batch_size: int = Field(default=8, ge=1)
    averaging: float = Field(default=0.99, ge=0, lt=1)
    select: Literal["rmse", "nll"] = "nll"
    focus: float = Field(default=0.5, ge=0, le=1)


class FieldConfiguration(Section):
    """A whole training on a field."""

    field: FieldSource
    network: AnyNetwork = UNetSettings(kind="unet")
    optimiser: FieldOptimiser = FieldOptimiser()
    training: FieldRun = FieldRun()

    @model_validator(mode="after")
    def _check(self) -> FieldConfiguration:
        if self.network.kind == "stack" and self.field.first_guess == "mean":
            raise ValueError(
                "first_guess is mean, but a stack weighs interpolations; let field.first_guess be "
                "oi, or choose another network"
            )
        if self.field.ends and not self.network.days:
            remedy = "leave it out"
            if self.network.kind != "stack":
                remedy += ", or let network.days be at least 1"
            raise ValueError(
                f"ends is {self.field.ends:g}, but an end lies among the network.days times before "
                f"or after a sample, but network.days is 0; {remedy}"
            )
        if self.network.kind == "stack" and not isinstance(self.field.augment, bool):
            idle = idle_at_points(self.field.turns())
            if idle:
                raise ValueError(
                    f"augment has {idle}, which would have no effect: a stack sees each point by "
                    "itself; leave it out"
                )
        if self.network.together and (self.field.truth is None or self.field.first_guess != "mean"):
            raise ValueError(
                "network.together is true, which is trained on a truth and starts from the mean; "
                "give field.truth and field.first_guess: mean, or leave out together"
            )
        return self
