"""Spectra of analysis, truth and error, and the wavelength from which the truth is resolved.

The spectrum of a field on a rectangle is that of its cosine transform, which needs no periodicity
(Denis, Côté and Laprise 2002), averaged over modes of about the same wave number.

References
----------
B. Denis, J. Côté and R. Laprise, Mon. Wea. Rev. 130 (2002), 1812-1829.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import scipy.fft
import xarray as xr

from pyvda.errors import InputError
from pyvda.plotting.fields import Array, PlottedField, fields_of
from pyvda.plotting.style import BLACK, BLUE, VERMILION, axes_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROUNDING = 1e-20  # of the largest power
RESOLVED = 0.5  # of the truth's power: where the error has less, the scale is resolved


def plot_spectra(
    analysis: xr.Dataset,
    truth: xr.Dataset | None = None,
    *,
    variables: Sequence[str] | None = None,
    window: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draw the spectra of truth, analysis and error, and mark the effective resolution.

    Without a truth, the spectrum of the analysis is drawn.

    Parameters
    ----------
    analysis, truth, variables, window
        As for `plot_maps`; one variable without land but for the edge. The mean over all times is
        drawn.
    ax : Axes, optional
        Default: those of a new figure, the attribute `figure` of the result.

    Raises
    ------
    InputError
        As for `plot_maps`; or there is land, or no power but in the mean of each field.
    """
    field = fields_of(analysis, truth, variables=variables, window=window)[0]
    curves = [
        (name, values, colour)
        for name, values, colour in (
            ("truth", field.truth, BLACK),
            ("analysis", field.analysis, BLUE),
            ("error", field.error, VERMILION),
        )
        if values is not None
    ]
    found = {name: spectrum(field, values) for name, values, _ in curves}
    wavelength, _ = found["analysis"]
    power = np.concatenate([found[name][1] for name in found])
    if not (power > 0).any():
        raise InputError(
            f"{field.called} has no spectrum: it is constant, or has one point inside its edge; "
            "give fields that vary"
        )
    with axes_of(ax, (3.6, 2.9)) as axis:
        for name, _, colour in curves:
            label = field.called if name == "analysis" else name
            axis.loglog(wavelength, found[name][1], color=colour, label=label)
        # Of a model that damps its short waves to nothing: decades of rounding.
        axis.set_ylim(bottom=max(power[power > 0].min(), 1e-9 * power.max()) / 2)
        axis.set_xlim(wavelength.max() * 1.05, wavelength.min() / 1.05)
        if "error" in found:
            resolution = effective_resolution(wavelength, found["error"][1], found["truth"][1])
            _mark(axis, resolution)
            axis.set_title(_said(resolution, wavelength, field.spacing_unit))
        _plain_wavelengths(axis, wavelength)
        axis.set_xlabel(f"wavelength ({field.spacing_unit})")
        power_unit = f"({field.units})² " if field.units else ""
        axis.set_ylabel(f"variance of a mode of {field.name} {power_unit}".rstrip())
        axis.grid(which="major", color="0.9", linewidth=0.6)
        axis.legend(loc="best")
    return axis


def _mark(axis: Axes, resolution: float) -> None:
    if 0 < resolution < np.inf:
        axis.axvline(resolution, color="0.5", linestyle=":", linewidth=0.9)
        axis.annotate(
            f"{resolution:.3g}", (resolution, 0.02), xycoords=("data", "axes fraction"),
            xytext=(3, 0), textcoords="offset points", color="0.35",
        )  # fmt: skip


def spectrum(field: PlottedField, values: Array) -> tuple[Array, Array]:
    """Return wavelengths, decreasing, and the mean variance of the modes there over all times.

    Parameters
    ----------
    field : PlottedField
    values : (T, *grid)
        Times with gaps are left out.

    Raises
    ------
    InputError
        There is land that is not the edge, or no time is complete.
    """
    inside = _without_edge(field)
    parts = values[(slice(None), *inside)]
    complete = np.isfinite(parts).all(tuple(range(1, parts.ndim)))
    if field.land[inside].any() or not complete.any():
        raise InputError(
            f"{field.name} has land or gaps, and a spectrum needs a complete rectangle; select one "
            "with Dataset.isel"
        )
    parts = parts[complete]
    axes = tuple(range(1, parts.ndim))
    power = (scipy.fft.dctn(parts, 2, axes=axes, norm="ortho") ** 2).mean(0)
    # In cycles per unit of distance: mode k of n points has k / 2 cycles.
    numbers = [
        np.arange(n) / (2 * n * d) for n, d in zip(parts.shape[1:], field.spacing, strict=True)
    ]
    wave_number = np.sqrt(sum(k**2 for k in np.ix_(*numbers)))
    width = max(1 / (2 * n * d) for n, d in zip(parts.shape[1:], field.spacing, strict=True))
    largest = min(1 / (2 * d) for d in field.spacing)  # beyond it only the corners have modes
    number = np.rint(wave_number / width).astype(int).ravel()
    number[wave_number.ravel() > largest] = 0
    count = np.bincount(number)
    used = np.flatnonzero(count)[1:]  # without the mean
    at = np.bincount(number, wave_number.ravel())[used] / count[used]
    return 1 / at, np.bincount(number, power.ravel())[used] / count[used]


def effective_resolution(wavelength: Array, error: Array, truth: Array) -> float:
    """Return the wavelength at which the error has half the truth's power.

    It is the first crossing from long waves to short ones, interpolated in logarithms: inf where
    even the longest waves are not resolved, 0 where all are.

    Parameters
    ----------
    wavelength : (K,)
        Decreasing.
    error, truth : (K,)
        Spectra.

    Examples
    --------
    >>> found = effective_resolution(np.array([8., 4., 2.]), np.ones(3), np.array([8., 4., 1.]))
    >>> round(found, 12) == round(8**0.5, 12)
    True
    """
    real = truth > _ROUNDING * truth.max()  # else the truth has nothing to resolve
    wavelength, error, truth = wavelength[real], error[real], truth[real]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(error / truth / RESOLVED)
    above = np.flatnonzero(~(ratio < 0))
    if not len(above):
        return 0.0
    first = int(above[0])
    if first == 0:
        return float("inf")
    low, high = ratio[first - 1], ratio[first]
    part = -low / (high - low) if np.isfinite(low) and np.isfinite(high) else 1.0
    a, b = np.log(wavelength[first - 1]), np.log(wavelength[first])
    return float(np.exp(a + part * (b - a)))


def _without_edge(field: PlottedField) -> tuple[slice, ...]:
    """Return the grid without an edge that is land."""
    ring = np.ones_like(field.land)
    ring[(slice(1, -1),) * field.land.ndim] = False
    inner = slice(1, -1) if (field.land & ring).sum() == ring.sum() else slice(None)
    return (inner,) * field.land.ndim


def _plain_wavelengths(axis: Axes, wavelength: Array) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    few = wavelength.max() < 100 * wavelength.min()
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())


def _said(resolution: float, wavelength: Array, unit: str) -> str:
    if np.isinf(resolution):
        return f"no scale up to {wavelength.max():.3g} {unit} is resolved"
    if resolution == 0:
        return f"all scales from {wavelength.min():.3g} {unit} are resolved"
    return f"effective resolution {resolution:.3g} {unit}"
