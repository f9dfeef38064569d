"""Registry of the assimilation methods, classical and learned.

Each method is a file with its `Options` and a function `solve(problem, options) -> Solution`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pyvda.methods import (
    annealed,
    ensemble_smoother,
    fsgd,
    gauss_newton,
    incremental,
    learned,
    letkf,
    posterior_mean,
    strong_constraint,
)
from pyvda.methods.problem import Options, Problem, Solution, Status

__all__ = ["METHODS", "Method", "Options", "Problem", "Solution", "Status"]


class Method(NamedTuple):
    """A method's name, options and solver."""

    name: str
    options: type[Options]
    solve: Callable[..., Solution]

    def _repr_html_(self) -> str:
        from pyvda.html_tables import of_method

        return of_method(self)


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("fsgd", fsgd.FSGDOptions, fsgd.solve),
        Method("gauss-newton", gauss_newton.GaussNewtonOptions, gauss_newton.solve),
        Method("annealed", annealed.AnnealedOptions, annealed.solve),
        Method(
            "strong-constraint", strong_constraint.StrongConstraintOptions, strong_constraint.solve
        ),
        Method("incremental", incremental.IncrementalOptions, incremental.solve),
        Method("posterior-mean", posterior_mean.PosteriorMeanOptions, posterior_mean.solve),
        Method(
            "ensemble-smoother", ensemble_smoother.EnsembleSmootherOptions, ensemble_smoother.solve
        ),
        Method("letkf", letkf.LETKFOptions, letkf.solve),
        Method("learned", learned.LearnedOptions, learned.solve),
    )
}
