"""Observation errors that are correlated among data of the same time, such as along a track.

The errors of the data of one time have the covariance R = Σ C Σ, with their standard deviations on
the diagonal of Σ. With its Cholesky factor, R = L Lᵀ, the data L⁻¹ y with the rows L⁻¹ H have
independent errors of variance 1 and the same cost ½ (y - Hx)ᵀ R⁻¹ (y - Hx), so that every method
takes them as point observations.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy  # its linalg is loaded at the first use
from numpy.typing import NDArray
from scipy import sparse

from pyvda.errors import InputError
from pyvda.models.model import number

Array = NDArray[Any]


@dataclass(frozen=True)
class CorrelatedErrors:
    r"""Correlation of observation errors that falls with distance.

    With the standard deviations of the data of one time on the diagonal of Σ,

    .. math:: R = Σ C Σ, \qquad C_{ij} = \exp(-d_{ij} / L) \text{ or } \exp(-d_{ij}^2 / 2 L^2).

    Attributes
    ----------
    length : float
        L, in the units of the coordinates: the correlation at distance d is exp(-d / L), or
        exp(-d² / 2L²).
    coordinates : sequence of str
        The coordinates of the data in whose space distance is measured.
    shape : {"exponential", "gaussian"}
        A Gaussian is nearly singular where data lie much closer together than L.

    Examples
    --------
    >>> errors = CorrelatedErrors(2.0, ["x"])
    >>> errors.correlation(np.array([[0.0], [2.0]])).round(4).tolist()
    [[1.0, 0.3679], [0.3679, 1.0]]
    """

    length: float
    coordinates: Sequence[str]
    shape: Literal["exponential", "gaussian"] = "exponential"

    def __post_init__(self) -> None:
        try:
            length = number("the correlation length", self.length)
        except InputError:
            length = 0.0
        if length <= 0:
            raise InputError(
                f"the correlation length is {self.length!r}, expected a positive number in the "
                "units of the coordinates"
            )
        object.__setattr__(self, "length", length)
        given = (self.coordinates,) if isinstance(self.coordinates, str) else self.coordinates
        named = isinstance(given, Iterable) and all(isinstance(name, str) for name in given)
        if not named or not tuple(given):
            raise InputError(
                "correlated errors need the names of the coordinates between which distance is "
                f"measured, found {self.coordinates!r}; give coordinates, such as ['x', 'y']"
            )
        object.__setattr__(self, "coordinates", tuple(given))
        if self.shape not in ("exponential", "gaussian"):
            raise InputError(
                f"the shape of the correlation is {self.shape!r}; choose exponential or gaussian"
            )

    def correlation(self, positions: Array) -> Array:
        """Return the correlations (K, K) of data at `positions` (K, number of coordinates)."""
        distance = np.sqrt(((positions[:, None] - positions[None]) ** 2).sum(-1))
        if self.shape == "gaussian":
            return np.asarray(np.exp(-0.5 * (distance / self.length) ** 2))
        return np.asarray(np.exp(-distance / self.length))

    def whitened(
        self, value: Array, rows: Any, error: Array, positions: Array, group: Array
    ) -> tuple[Array, Any, Array]:
        """Return data with independent errors that have the same cost.

        Parameters
        ----------
        value : (N,)
        rows : array or SciPy sparse matrix (N, D)
            Rows of the linear operator.
        error : (N,)
            Standard deviations.
        positions : (N, number of coordinates)
        group : (N,)
            Data with the same number have the same time.

        Returns
        -------
        value : (N,)
        rows : (N, D)
        error : (N,)
            The root mean square of a group's errors, for all its data, so that the values keep
            their scale.

        Raises
        ------
        InputError
            When an error is not a positive number, or a group's covariance is not positive
            definite.
        """
        value, error = value.astype(float), error.astype(float)
        if not np.isfinite(positions).all():
            raise InputError(
                f"a coordinate of the correlated errors ({', '.join(self.coordinates)}) is NaN or "
                "infinite for a datum; correct it, or mark the datum as missing by NaN"
            )
        W = sparse.identity(len(value), format="lil")
        if not (np.isfinite(error) & (error > 0)).all():
            wrong = error[~(np.isfinite(error) & (error > 0))][0]
            raise InputError(
                f"the observation error of a datum is {wrong}, expected a positive number, its "
                "standard deviation; correct it, or mark the datum as missing by NaN"
            )
        order = np.argsort(group, kind="stable")
        for own in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
            if len(own) < 2:
                continue
            covariance = self.correlation(positions[own]) * np.outer(error[own], error[own])
            try:
                factor = np.linalg.cholesky(covariance)
            except np.linalg.LinAlgError:
                raise InputError(
                    f"the errors of {len(own)} data of the same time have a covariance that is not "
                    "positive definite: some lie at one place, or much closer together than the "
                    f"correlation length {self.length}; average them, shorten the length, or take "
                    "the shape exponential"
                ) from None
            scale = np.sqrt(np.mean(error[own] ** 2))
            inverse = scipy.linalg.solve_triangular(factor, np.eye(len(own)), lower=True)
            W[np.ix_(own, own)] = scale * inverse
            error[own] = scale
        W = W.tocsr()
        return W @ value, W @ rows, error


def correlated_or_none(given: Any) -> CorrelatedErrors | None:
    """Return the errors of an operator; raise InputError where they are something else."""
    if given is None or isinstance(given, CorrelatedErrors):
        return given
    raise InputError(
        f"errors is of type {type(given).__name__}, expected CorrelatedErrors, such as "
        "CorrelatedErrors(2.0, ['x']); standard deviations of the data stand in a variable <name>"
        "_error beside them"
    )


def coordinate_numbers(name: str, values: Any) -> Any:
    """Return the values of a coordinate; raise InputError where they are no real numbers."""
    if values.dtype.kind not in "fiu":
        raise InputError(
            f"the errors are correlated along {name!r}, whose values have the type {values.dtype}, "
            "expected real numbers; give a coordinate of numbers, such as a distance, or the time "
            "since a date, in the unit of the length"
        )
    return values
