"""Models whose states have dimensions, for the tests of observation operators."""

import torch

import pyvda
from pyvda.models.from_torch import torch_model


def advection(y=4, x=5, land=None):
    """Advection of a field (y, x) along x, on a circle."""

    def shifted(u):
        return torch.roll(u, 1, -1)

    return torch_model(step=shifted, variables=("u",), dimensions={"y": y, "x": x}, time_step=1.0)


def two_variables():
    """A field u(x) and a number v that both decay."""
    return torch_model(
        lambda state: -0.1 * state, variables=("u", "v"),
        dimensions={"u": {"x": 6}, "v": {}}, time_step=0.5,
    )  # fmt: skip


def lorenz63():
    return pyvda.get_model("lorenz63")
