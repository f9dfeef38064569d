"""Inputs and outputs of networks for fields, and the networks of a configuration.

Numbers are anomalies from the mean by pixel and season over the variable's standard deviation, and
0 on land and where nothing was observed.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyvda.cost import VariationalCost
from pyvda.fields.learned.configuration import (
    AnyNetwork,
    StackSettings,
    UNetSettings,
    VariationalSettings,
)
from pyvda.fields.learned.guesses import CHANNELS, OTHERS
from pyvda.fields.learned.unet import UNet
from pyvda.priors import TwoScaleGENN
from pyvda.solvers import ConvSolver, LSTMSolver
from pyvda.state.batch import Batch

STATIC = 5
"""Channels of what is known of a point: sea, two of the season, two coordinates."""

_LARGEST = 4.0  # factor on the logarithm of the variance
_LEAST_SPREAD = 0.03  # of the field's standard deviation
_FARTHEST = 5.0  # standard deviations between interpolations


class Inputs(NamedTuple):
    """A batch of tiles at a time each.

    Attributes
    ----------
    values, mask : (B, V, T, Y, X)
        Observed anomalies of the times around, and where there are any.
    guess, spread : (B, V, Y, X)
        First guess and its standard deviation at the time itself.
    others : (B, V, C, Y, X)
        For a stack, the other interpolations as from `guesses.others`; otherwise C is 0.
    static : (B, STATIC, Y, X)
    """

    values: Tensor
    mask: Tensor
    guess: Tensor
    spread: Tensor
    others: Tensor
    static: Tensor

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Inputs:
        """Return the inputs on a device, of a type."""
        return Inputs(*(one.to(device, dtype) for one in self))


class Correction(nn.Module):
    """A network that corrects the first guess and the logarithm of its error variance.

    Where no datum of the times around is within `reach` points, the first guess stands.
    """

    reach: int

    def correction(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Return what is added to the guess and to the logarithm of its variance, (B, V, Y, X).

        For a network that estimates all times together the shape is (B, V, T, Y, X).
        """
        raise NotImplementedError

    def forward(self, inputs: Inputs) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean, variance and where a datum is near, each with the shape of `correction`."""
        there = inputs.mask.amax((1, 2), keepdim=True)[:, 0]
        near, guess, spread = _dilated(there, self.reach), inputs.guess, inputs.spread
        change, log_factor = self.correction(inputs)
        if change.ndim == inputs.mask.ndim:
            near, guess, spread = (one.unsqueeze(2) for one in (near, guess, spread))
        variance = spread.square() * torch.exp(near * log_factor.clamp(-_LARGEST, _LARGEST))
        return guess + near * change, variance, near.expand_as(change)


class UNetCorrection(Correction):
    """`unet.UNet` on all inputs as channels; together, on all but the mean that it starts from."""

    def __init__(self, settings: UNetSettings, variables: int) -> None:
        super().__init__()
        observed = variables * (2 * settings.days + 1)
        self.together, self.variables = settings.together, variables
        guesses, outputs = (0, observed) if self.together else (2 * variables, variables)
        self.unet = UNet(
            2 * observed + guesses + STATIC, 2 * outputs, settings.widths,
            settings.dropout, observed if settings.means else 0,
        )  # fmt: skip
        self.reach, self.cell = self.unet.reach, self.unet.cell

    def correction(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Return the corrections of mean and log variance."""
        guesses = () if self.together else (inputs.guess, inputs.spread)
        channels = torch.cat(
            (inputs.values.flatten(1, 2), inputs.mask.flatten(1, 2), *guesses, inputs.static), 1
        )
        mean, log_factor = self.unet(channels).chunk(2, 1)
        if self.together:
            shape = (self.variables, -1)
            mean, log_factor = mean.unflatten(1, shape), log_factor.unflatten(1, shape)
        return mean, log_factor


