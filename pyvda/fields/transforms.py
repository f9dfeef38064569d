"""Logarithms of a field, taken only where they are asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyvda.engine.data import Array
from pyvda.errors import InputError


@dataclass(frozen=True)
class Transform:
    """The field itself (`name` None), or its logarithm to base 10 ("log10") or e ("log").

    >>> Transform("log10").forward(np.array([100.0, np.nan]), "chl")
    array([ 2., nan])
    """

    name: str | None = None

    @property
    def _scale(self) -> float:
        """Natural logarithm of the base."""
        return float(np.log(10)) if self.name == "log10" else 1.0

    def forward(self, values: Array, variable: str) -> Array:
        """Return the transformed values, which are estimated.

        Raises
        ------
        InputError
            A value is zero or negative.
        """
        if self.name is None:
            return values
        bad = int((values <= 0).sum())
        if bad:
            raise InputError(
                f"{variable} has {bad} values that are zero or negative (the least is "
                f"{np.nanmin(values):g}), of which {self.name} is not defined; leave transform out "
                "(it may be a logarithm already), or mask these values"
            )
        return np.asarray(np.log(values) / self._scale)

    def variance(self, values: Array, variance: Array) -> Array:
        """Return error variances of the transformed values, to first order."""
        if self.name is None:
            return variance
        return np.asarray(variance / (values * self._scale) ** 2)

    def back(self, mean: Array, stdev: Array) -> tuple[Array, Array]:
        """Return median and standard deviation of the field, from those of its logarithm."""
        if self.name is None:
            return mean, stdev
        mu, variance = mean * self._scale, (stdev * self._scale) ** 2
        spread = np.sqrt(np.expm1(variance)) * np.exp(mu + variance / 2)
        return np.exp(mu), spread

    def comment(self) -> dict[str, str]:
        """Return the attributes that describe the transform."""
        if self.name is None:
            return {}
        return {
            "comment": f"estimated as {self.name} of the variable; the value is the median of the "
            "posterior distribution, and _stdev the standard deviation of this lognormal one"
        }
