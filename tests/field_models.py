"""Networks for fields with random weights, and small configurations, for tests."""

import numpy as np
import torch
from gappy import COVARIANCE, as_mapping

from pyvda.fields.field import opened
from pyvda.fields.learned.configuration import (
    StackSettings,
    UNetSettings,
    VariationalSettings,
)
from pyvda.fields.learned.description import FieldVariable, Grid, step_days
from pyvda.fields.learned.guesses import CHANNELS
from pyvda.fields.learned.model import FieldModel
from pyvda.fields.learned.network import STATIC, Inputs

UNET = UNetSettings(kind="unet", days=1, widths=(4, 6), dropout=0.0)
TOGETHER = UNetSettings(kind="unet", days=2, widths=(4, 6), dropout=0.0, together=True)
VARIATIONAL = VariationalSettings(
    kind="variational", days=1, width=(3, 3, 3), features=4, latent=4, factors=(1, 2, 2),
    iterations=2, head=(4, 6),
)  # fmt: skip
STACK = StackSettings(kind="stack", hidden=(5,), dropout=0.0)


def inputs(variables=1, batch=2, days=1, shape=(16, 18), cover=0.4, seed=0):
    """Return random inputs of a network."""
    torch.manual_seed(seed)
    times = 2 * days + 1
    mask = (torch.rand(batch, variables, times, *shape) < cover).double()
    return Inputs(
        torch.randn(batch, variables, times, *shape).double() * mask, mask,
        torch.randn(batch, variables, *shape).double(),
        torch.rand(batch, variables, *shape).double() + 0.1,
        torch.rand(batch, variables, CHANNELS, *shape).double(),
        torch.randn(batch, STATIC, *shape).double(),
    )  # fmt: skip


def random_model(ds, network=UNET, variables=None, seed=0, units="degC", **more):
    """Return a network whose corrections are not zero, as if it was trained on `ds`."""
    field = opened(ds, variables)
    first = field.read(field.variables[0]).values
    torch.manual_seed(seed)
    about = {
        "network": network,
        "variables": {
            name: FieldVariable(units=units, scale=1.0, covariance=COVARIANCE)
            for name in field.variables
        },
        "transform": None, "first_guess": "oi", "nearest": 8, "nearest_other": 1,
        "within_days": 10.0, "step_days": step_days(field),
        "season_days": None, "cover": float(np.isfinite(first).mean()),
        "grid": Grid.of(field), "variance_factor": 1.0, "trained": {},
    } | more  # fmt: skip
    mean = np.full((len(field.variables), 1, len(field.places)), 15.0)
    more = (mean[:, 0], np.ones_like(mean[:, 0])) if network.kind == "stack" else (None, None)
    model = FieldModel(about, mean, field.sea, *more, field.places.position)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "last" in name:
                parameter.copy_(0.3 * torch.randn(parameter.shape))
    return model.eval()


def configuration(observations, **sections):
    """Return a small training on a file, as plain data."""
    found = {
        "field": {
            "observations": str(observations), "draws": 2,
            "covariance": as_mapping(units={"sst": "degC"}),
        },
        "network": {"kind": "unet", "days": 1, "widths": [6, 8]},
        "optimiser": {"rate": 0.01, "warmup": 0},
        "training": {"epochs": 2, "averaging": 0.0},
    }  # fmt: skip
    for name, section in sections.items():
        found[name] = found[name] | section
    return found
