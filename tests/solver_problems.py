"""Costs and windows that all solvers are tried on."""

import torch
from problems import random_batch

from pyvda.cost import VariationalCost
from pyvda.models.in_torch import known
from pyvda.priors import GENN, RK4Prior, TwoScaleGENN
from pyvda.solvers import ConvSolver, GradientDescent, LSTMSolver


def problems():
    """Return solver, cost and batch by name; float64."""
    torch.manual_seed(2)
    small = {"width": 3, "features": 6, "latent": 4}
    line = VariationalCost(TwoScaleGENN(3, **small), 0.5, 1.0, learnable=True)
    plane = VariationalCost(TwoScaleGENN(1, 2, True, merge=3, **small), 0.5, 1.0, learnable=True)
    ode63 = VariationalCost(RK4Prior(known("lorenz63"), 0.01), 0.5, 1.0, learnable=True)
    ode96 = VariationalCost(
        RK4Prior(known("lorenz96", state_size=6), 0.05), 0.5, 1.0, learnable=True
    )
    found = {}
    for name, cost, channels, dimension, size in (
        ("line", line, 3, 1, 3),
        ("plane", plane, 1, 2, 6),
        ("lorenz63", ode63, 3, 1, 3),
        ("lorenz96", ode96, 1, 2, 6),
    ):
        for solver in (LSTMSolver, ConvSolver):
            module = solver(channels, dimension, dimension == 2)
            found[f"{solver.__name__}, {name}"] = (module, cost, random_batch(state=size))
    found["LSTMSolver, groups"] = (LSTMSolver(3, hidden=4, every=4), ode63, random_batch())
    found["ConvSolver, groups"] = (
        ConvSolver(1, 2, True, hidden=(3, 5), every=3),
        ode96,
        random_batch(state=6),
    )
    fields = VariationalCost(GENN(1, 3, width=3, features=6, latent=4), 0.5, 1.0, learnable=True)
    gridded = random_batch(steps=6, state=(4, 5))
    found["LSTMSolver, fields"] = (LSTMSolver(1, 3), fields, gridded)
    found["ConvSolver, fields"] = (ConvSolver(1, 3, hidden=(3, 5)), fields, gridded)
    found["GradientDescent, fields"] = (GradientDescent(0.05), fields, gridded)
    found["GradientDescent, lorenz63"] = (GradientDescent(0.05), ode63, random_batch())
    return {n: (s.double(), c.double(), b) for n, (s, c, b) in found.items()}


PROBLEMS = problems()
