"""Fields turned: with another sign, another direction of time, or mirrored.

That an anomaly is as likely as its opposite is what optimal interpolation assumes, too. An axis
that is turned alone runs the other way: points keep their coordinates. One that is turned with
something else is a symmetry of the dynamics, which makes another field of the same domain: points
have the coordinates of their mirror images about its centre.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from pyvda.fields.learned.guesses import OTHERS
from pyvda.fields.learned.network import Inputs

_SIGNED = ("values", "guess", "target", "mean")
_OTHERS = "others"  # whose third axis has interpolations, the first of them their values
_STATIC = "static"
_COORDINATES = {"y": -1, "x": -2}  # of the channels of what is known of a point, see `Inputs`
_PLANES = 3  # dimensions (..., Y, X) of a batch at least; others are numbers of its samples


def turned(batch: dict[str, Tensor], turn: Collection[str]) -> dict[str, Tensor]:
    """Return a batch whose sign, time, y or x is reversed.

    Parameters
    ----------
    batch : dict of Tensor
        Of `Inputs`, and perhaps targets or estimates, (B, V, Y, X), or over times (B, V, T, Y, X);
        other tensors stay as they are.
    turn : collection of str
        Of `configuration.TURNS`: what is turned together.
    """
    found = {}
    mirrored = [of for axis, of in _COORDINATES.items() if axis in turn and len(turn) > 1]
    for name, one in batch.items():
        axes = [axis for axis, of in ((-2, "y"), (-1, "x")) if of in turn and one.ndim > _PLANES]
        if "time" in turn and one.ndim > _PLANES + 1 and name != _OTHERS:
            axes.append(2)
        if "sign" in turn and name in _SIGNED:
            one = -one
        if "sign" in turn and name == _OTHERS:
            one = torch.cat((-one[:, :, :OTHERS], one[:, :, OTHERS:]), 2)
        if name == _STATIC and mirrored:
            factor = torch.ones_like(one[0, :, 0, 0])
            factor[mirrored] = -1
            one = one * factor[:, None, None]
        found[name] = one.flip(axes) if axes else one
    return found


def mean_of_turns(
    model: torch.nn.Module, inputs: Inputs, turns: Sequence[Collection[str]]
) -> tuple[Tensor, Tensor]:
    """Return a model's mean and variance, averaged over the field as it is and turned.

    This is test-time augmentation. Each estimate is turned back. Where the turns leave the dynamics
    as they are, the best estimate turns with the field, and averaging reduces the errors of a model
    that has not learned this.
    """
    total = [torch.zeros(()), torch.zeros(())]
    for turn in ((), *turns):
        mean, variance, _ = model(Inputs(**turned(inputs._asdict(), turn)))
        back = turned({"mean": mean, "variance": variance}, turn)
        total = [total[0] + back["mean"], total[1] + back["variance"]]
    return total[0] / (len(turns) + 1), total[1] / (len(turns) + 1)
