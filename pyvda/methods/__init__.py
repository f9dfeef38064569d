"""Methods of assimilation, by name: on a known model, or learned.

Each is a file with its `Options` and a function `solve(problem, options) -> Solution`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pyvda.methods import (
    annealed,
    ensemble_smoother,
    fsgd,
    gauss_newton,
    learned,
    posterior_mean,
    strong_constraint,
)
from pyvda.methods.problem import Options, Problem, Solution, Status

__all__ = ["METHODS", "Method", "Options", "Problem", "Solution", "Status"]


class Method(NamedTuple):
    """A method's options and its solver."""

    options: type[Options]
    solve: Callable[..., Solution]


METHODS: dict[str, Method] = {
    "fsgd": Method(fsgd.FSGDOptions, fsgd.solve),
    "gauss-newton": Method(gauss_newton.GaussNewtonOptions, gauss_newton.solve),
    "annealed": Method(annealed.AnnealedOptions, annealed.solve),
    "strong-constraint": Method(strong_constraint.StrongConstraintOptions, strong_constraint.solve),
    "posterior-mean": Method(posterior_mean.PosteriorMeanOptions, posterior_mean.solve),
    "ensemble-smoother": Method(ensemble_smoother.EnsembleSmootherOptions, ensemble_smoother.solve),
    "learned": Method(learned.LearnedOptions, learned.solve),
}
