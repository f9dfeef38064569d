"""The architecture of a learned model as validated plain data: prior Φ, cost and solver Γ.

A training configuration contains these sections, and the description of a trained model repeats
them: they determine which weights there are.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Section(BaseModel):
    """A section of a configuration: immutable, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class ODESection(Section):
    """Φ from the model's known equation (7), (8), or its bilinear form with 9 trained parameters.

    `step` is for a model that is given by its step.

    Attributes
    ----------
    scale : float
        Standard deviation of the initial random parameters of the bilinear form.
    """

    kind: Literal["rk4", "euler", "step", "bilinear-rk4"]
    scale: float = Field(default=0.1, gt=0)


class GENNSection(Section):
    """Φ of section 3.2 on one scale, or on two scales (10).

    Defaults of `features`, `latent` and `merge` are those of the paper for the model. On one scale,
    `every` consecutive steps can form a group.

    Attributes
    ----------
    every : int
        Steps of a group.
    width : int
        Odd size of the first layer's kernels along each axis.
    features : int, optional
        Channels of the first layer.
    latent : int, optional
        Channels of the bilinear block.
    merge : int, optional
        Channels in which the two scales are added.
    factor : int
        Steps of a cell of the coarse scale.
    """

    kind: Literal["genn", "two-scale-genn"]
    every: int = Field(default=1, ge=1)
    width: int = Field(default=11, ge=1)
    features: int | None = Field(default=None, ge=1)
    latent: int | None = Field(default=None, ge=1)
    merge: int | None = Field(default=None, ge=1)
    factor: int = Field(default=4, ge=1)

    @model_validator(mode="after")
    def _check(self) -> GENNSection:
        if self.kind == "two-scale-genn" and self.every != 1:
            raise ValueError("groups of several steps (every) are for kind: genn, on one scale")
        return self


class AutoEncoderSection(Section):
    """Φ as a convolutional autoencoder (9).

    Attributes
    ----------
    width : int
        Odd size of the kernels at full resolution.
    features : int
        Channels at full resolution.
    code : int
        Channels of the code.
    factor : int
        Points of a cell in time.
    """

    kind: Literal["autoencoder"]
    width: int = Field(default=5, ge=1)
    features: int = Field(default=32, ge=1)
    code: int = Field(default=4, ge=1)
    factor: int = Field(default=8, ge=1)


class Cost(Section):
    """Weights of U (4) inside the solver, which works on normalised states.

    Attributes
    ----------
    lambda1, lambda2 : float
        Initial values if `learnable`, else fixed.
    learnable : bool
        Whether the two weights are trained.
    """

    lambda1: float = Field(default=1.0, ge=0)
    lambda2: float = Field(default=1.0, ge=0)
    learnable: bool = True


class LSTMSection(Section):
    """Γ as a convolutional LSTM (11).

    Attributes
    ----------
    start : float
        Factor on the initial random weights of L; small values make the first steps small.
    hidden : int, optional
        Channels of h and c; default: five times the channels.
    width : int
        Odd size of the kernels.
    every : int
        Steps of a group.
    """

    kind: Literal["lstm"]
    start: float = Field(default=1.0, gt=0)
    hidden: int | None = Field(default=None, ge=1)
    width: int = Field(default=3, ge=1)
    every: int = Field(default=1, ge=1)


class ConvSection(Section):
    """Γ as a convolutional network (12).

    Attributes
    ----------
    start : float
        W is initialised as this times the identity. With 1, the authors' choice, the first steps
        overshoot, and much of the training is spent on shortening them.
    width : int
        Odd size of the kernels.
    hidden : pair of int, optional
        Channels between its convolutions; default: 8 and 16 times the channels.
    every : int
        Steps of a group.
    """

    kind: Literal["conv"]
    start: float = Field(default=0.02, gt=0)
    width: int = Field(default=3, ge=1)
    hidden: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None
    every: int = Field(default=1, ge=1)


class DescentSection(Section):
    """Γ as gradient descent with a fixed step (5), which has no weights.

    Attributes
    ----------
    step : float
        α of eq. (5).
    """

    kind: Literal["gradient-descent"]
    step: float = Field(default=0.13, gt=0)


class RegressionSection(Section):
    """A network from observations to states, without prior or iterations, as a baseline.

    Attributes
    ----------
    every : int, optional
        Steps of a group; default: the preset's interval between observations.
    width : int
        Channels.
    dilations : sequence of int
        Dilations of the gated residual blocks.
    """

    kind: Literal["regression"]
    every: int | None = Field(default=None, ge=1)
    width: int = Field(default=64, ge=1)
    dilations: tuple[Annotated[int, Field(ge=1)], ...] = (1, 2, 4, 8, 1, 2, 4, 8)


class ShootingSection(Section):
    """A regression, then learned corrections of the known model's runs between nodes.

    Attributes
    ----------
    start : RegressionSection
        The first guess.
    stages : int
        Number of networks, one for each iteration.
    width, dilations
        Channels and dilations of each network.
    """

    kind: Literal["shooting"]
    start: RegressionSection = RegressionSection(kind="regression")
    stages: int = Field(default=3, ge=1)
    width: int = Field(default=64, ge=1)
    dilations: tuple[Annotated[int, Field(ge=1)], ...] = (1, 2, 4, 1)


AnyPrior = Annotated[ODESection | GENNSection | AutoEncoderSection, Field(discriminator="kind")]
AnySolver = Annotated[
    LSTMSection | ConvSection | DescentSection | RegressionSection | ShootingSection,
    Field(discriminator="kind"),
]


class Architecture(Section):
    """The modules that weights belong to: prior, cost, solver.

    Attributes
    ----------
    mirrored : bool
        Whether the trained model averages its analyses of the observations and of their mirror
        image, under which the dynamical model must be invariant. Training and validation do not.
    """

    prior: AnyPrior
    cost: Cost = Cost()
    solver: AnySolver
    mirrored: bool = False
