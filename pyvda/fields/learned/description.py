"""The content of field.json: what a network was trained for, as validated plain data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field as Limits
from pydantic import PrivateAttr, model_validator
from safetensors import SafetensorError, safe_open

from pyvda.engine.data import Array, Selection
from pyvda.errors import InputError
from pyvda.fields.covariance import SpaceTimeCovariance
from pyvda.fields.field import Field
from pyvda.fields.learned.configuration import AnyNetwork
from pyvda.io.cf.units import same
from pyvda.learned.architecture import Section
from pyvda.learned.description import read_schema

FIELD_FILE = "field.json"
SEA = "sea"
POSITION = "position"
_TOLERATED = 0.1  # relative, of steps and distances between neighbours
_SAME_PLACE = 0.01  # of the distance of neighbours: single precision and packing leave less


class FieldVariable(Section):
    """A variable of the training.

    Attributes
    ----------
    units : str
    scale : float
        Standard deviation of its anomalies, of the logarithm if there is a transform.
    covariance : SpaceTimeCovariance
        Covariance of the anomalies, with the variance of a datum's error.
    season_variance : float
        Variance of the mean by pixel and season about that of each pixel.
    """

    units: str
    scale: float = Limits(gt=0, allow_inf_nan=False)
    covariance: SpaceTimeCovariance
    season_variance: float = Limits(default=0.0, ge=0, allow_inf_nan=False)


class Grid(Section):
    """The grid of the training.

    Attributes
    ----------
    shape : pair of int
        Points along the dimensions of space.
    digest : str, optional
        SHA-256 of the places of the sea, of weights of pyvda 0.2, which have no positions.
    spacing_km : float
        Median distance of neighbours along the second dimension.
    centre, extent : pair of float
        Centre and extent of the map coordinates, by which they are scaled.
    """

    shape: tuple[int, int]
    digest: str | None = None
    spacing_km: float
    centre: tuple[float, float]
    extent: tuple[float, float]

    @staticmethod
    def of(field: Field) -> Grid:
        """Return the description of a field's grid."""
        low, high = field.places.map.min(0), field.places.map.max(0)
        extent = np.maximum(high - low, 1e-9) / 2
        return Grid(
            shape=field.sea.shape, spacing_km=spacing(field),
            centre=tuple(((low + high) / 2).tolist()), extent=tuple(extent.tolist()),
        )  # fmt: skip


