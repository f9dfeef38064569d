"""The content of points.json: what a network was trained for, as validated plain data."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field as Limits

from pyvda.engine.data import Array, Selection
from pyvda.errors import InputError
from pyvda.fields.covariance import SpaceTimeCovariance
from pyvda.fields.field import Field
from pyvda.fields.learned_points.configuration import NeighboursSettings
from pyvda.fields.learned_points.neighbours import Units
from pyvda.fields.points import DataAtPoints
from pyvda.io.cf.units import same
from pyvda.learned.architecture import Section
from pyvda.learned.description import read_schema

POINTS_FILE = "points.json"


class Scores(Section):
    """Errors at passes or times left out, each estimated by a network that has not learned from it.

    Attributes
    ----------
    first_guess, rmse : float
        Root mean squares of the errors of the interpolation, and of the corrected one.
    ratio, low, high : float
        Of the second to the first, and its interval by a bootstrap over passes, or over stretches
        of time.
    values : int
    """

    first_guess: float
    rmse: float
    ratio: float
    low: float
    high: float
    values: int


class PointDescription(Section):
    """The data and settings for which a network was trained.

    Attributes
    ----------
    format : int
        Version of this description.
    network : section
        Its architecture.
    variable, units, transform : str
    covariance : SpaceTimeCovariance
        That of the interpolation which it corrects.
    around_map : bool
        Whether a map of the mean was subtracted, which the data then need in use.
    local_variance : bool
        Whether maps over time also tell how the variance differs from point to point.
    nearest, nearest_other : int
        Data of the interpolation, in each quadrant: of the own group, and of each other one.
    within_days : float
        How far away in time they are at most.
    group_days : float
        Width of a group.
    combination : sequence of float
        Weights of other interpolations that correct it, see `combination`; none: it is not
        corrected by others.
    unit_km, reach : float
        See `neighbours.Units` and `network.inputs_of`.
    scores : Scores, optional
        None before the first epoch.
    corrects : bool
        Whether the correction is used: where its scores do not exclude that it does harm, the
        estimate is the interpolation.
    trained : dict
        How it was made, for people, and digests of the data; see `has_seen`.
    weights, sha256 : str
        Name of the file with the weights, and the SHA-256 it must have.
    """

    format: Literal[1]
    network: NeighboursSettings
    variable: str
    units: str
    transform: Literal["log10", "log"] | None
    covariance: SpaceTimeCovariance
    around_map: bool
    local_variance: bool = False
    nearest: int = Limits(ge=1)
    nearest_other: int = Limits(ge=0)
    within_days: float = Limits(ge=0)
    group_days: float = Limits(gt=0)
    combination: tuple[float, ...]
    unit_km: float = Limits(gt=0)
    reach: float = Limits(gt=0)
    scores: Scores | None
    corrects: bool
    trained: dict[str, Any]
    weights: str = Limits(pattern=r"^weights-[0-9a-f]{12}\.safetensors$")
    sha256: str = Limits(pattern=r"^[0-9a-f]{64}$")

    def text(self) -> str:
        """Return the file's text."""
        return json.dumps(self.model_dump(mode="json"), indent=2) + "\n"

    def selection(self) -> Selection:
        """Return which data the interpolation uses."""
        return Selection(self.nearest, self.nearest_other, self.within_days, np.inf)

    def scales(self) -> Units:
        """Return the units of distance and time."""
        return Units(self.unit_km, self.group_days)

    def check(self, field: Field, mean: Any) -> None:
        """Raise InputError unless the data have the variable, units and mean of the training.

        Parameters
        ----------
        field : Field
        mean : path or Dataset, optional
            Map of the mean.

        Raises
        ------
        InputError
        """
        if field.transform.name != self.transform:
            raise InputError(
                f"the network was trained with transform {self.transform or 'none'}, but transform "
                f"is {field.transform.name or 'none'}; give the same"
            )
        if field.variables != (self.variable,):
            raise InputError(
                f"the network was trained for {self.variable}, but the variables are "
                f"{', '.join(field.variables)}; name the trained one (variable), or rename it"
            )
        units = str(field.ds[self.variable].attrs.get("units", ""))
        if not same(units, self.units):
            raise InputError(
                f"the network was trained for {self.variable} in {self.units!r}, but "
                f"{self.variable} is in {units!r}; convert the data"
            )
        if self.around_map != (mean is not None):
            raise InputError(
                "the network was trained around a map of the mean, but none is given; give it "
                "(--set mean=FILE)" if self.around_map else
                "a map of the mean is given, but the network was trained without one; leave it out "
                "(mean), or train with it (points.mean)"
            )  # fmt: skip

    def has_seen(self, points: DataAtPoints, hidden: Array | None) -> bool:
        """Tell whether the training had these data, those that are hidden here included.

        Parameters
        ----------
        points : DataAtPoints
        hidden : (N,) of bool, optional
            What is hidden, if the file names it: a training that withheld the same has not seen it.
        """
        of_file, of_hidden = digests(points, self.variable, hidden).values()
        if self.trained.get("values_sha256") != of_file:
            return False
        return hidden is None or self.trained.get("withheld_values_sha256") != of_hidden


def digests(points: DataAtPoints, name: str, hidden: Array | None) -> dict[str, str | None]:
    """Return the SHA-256 of the values of a variable in any order, and of those that are hidden."""
    values = points.values[name].values

    def digest(of: Array) -> str:
        known = np.sort(np.asarray(of[np.isfinite(of)], np.float32))
        return hashlib.sha256(known.tobytes()).hexdigest()

    return {
        "values_sha256": digest(values),
        "withheld_values_sha256": None if hidden is None else digest(values[hidden]),
    }


def read_description(folder: str | Path) -> PointDescription:
    """Read the description of the network in a folder.

    Raises
    ------
    InputError
        It does not exist, is damaged, or has unknown keys.
    """
    found: PointDescription = read_schema(
        PointDescription,
        Path(folder) / POINTS_FILE,
        f"{folder} holds no network for data at points: it has no {POINTS_FILE}; give a folder "
        "made by `pyvda train` from a configuration with the section points",
    )
    return found


def is_of_points(folder: str | Path) -> bool:
    """Tell whether a folder holds a network for data at points."""
    return (Path(folder) / POINTS_FILE).is_file()
