"""Options that the methods for fields share, and what a method returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pyvda.engine.data import Array

Seed = Annotated[int, Field(ge=0, lt=2**63)]
Above = Annotated[float, Field(gt=0)]


class FieldOptions(BaseModel):
    """Options of a method for fields.

    Attributes
    ----------
    mask : str, optional
        Variable that tells land from sea. Default: one that says so by its attributes or name;
        else points that were never observed are land.
    transform : {"log10", "log"}, optional
        Logarithm that is estimated in place of the variable.
    withhold : Any, optional
        Data that are not used: a variable of the file, another file with the variable `withheld`
        (nonzero: not used), or an array.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)
    mask: str | None = None
    transform: Literal["log10", "log"] | None = None
    withhold: Any = None

    def trained(self) -> Any:
        """Return the description of what was trained, None of a method without training."""
        return None

    def reach_days(self, field: Any) -> float:
        """Return the largest distance in time of the data of an estimate, of a method in blocks."""
        raise NotImplementedError

    def aligned(self, ds: Any, open_field: Any) -> Any:
        """Return a file on the grid of what was trained; see `learned.alignment.aligned`."""
        raise NotImplementedError


@dataclass(frozen=True)
class PointEstimate:
    """A variable's analysis at the places and times of point data, (N,) each, transformed.

    Attributes
    ----------
    value, stdev : (N,)
        NaN where it was not asked for.
    noise : (N,)
        Variance of a datum's error there.
    """

    value: Array
    stdev: Array
    noise: Array


@dataclass(frozen=True)
class Estimate:
    """A variable's analysis on the points of the sea, (T, P) each, transformed.

    Attributes
    ----------
    value, stdev : (T, P)
    noise : (T, P)
        Variance of a datum's error there, which a prediction of data adds to that of the field.
    km, days : (T, P), optional
        From the point to the datum with the largest covariance; NaN without data.
    configuration : dict
        Constants that the method found, as plain data.
    at_points : PointEstimate, optional
        The same at the places of point data.
    """

    value: Array
    stdev: Array
    noise: Array
    km: Array | None = None
    days: Array | None = None
    configuration: dict[str, Any] = field(default_factory=dict)
    at_points: PointEstimate | None = None