class FieldDescription(Section):
    """The field, grid and settings for which a network was trained.

    Attributes
    ----------
    format : int
        Version of this description: 1 of pyvda 0.2, 2 since grids are told by positions.
    network : section
        Its architecture.
    variables : dict of FieldVariable
        In the order of its channels.
    transform : str, optional
    first_guess : {"oi", "mean"}
    nearest, nearest_other : int
        Data that the first guess uses, in each quadrant: of its own time, and of each other one.
    within_days : float, optional
        How far away in time they are at most. None: ten steps, as in the first networks, whose
        descriptions have none of these three.
    step_days : float
        Between two times.
    season_days : float, optional
        Width in time of the mean; None for a constant mean.
    cover : float
        Mean share of the points that are observed at a time.
    grid : Grid
    variance_factor : float
        By which the error variances are multiplied: what made those of the values of validation as
        large as the squared errors, drawn to 1 where they are few; see `module.drawn_to_one`.
    trained : dict
        How it was made, for people, and digests of the data; see `has_seen`.
    weights, sha256 : str
        Name of the file with the weights, and the SHA-256 it must have.
    """

    format: Literal[1, 2]
    network: AnyNetwork
    variables: dict[str, FieldVariable] = Limits(min_length=1)
    transform: Literal["log10", "log"] | None
    first_guess: Literal["oi", "mean"]
    nearest: int = Limits(default=8, ge=1)
    nearest_other: int = Limits(default=1, ge=0)
    within_days: float | None = Limits(default=None, ge=0)
    step_days: float = Limits(gt=0)
    season_days: float | None
    cover: float
    grid: Grid
    variance_factor: float = Limits(default=1.0, gt=0, allow_inf_nan=False)
    trained: dict[str, Any]
    weights: str = Limits(pattern=r"^weights-[0-9a-f]{12}\.safetensors$")
    sha256: str = Limits(pattern=r"^[0-9a-f]{64}$")
    _folder: Path | None = PrivateAttr(None)

    @model_validator(mode="before")
    @classmethod
    def _of_version_0_2(cls, given: Any) -> Any:
        """Complete a description of the first networks, which saw no means."""
        network = given.get("network") if isinstance(given, dict) else None
        if isinstance(network, dict) and network.get("kind") == "unet":
            return given | {"network": {"means": False} | network}
        return given

    def text(self) -> str:
        """Return the file's text."""
        return json.dumps(self.model_dump(mode="json"), indent=2) + "\n"

    def selection(self) -> Selection:
        """Return which data the first guess uses."""
        within = 10 * self.step_days if self.within_days is None else self.within_days
        return Selection(self.nearest, self.nearest_other, within * (1 + 1e-9), np.inf)

    def times_away(self) -> int:
        """Return the largest distance, in steps, of the data that an estimate uses.

        The first time of a file is estimated by a window that starts with it; see `Frames.middles`.
        """
        return (2 if self.network.together else 1) * self.network.days

    def check(self, field: Field) -> None:
        """Raise InputError unless a field has the variables, units and transform of the training.

        Raises
        ------
        InputError
        """
        if field.transform.name != self.transform:
            raise InputError(
                f"the network was trained with transform {self.transform or 'none'}, but transform "
                f"is {field.transform.name or 'none'}; give the same"
            )
        if field.variables != tuple(self.variables):
            raise InputError(
                f"the network was trained for {', '.join(self.variables)}, but the variables are "
                f"{', '.join(field.variables)}; name the trained ones (variable), or rename them"
            )
        for name, trained in self.variables.items():
            units = str(field.ds[name].attrs.get("units", ""))
            if not same(units, trained.units):
                raise InputError(
                    f"the network was trained for {name} in {trained.units!r}, but {name} is in "
                    f"{units!r}; convert the field"
                )

    def same_grid(self, field: Field) -> bool:
        """Tell whether a field has the grid of the training, the land included.

        That is, each point within a hundredth of the distance of neighbours along the axis where
        that is smaller.

        Raises
        ------
        InputError
            The weights are missing or damaged.
        """
        if self.grid.shape != field.sea.shape:
            return False
        if self.grid.digest is not None:
            return self.grid.digest == _digest(field)
        if self._folder is None or not np.array_equal(read_sea(self._folder), field.sea):
            return False
        position = _tensor(self._folder, self.weights, POSITION, (int(field.sea.sum()), 3))
        apart = np.abs(position - field.places.position).max()
        return bool(apart <= _SAME_PLACE * min(_spacings(field), default=1.0))

    def has_seen(self, field: Field, values: Mapping[str, Array], withheld: Array | None) -> bool:
        """Tell whether the training had these data, those that are hidden here included.

        Parameters
        ----------
        field : Field
        values : dict of (T, P)
            Data of each variable, NaN without a datum.
        withheld : (T, P) of bool, optional
            What is hidden, if a file names it: a training that withheld the same has not seen it.
        """
        made = digests_of_0_2 if "data_sha256" in self.trained else digests
        (file, of_file), (hidden, of_hidden) = made(field, values, withheld).items()
        if self.trained.get(file) != of_file:
            return False
        return withheld is None or self.trained.get(hidden) != of_hidden

    def differences(self, field: Field, cover: float | None = None) -> list[str]:
        """Return how a field differs from that of the training, one phrase per difference.

        `cover` is the share of its points that are observed, where it is known.
        """
        found = []
        step = step_days(field)
        if len(field.days) > 1 and abs(step / self.step_days - 1) > _TOLERATED:
            found.append(f"a step of {step:.3g} days, trained on {self.step_days:.3g}")
        km = spacing(field)
        if abs(km / self.grid.spacing_km - 1) > _TOLERATED:
            found.append(f"points {km:.3g} km apart, trained on {self.grid.spacing_km:.3g} km")
        elif not self.same_grid(field):
            found.append("another grid or land mask than in the training")
        if cover is not None and not 0.4 < (cover + 0.01) / (self.cover + 0.01) < 2.5:
            found.append(f"{cover:.1%} of the points observed, trained on {self.cover:.1%}")
        return found


def read_description(folder: str | Path) -> FieldDescription:
    """Read the description of the network in a folder.

    Raises
    ------
    InputError
        It does not exist, is damaged, or has unknown keys.
    """
    found: FieldDescription = read_schema(
        FieldDescription,
        Path(folder) / FIELD_FILE,
        f"{folder} holds no network for fields: it has no {FIELD_FILE}; give a folder made by "
        "`pyvda train` from a configuration with the section field",
    )
    found._folder = Path(folder)
    return found