class VariationalCorrection(Correction):
    """The minimisation of the paper's cost (4) with trained Φ and Γ, and a U-Net for its error.

    A window has the times around; variables are windows of their own with the same Φ and Γ. The
    solver starts from the first guess of the time itself at all times, replaced by data where there
    are any.
    """

    def __init__(self, settings: VariationalSettings, variables: int) -> None:
        super().__init__()
        self.days, self.iterations = settings.days, settings.iterations
        self.cost = VariationalCost(
            TwoScaleGENN(
                1, dimension=3, width=settings.width, features=settings.features,
                latent=settings.latent, factors=settings.factors,
            ), 1.0, 1.0, learnable=True,
        )  # fmt: skip
        kind = LSTMSolver if settings.solver == "lstm" else ConvSolver
        self.solver = kind(1, dimension=3)
        with torch.no_grad():
            self.solver.update.weight.mul_(0.02)  # the first steps are small
        self.head = UNet(3 * variables + STATIC, 2 * variables, settings.head)
        _, *sides = zip(settings.width, settings.factors, strict=True)
        # Of one gradient: Φ and its adjoint, each as far as the coarse scale.
        self.reach = self.head.reach + max(width // 2 * factor for width, factor in sides)
        self.cell = max(self.head.cell, *settings.factors[1:])

    def correction(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Return the corrections of mean and log variance."""
        batch, variables, times = inputs.values.shape[:3]
        mask = inputs.mask.flatten(0, 1)
        values = inputs.values.flatten(0, 1)
        guess = inputs.guess.flatten(0, 1)[:, None].expand(-1, times, -1, -1)
        start = torch.where(mask > 0, values, guess)
        # The datum of the time itself has an error, which the guess has weighed.
        start = torch.cat((start[:, : self.days], guess[:, :1], start[:, self.days + 1 :]), 1)
        found = self.solver.solve(self.cost, Batch(values, mask, start), self.iterations)
        analysis = found.x[:, self.days].unflatten(0, (batch, variables))
        change = analysis - inputs.guess
        there = inputs.mask[:, :, self.days]
        channels = torch.cat((change, inputs.spread, there, inputs.static), 1)
        more, log_factor = self.head(channels).chunk(2, 1)
        return change + more, log_factor


class StackCorrection(nn.Module):
    """Interpolations that are weighed, and a bias, by a perceptron at each point by itself.

    The weights follow from what the interpolations differ by, their errors, the distance of data,
    the variance around the point, the season and the place: a stacked regression (Breiman 1996)
    whose weights vary. They may be negative or more than 1, and that of the first guess is what
    makes their sum 1. A point without a first guess, whose standard deviation is 0, has none.
    """

    reach, cell = 0, 1

    def __init__(self, settings: StackSettings, variables: int) -> None:
        super().__init__()
        widths = (variables * (CHANNELS + 2) + STATIC + 1, *settings.hidden)
        layers: list[nn.Module] = []
        for before, width in pairwise(widths):
            layers += [nn.Linear(before, width), nn.SiLU(), nn.Dropout(settings.dropout)]
        self.hidden = nn.Sequential(*layers)
        self.last = nn.Linear(widths[-1], variables * (OTHERS + 2))
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, inputs: Inputs) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean, variance and where there is a first guess, (B, V, Y, X) each."""
        there = (inputs.spread > 0).any(1)
        guess, spread = (one.movedim(1, -1)[there] for one in (inputs.guess, inputs.spread))
        others = inputs.others.movedim((1, 2), (-2, -1))[there]  # (n, V, C)
        _, sine, cosine, *place = inputs.static.movedim(1, -1)[there].unbind(-1)
        # The analysis at a datum is nearly free of errors: differences stay finite there.
        unit = (spread + _LEAST_SPREAD)[..., None]
        apart = others[..., :OTHERS] - guess[..., None]
        seen = torch.cat(
            (guess[..., None], (apart / unit).clamp(-_FARTHEST, _FARTHEST), unit.log(),
             (others[..., OTHERS : 2 * OTHERS] + _LEAST_SPREAD).log(),
             others[..., 2 * OTHERS :]), -1,
        ).flatten(1)  # fmt: skip
        of_season = (sine, cosine, 2 * sine * cosine, cosine**2 - sine**2)
        found = self.last(self.hidden(torch.cat((seen, torch.stack((*of_season, *place), 1)), 1)))
        weights, bias, log_factor = found.unflatten(1, (*guess.shape[1:], -1)).split(
            (OTHERS, 1, 1), -1
        )
        mean = guess + (weights * apart).sum(-1) + bias[..., 0] * spread
        factor = torch.exp(log_factor[..., 0].clamp(-_LARGEST, _LARGEST))
        return tuple(  # type: ignore[return-value]
            _scattered(one, there) for one in (mean, spread.square() * factor, spread > 0)
        )


def _scattered(values: Tensor, there: Tensor) -> Tensor:
    """Return numbers (n, V) of points (B, Y, X) on all, 0 elsewhere, (B, V, Y, X)."""
    found = values.new_zeros(*there.shape, values.shape[1])
    found[there] = values
    return found.movedim(-1, 1)


def _dilated(there: Tensor, reach: int) -> Tensor:
    """Return the maximum over squares of 2 reach + 1 points, first by columns, then by rows."""
    columns = F.max_pool2d(there, (2 * reach + 1, 1), 1, (reach, 0))
    return F.max_pool2d(columns, (1, 2 * reach + 1), 1, (0, reach))


def build(
    settings: AnyNetwork, variables: int
) -> UNetCorrection | VariationalCorrection | StackCorrection:
    """Return the network of a configuration with random weights."""
    if isinstance(settings, UNetSettings):
        return UNetCorrection(settings, variables)
    if isinstance(settings, StackSettings):
        return StackCorrection(settings, variables)
    return VariationalCorrection(settings, variables)
