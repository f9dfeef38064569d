"""A trained network for data at points as a method: optimal interpolation, corrected.

torch is imported only by `solve`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import field_validator

from pyvda.engine import Engine
from pyvda.engine.data import Array
from pyvda.errors import InputError
from pyvda.fields import point_estimate
from pyvda.fields.field import Field, Values
from pyvda.fields.interpolation_options import OptimalInterpolationOptions
from pyvda.fields.learned_points.description import PointDescription, read_description
from pyvda.fields.optimal_interpolation import constants_of
from pyvda.fields.options import Estimate, FieldOptions
from pyvda.fields.points import DataAtPoints
from pyvda.learned.device import usable_device
from pyvda.progress import ProgressReport, silent


class LearnedPointOptions(FieldOptions):
    """Options of a trained network for data at points.

    Attributes
    ----------
    checkpoint : path
        Folder made by `pyvda train`.
    grid, times, mean
        As the options of the method `oi`; a map of the mean is given if the training had one.
    device : str
        "auto" (CUDA if available), "cpu", "cuda", "cuda:1".
    """

    checkpoint: str
    grid: Any = None
    times: str | None = None
    mean: Any = None
    device: str = "auto"

    @field_validator("checkpoint", mode="before")
    @classmethod
    def _as_text(cls, given: Any) -> Any:
        return str(given) if isinstance(given, Path) else given

    def described(self) -> PointDescription:
        """Return what the network was trained for."""
        return read_description(self.checkpoint)


def solve(
    field: Field,
    read: dict[str, Values],
    options: LearnedPointOptions,
    engine: Engine,
    report: ProgressReport = silent,
    *,
    where: Array | None = None,
    points: DataAtPoints | None = None,
    at_points: Array | None = None,
) -> dict[str, Estimate]:
    """Correct an interpolation by a trained network.

    Parameters
    ----------
    field : Field
    read : dict of Values
        Values of each variable, NaN everywhere.
    options : LearnedPointOptions
    engine : Engine
    report : ProgressReport
    where : (T, P) of bool, optional
        Where to estimate. Default: everywhere.
    points : DataAtPoints, optional
        NaN also where data are withheld.
    at_points : (N,) of bool, optional
        At which of their places to estimate. Default: at all.

    Raises
    ------
    InputError
        The observations are a field; or the network was trained for another variable, other units,
        another transform or mean.
    """
    if points is None:
        raise InputError(
            f"the network {options.checkpoint} was trained on data at points, but the observations "
            "are a field on a grid; give data at points, or train on the field (section field)"
        )
    about = options.described()
    about.check(field, options.mean)
    correction: point_estimate.Correction | None = None
    if about.corrects:
        from pyvda.fields.learned_points.model import PointModel

        model = PointModel.load(options.checkpoint).to(usable_device(options.device))
        correction = model.corrected
    of_oi = OptimalInterpolationOptions(
        mean=options.mean, local_variance=about.local_variance, nearest=about.nearest,
        nearest_other=about.nearest_other, within_days=about.within_days,
        group_days=about.group_days,
    )  # fmt: skip
    name = about.variable
    constants = constants_of(field, name, points, of_oi, None)
    found = point_estimate.estimated(
        engine, field, name, read[name], points,
        constants._replace(
            covariance=about.covariance, combined=bool(about.combination),
            weights=about.combination,
        ), where=where, at_points=at_points, correction=correction, report=report,
    )  # fmt: skip
    found.configuration.update(checkpoint=about.sha256, corrects=about.corrects)
    return {name: found}