def read_sea(folder: str | Path) -> Array:
    """Return the points of the sea of the training, (Y, X) of bool.

    Raises
    ------
    InputError
        The weights are missing or damaged.
    """
    described = read_description(folder)
    return np.asarray(_tensor(Path(folder), described.weights, SEA, described.grid.shape), bool)


def _tensor(folder: Path, weights: str, name: str, shape: tuple[int, ...]) -> Array:
    """Return one tensor of a file of weights, which must have this shape."""
    path = folder / weights
    try:
        with safe_open(path, "numpy") as file:
            found = np.asarray(file.get_tensor(name))
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read ({error}); copy the whole folder") from error
    if found.shape != shape:
        raise InputError(
            f"{name} in {path} has shape {found.shape}, but {FIELD_FILE} beside it expects {shape};"
            " copy the whole folder"
        )
    return found


def is_of_fields(folder: str | Path) -> bool:
    """Tell whether a folder holds a network for fields."""
    return (Path(folder) / FIELD_FILE).is_file()


def _digest(field: Field) -> str:
    """Return the SHA-256 of the places of the sea, to a hundred metres, as pyvda 0.2 wrote it."""
    whole = hashlib.sha256(np.ascontiguousarray(field.sea).tobytes())
    whole.update(np.round(field.places.position * 10).astype(np.int64).tobytes())
    return whole.hexdigest()


def digest_of_values(days: Array, values: Mapping[str, Array]) -> str:
    """Return the SHA-256 of data, whatever their land, their coordinates and the order of points.

    Parameters
    ----------
    days : (T,)
    values : dict of (T, P)
        Values of each variable, NaN without a datum. They are taken in single precision, times to a
        second.
    """
    whole = hashlib.sha256(np.round(days * 86400).astype(np.int64).tobytes())
    for name, one in values.items():
        whole.update(name.encode())
        for row in np.asarray(one, np.float32):
            known = np.sort(row[np.isfinite(row)])
            whole.update(len(known).to_bytes(8, "little"))
            whole.update(known.tobytes())
    return whole.hexdigest()


def digests(
    field: Field, values: Mapping[str, Array], withheld: Array | None
) -> dict[str, str | None]:
    """Return the digests of a file's data and of those that are withheld, as trainings keep them.

    Parameters
    ----------
    field : Field
    values : dict of (T, P)
    withheld : (T, P) of bool, optional
    """
    hidden = None
    if withheld is not None:
        left = {name: np.where(withheld, one, np.nan) for name, one in values.items()}
        hidden = digest_of_values(field.days, left)
    file = digest_of_values(field.days, values)
    return {"values_sha256": file, "withheld_values_sha256": hidden}


def digests_of_0_2(
    field: Field, values: Mapping[str, Array], withheld: Array | None
) -> dict[str, str | None]:
    """Return the same as pyvda 0.2 made them, of values with their places."""
    hidden = None
    if withheld is not None:
        hidden = _digest_with_places(field, {"withheld": np.where(withheld, 1.0, np.nan)})
    return {"data_sha256": _digest_with_places(field, values), "withheld_sha256": hidden}


def _digest_with_places(field: Field, values: Mapping[str, Array]) -> str:
    """Return the SHA-256 of data with their times and places."""
    place = np.round(field.places.position * 10).astype(np.int64)
    order = np.lexsort(place.T)
    whole = hashlib.sha256()
    for name, one in values.items():
        t, p = np.nonzero(np.isfinite(one[:, order]))
        whole.update(name.encode())
        for part in (field.days[t], place[order][p], np.float32(one[:, order][t, p])):
            whole.update(np.ascontiguousarray(part).tobytes())
    return whole.hexdigest()


def spacing(field: Field) -> float:
    """Return the median distance of neighbours along the second dimension of space, km."""
    return next(iter(_spacings(field)), 1.0)


def _spacings(field: Field) -> list[float]:
    """Return the median distance of neighbours along x, then y, km; none where there are none."""
    position = field.on_grid(np.ascontiguousarray(field.places.position.T))
    steps = (np.linalg.norm(np.diff(position, axis=axis), axis=0) for axis in (2, 1))
    known = (one[np.isfinite(one)] for one in steps)
    return [float(np.median(one)) for one in known if one.size]


def step_days(field: Field) -> float:
    """Return the median step of time, days."""
    return float(np.median(np.diff(field.days))) if len(field.days) > 1 else 1.0
