"""Where points are: in kilometres in three dimensions, and on a map.

On the sphere distances are chords, through the Earth, of which every covariance function is
positive definite; an arc is 0.1 % longer at 1000 km. Map coordinates tell the
quadrants around a point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pyvda.engine.data import Array
from pyvda.errors import InputError
from pyvda.operators.sphere import EARTH_RADIUS, position


class Scale(NamedTuple):
    """Kilometres in a unit of each map coordinate, and the period of the first, 0 without.

    (x du)² + (y dv)² is at most the squared distance of two points of the map.
    """

    x: float
    y: float
    period: float


@dataclass(frozen=True)
class Places:
    """Points on the sphere or on a plane.

    Attributes
    ----------
    position : (P, 3)
        km.
    map : (P, 2)
        Degrees of longitude, without a jump, and latitude; or km.
    scale : Scale
    unit : str
        Of positions: "km", or "" where the coordinates have no unit.
    deviation : (P,), optional
        Standard deviation of a field around each over the usual one. None: it is the same
        everywhere.
    """

    position: Array
    map: Array
    scale: Scale
    unit: str = "km"
    deviation: Array | None = None

    def __len__(self) -> int:
        return len(self.position)

    def at(self, chosen: Array | slice) -> Places:
        """Return some of the points, by index or mask."""
        deviation = None if self.deviation is None else self.deviation[chosen]
        return Places(self.position[chosen], self.map[chosen], self.scale, self.unit, deviation)

    def deviations(self) -> Array:
        """Return the standard deviation of a field around each over the usual one, (P,)."""
        return np.ones(len(self)) if self.deviation is None else self.deviation

    @property
    def on_sphere(self) -> bool:
        """Whether the map coordinates are degrees, and not km."""
        return self.scale.x != 1.0

    def directions(self) -> tuple[Array, Array]:
        """Return the unit vectors to the east and to the north, or along x and y, (P, 3) each."""
        if not self.on_sphere:
            x, y = (np.zeros((len(self), 3)) for _ in range(2))
            x[:, 0], y[:, 1] = 1.0, 1.0
            return x, y
        lam, phi = np.radians(self.map).T
        east = np.stack([-np.sin(lam), np.cos(lam), np.zeros_like(lam)], axis=-1)
        north = np.stack(
            [-np.sin(phi) * np.cos(lam), -np.sin(phi) * np.sin(lam), np.cos(phi)], axis=-1
        )
        return east, north

    def extent(self) -> float:
        """Return the diagonal of the points' bounding box, km."""
        return float(np.linalg.norm(np.ptp(self.position, axis=0))) if len(self) else 0.0


def on_sphere(latitude: Array, longitude: Array) -> Places:
    """Return points on the sphere.

    Parameters
    ----------
    latitude, longitude : (P,)
        Degrees; longitudes of any turn, across the date line or Greenwich.

    Raises
    ------
    InputError
        A latitude beyond ±90, or a coordinate that is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> both = on_sphere(np.array([0.0, 0.0]), np.array([179.5, -179.5]))
    >>> float(np.diff(both.map[:, 0])[0])
    1.0
    """
    latitude, longitude = np.asarray(latitude, float), np.asarray(longitude, float)
    if not (np.isfinite(latitude).all() and np.isfinite(longitude).all()):
        raise InputError(
            "a coordinate of the grid is missing where there are values; give every point a "
            "latitude and a longitude"
        )
    if latitude.size and np.abs(latitude).max() > 90.001:
        raise InputError(
            f"a latitude is {latitude[np.abs(latitude).argmax()]:g}, expected -90 to 90 degrees; "
            "correct the coordinate"
        )
    unwrapped, span = _without_jump(longitude)
    degree = EARTH_RADIUS * np.pi / 180
    cosine, height = 1.0, 0.0
    if latitude.size:
        cosine = max(0.0, float(np.cos(np.radians(latitude)).min()))
        height = float(np.ptp(latitude))
    scale = Scale(
        degree * cosine * _least_chord(min(span, 180.0)), degree * _least_chord(height),
        360.0 if span > 180 else 0.0,
    )  # fmt: skip
    at = position(latitude, longitude)
    return Places(at, np.stack([unwrapped, latitude], axis=-1), scale)


def on_plane(y: Array, x: Array, unit: str = "km") -> Places:
    """Return points on a plane, (P,) each, in km or without a unit ("")."""
    at = np.stack([x, y, np.zeros_like(x)], axis=-1).astype(float)
    return Places(at, at[:, :2].copy(), Scale(1.0, 1.0, 0.0), unit)


def joined(first: Places, second: Places) -> Places:
    """Return the points of both, on one map.

    Raises
    ------
    InputError
        Some have latitude and longitude and others x and y, or only some have a unit.
    """
    if len(first) and len(second):
        systems = [
            "latitude and longitude" if one.on_sphere else f"x and y in {one.unit or 'no unit'}"
            for one in (first, second)
        ]
        if systems[0] != systems[1]:
            raise InputError(
                f"some places have {systems[0]} and others {systems[1]}, expected the same of all; "
                "convert the coordinates of one of the files"
            )
    deviation = None
    if first.deviation is not None or second.deviation is not None:
        deviation = np.concatenate([p.deviations() for p in (first, second)])
    if first.on_sphere:
        both = [np.concatenate([p.position for p in (first, second)])]
        latitude = np.concatenate([p.map[:, 1] for p in (first, second)])
        longitude = np.concatenate([p.map[:, 0] for p in (first, second)])
        whole = on_sphere(latitude, longitude)
        return Places(both[0], whole.map, whole.scale, deviation=deviation)
    position, on_map = (
        np.concatenate([getattr(places, name) for places in (first, second)])
        for name in ("position", "map")
    )
    return Places(position, on_map, first.scale, first.unit, deviation)


def arc(chord: Array) -> Array:
    """Return the length on the sphere of chords, km."""
    return 2 * EARTH_RADIUS * np.arcsin(np.minimum(1.0, chord / (2 * EARTH_RADIUS)))


def _least_chord(span: float) -> float:
    """Return the least ratio of a chord to its arc, of arcs up to `span` degrees."""
    return float(np.sinc(span / 360.0))


def _without_jump(longitude: Array) -> tuple[Array, float]:
    """Return longitudes that jump where no point is, and how many degrees they span."""
    if not longitude.size:
        return longitude, 0.0
    turned = np.mod(longitude, 360.0)
    known = np.unique(turned)
    gaps = np.diff(np.append(known, known[0] + 360.0))
    widest = int(gaps.argmax())
    first = known[(widest + 1) % len(known)]
    return first + np.mod(turned - first, 360.0), 360.0 - float(gaps[widest])
