"""Covariances in space and time: sums of factors, each a function of distance times one of time.

    C(r, t) = Σ vᵢ fᵢ(r / Lᵢ) gᵢ(|t| / Tᵢ)

The functions are exp(-s), exp(-s²/2), and Matérn's of order 3/2 and 5/2. As YAML:

    season_days: 22.5
    variables:
      chl:
        nugget: 0.0007
        factors:
        - {variance: 0.035, km: 270, days: 0.2}
        - {variance: 0.021, km: 160, days: 34, space: matern32}
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pyvda.engine.data import Array
from pyvda.errors import InputError
from pyvda.validation_errors import validated

Kind = Literal["exponential", "gaussian", "matern32", "matern52"]
KINDS: tuple[Kind, ...] = ("exponential", "gaussian", "matern32", "matern52")
_Above = Annotated[float, Field(gt=0)]


class Factor(BaseModel):
    """One product of a function of distance and one of time.

    Attributes
    ----------
    variance : float
        In the field's units squared.
    km, days : float
        Length and time; infinite: no dependence.
    space, time : str
        Their functions.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    variance: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    km: _Above = np.inf
    days: _Above = np.inf
    space: Kind = "exponential"
    time: Kind = "exponential"

    def row(self) -> tuple[float, ...]:
        """Return the numbers that engines take: variance, kind, km, kind, days."""
        return (
            self.variance, KINDS.index(self.space), self.km, KINDS.index(self.time), self.days
        )  # fmt: skip


class SpaceTimeCovariance(BaseModel):
    """Covariance of a field without mean, and the error variance of its data.

    Attributes
    ----------
    factors : sequence of Factor
    nugget : float
        Variance of a datum's error, and of what changes from one datum to the next.
    track_variance, track_km : float
        Variance and length of the errors that data of the same pass share.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    factors: tuple[Factor, ...] = Field(min_length=1)
    nugget: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    track_variance: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    track_km: _Above = 20.0

    @property
    def variance(self) -> float:
        """Variance of the field."""
        return sum(factor.variance for factor in self.factors)

    def rows(self) -> Array:
        """Return the factors as numbers, (F, 5)."""
        return np.array([factor.row() for factor in self.factors], float)

    def __call__(self, km: Array, days: Array) -> Array:
        """Return the covariance of the field at distances and differences of time."""
        total = np.zeros(np.broadcast_shapes(np.shape(km), np.shape(days)))
        for factor in self.factors:
            total = total + factor.variance * shape(factor.space, km / factor.km) * shape(
                factor.time, np.abs(days) / factor.days
            )
        return total

    def derivatives(self, km: Array, days: Array, weight: Array) -> Array:
        """Return those of a weighted sum of covariances, by the logarithms of the constants.

        Parameters
        ----------
        km, days, weight : array
            Of the same shape.

        Returns
        -------
        (3 F,)
            By variance, km and days of each factor.
        """
        found = []
        for factor in self.factors:
            r, t = km / factor.km, np.abs(days) / factor.days
            part = factor.variance * weight * shape(factor.space, r) * shape(factor.time, t)
            by_km, by_days = slope(factor.space, r), slope(factor.time, t)
            found += [part.sum(), np.vdot(part, by_km), np.vdot(part, by_days)]
        return np.array(found)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for YAML, without default values."""
        found: dict[str, Any] = self.model_dump(exclude_defaults=True)
        return found | {"factors": [f.model_dump(exclude_defaults=True) for f in self.factors]}


def shape(kind: str, s: Array) -> Array:
    """Return one of the functions, 1 at 0.

    >>> [round(float(shape(kind, np.float64(1.0))), 4) for kind in KINDS]
    [0.3679, 0.6065, 0.4834, 0.524]
    """
    if kind == "gaussian":
        return np.exp(-(s**2) / 2)
    if kind == "matern32":
        return (1 + np.sqrt(3) * s) * np.exp(-np.sqrt(3) * s)
    if kind == "matern52":
        return (1 + np.sqrt(5) * s + 5 / 3 * s**2) * np.exp(-np.sqrt(5) * s)
    return np.exp(-s)


def slope(kind: str, s: Array) -> Array:
    """Return the derivative of the logarithm of a function by that of its length, -s f'(s) / f(s).

    >>> [round(float(slope(kind, np.float64(1.0))), 4) for kind in KINDS]
    [1.0, 1.0, 1.0981, 1.1001]
    """
    if kind == "gaussian":
        return s**2
    if kind == "matern32":
        return 3 * s**2 / (1 + np.sqrt(3) * s)
    if kind == "matern52":
        return 5 / 3 * s**2 * (1 + np.sqrt(5) * s) / (1 + np.sqrt(5) * s + 5 / 3 * s**2)
    return s


class CovarianceFile(BaseModel):
    """The content of a file of `pyvda covariance`: the covariance of each variable."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    variables: dict[str, SpaceTimeCovariance]
    units: dict[str, str] = {}
    transform: str | None = None
    season_days: _Above | None = None
    source: str | None = None

    @model_validator(mode="after")
    def _check(self) -> CovarianceFile:
        unknown = sorted(set(self.units) - set(self.variables))
        if unknown:
            raise ValueError(
                f"units has {', '.join(unknown)}, which is none of the variables "
                f"{', '.join(self.variables)}; correct the name"
            )
        return self


def read(given: Any) -> CovarianceFile:
    """Return the covariances of a YAML file, or of a mapping with its contents.

    Raises
    ------
    InputError
        The file is missing or not such a file.
    """
    from pyvda.training.configuration import read_yaml

    if isinstance(given, CovarianceFile):
        return given
    if isinstance(given, dict):
        return validated(CovarianceFile, given, "covariance")
    path = Path(given)
    if not path.is_file():
        raise InputError(
            f"the covariance is {str(given)!r}, but there is no such file; give 'fit', or a file "
            "made by pyvda covariance"
        )
    contents = read_yaml(path, "covariance", "what pyvda covariance writes")
    return validated(CovarianceFile, contents, str(path))


def write(path: str | Path, covariance: CovarianceFile) -> None:
    """Write covariances as YAML."""
    import yaml

    contents = covariance.model_dump(exclude_defaults=True, exclude={"variables"})
    contents["variables"] = {n: c.as_dict() for n, c in covariance.variables.items()}
    Path(path).write_text(yaml.safe_dump(contents, sort_keys=False), encoding="utf-8")
