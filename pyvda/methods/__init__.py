"""Registry of the assimilation methods, classical and learned.

Each method is a file with its `Options` and a function `solve(problem, options) -> Solution`.

Other packages add methods by an entry point of the group `pyvda.methods`, whose object is a
`Method` of the entry point's name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pyvda.added import loaded, names_with
from pyvda.errors import InputError
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

__all__ = [
    "METHODS", "Method", "Options", "Problem", "Solution", "Status", "get_method", "names",
]  # fmt: skip

GROUP = "pyvda.methods"


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


def get_method(name: str) -> Method:
    """Return the method called `name`, built in or added by an installed package.

    Raises
    ------
    InputError
        There is none of that name, or that of a package cannot be used.
    """
    if name in METHODS:
        return METHODS[name]
    if (added := loaded(GROUP, name, "method")) is not None:
        found = added.object
        if not isinstance(found, Method) or found.name != name:
            raise InputError(
                f"the entry point {name} of the package {added.package} is a "
                f"{type(found).__name__}, expected a pyvda.methods.Method named {name!r}; repair "
                "or remove that package"
            )
        return found
    from pyvda.fields.methods import FIELD_METHODS

    known = ", ".join([*names(), *FIELD_METHODS])
    raise InputError(f"unknown method {name!r}; choose one of {known}")


def names() -> list[str]:
    """Return the names of all methods that `get_method` knows."""
    return names_with(GROUP, METHODS)
