"""Fit a covariance to samples: the main function of this folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

import pyvda
from pyvda import names
from pyvda.covariances.description import (
    BOUNDARIES,
    FORMS,
    STATIC,
    VERSION,
    VERSION_ATTRIBUTE,
)
from pyvda.covariances.diffusion_fit import STEPS, diffusion_fit
from pyvda.covariances.samples import StateSamples, samples_of
from pyvda.covariances.state_covariance import StateCovariance
from pyvda.errors import InputError
from pyvda.io.cf.spacing import SPACINGS
from pyvda.io.writing import model_attributes
from pyvda.io.writing.history import append_history
from pyvda.operators.covariance import Array
from pyvda.operators.fitted import spectral_fit
from pyvda.operators.localisation import is_wall, taper
from pyvda.operators.spectral import Boundary, wave_numbers
from pyvda.state.space import StateSpace, Variable

SPECTRA = ("binned", "power")
_SMOOTHING = 2
_WEIGHT = 0.5
_LARGEST_DENSE = 1000
_GRIDDED = ("spectral", "diffusion", "hybrid")
# The forms in which an option has an effect.
_EFFECT = {
    "boundary": ("spectral", "hybrid"),
    "spectrum": ("spectral", "hybrid"),
    "smoothing": _GRIDDED,
    "floor": _GRIDDED,
    "varying_length": ("diffusion", "hybrid"),
    "localisation": ("ensemble", "hybrid"),
    "weight": ("hybrid",),
}


def fit_covariance(
    samples: Any,
    *,
    form: str | None = None,
    variables: Sequence[str] | None = None,
    differences: int | None = None,
    truth: Any = None,
    boundary: str | None = None,
    spectrum: str | None = None,
    smoothing: int | None = None,
    floor: float | None = None,
    varying_length: bool | None = None,
    stdev: float | None = None,
    localisation: float | None = None,
    weight: float | None = None,
) -> StateCovariance:
    r"""Fit a covariance operator to the states of a file, their differences or their errors.

    With the samples' anomalies a, the standard deviations Σ, a transform F with the spectrum c,
    diffusion L normalised by Γ, and a localisation ρ, the forms are

    .. math::

       \begin{aligned}
       \text{dense: } & B = \frac{1}{N-1} \sum_n a_n a_n^T, &
       \text{ensemble: } & B = ρ ∘ \frac{1}{N-1} \sum_n a_n a_n^T, \\
       \text{spectral: } & B = Σ F \, \mathrm{diag}(c) F^T Σ, &
       \text{diffusion: } & B = Σ Γ L L^T Γ Σ,
       \end{aligned}

    and a hybrid is (1 - w) of one of the second row and w of an ensemble.

    Parameters
    ----------
    samples : Dataset or path
        Variables over windows, times or members and a grid, such as a simulation or an analysis.
        Points that are NaN in all samples are land.
    form : {"spectral", "diffusion", "ensemble", "hybrid", "dense"}, optional
        Default: spectral on rectangles, diffusion where there is land, dense for a state without a
        grid. An ensemble is the samples' own covariance, localised by `localisation`; a hybrid adds
        one to a spectral or diffusion covariance.
    variables : sequence of str, optional
        Default: those of the model that made the file, else all fields with samples.
    differences : int, optional
        Take the differences x(t + n) − x(t) over n steps in place of the states, divided by √2.
    truth : Dataset or path, optional
        Take the errors, samples minus truth.
    boundary : {"wall", "open", "periodic"}, optional
        For the form spectral, see `pyvda.operators.Spectral`. Default: wall where the edge of the
        grid is land or constant, else open.
    spectrum : {"binned", "power"}, optional
        For the form spectral, see `pyvda.operators.fitted_spectral`. Default: binned.
    smoothing : int, optional
        Points over which variances are averaged in each direction. Default: 2.
    floor : float, optional
        Added to the variance, as a fraction of its mean. Default: 0.
    varying_length : bool, optional
        For the form diffusion: whether the correlation length varies in space. Default: no.
    stdev : float, optional
        Scale the covariance to this root mean square standard deviation, for samples that are
        right in shape but not in size.
    localisation : float, optional
        Distance in grid spacings from which an ensemble's correlations are 0 (Gaspari and Cohn).
        Default: none.
    weight : float, optional
        Weight of the ensemble in a hybrid; the static part has the rest. Default: 0.5.

    Returns
    -------
    StateCovariance
        An operator for options such as `covariance`; `save(path)` writes it.

    Raises
    ------
    InputError
        The samples cannot be used, or an option is out of range or has no effect with the form.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> states = np.random.default_rng(0).normal(size=(50, 8, 9))
    >>> B = fit_covariance(xr.Dataset({"sst": (("time", "y", "x"), states)}))
    >>> B.dataset.attrs["form"], B.size
    ('spectral', 72)
    """
    ds = _dataset(samples)
    found = samples_of(
        ds, variables, differences=differences, truth=None if truth is None else _dataset(truth)
    )
    form = _form(found) if form is None else form
    given = {
        "boundary": boundary, "spectrum": spectrum, "smoothing": smoothing, "floor": floor,
        "varying_length": varying_length, "localisation": localisation, "weight": weight,
    }  # fmt: skip
    _check(form, given, stdev)
    options = {name: value for name, value in given.items() if value is not None}
    values = found.values - found.values.mean(0)
    fitted = StateSamples(found.space, values, found.spacing, found.what)
    described = _described(ds, fitted, form, options)
    return StateCovariance(described if stdev is None else _scaled(described, found.space, stdev))


def _scaled(described: xr.Dataset, space: StateSpace, stdev: float) -> xr.Dataset:
    """Return the description with another root mean square standard deviation."""
    if len(space.variables) > 1:
        raise InputError(
            f"stdev is one number for {len(space.variables)} variables; choose one variable"
        )
    own = described[f"{space.names[0]}_stdev"]
    mean_square = float((own.where(own > 0) ** 2).mean())
    if not mean_square > 0:
        raise InputError("the samples do not vary, so that they cannot be scaled to stdev")
    factor = stdev / np.sqrt(mean_square)
    for name, power in ((own.name, 1), (f"{space.names[0]}_member", 1), ("covariance", 2)):
        if name in described:
            kept = described[name].attrs
            described[name] = (described[name] * factor**power).assign_attrs(kept)
    return described


def _described(
    ds: xr.Dataset, found: StateSamples, form: str, options: dict[str, Any]
) -> xr.Dataset:
    """Return the description of the covariance."""
    static = form
    attrs: dict[str, Any] = {
        "Conventions": "CF-1.11",
        "title": "error covariance",
        VERSION_ATTRIBUTE: VERSION,
        "form": form,
        "variables": " ".join(found.space.names),
        "samples": found.what,
    }
    data: dict[str, Any] = {}
    if form == "hybrid":
        static = "diffusion" if _form(found) == "diffusion" else "spectral"
        weight = float(options.get("weight", _WEIGHT))
        attrs |= {"static_form": static, "static_weight": 1 - weight, "ensemble_weight": weight}
    for variable, place in zip(found.space.variables, found.space.slices().values(), strict=True):
        part = found.values[:, place].reshape(-1, *variable.shape)
        land = ~found.space.sea[place].reshape(variable.shape)
        if static == "spectral":
            data |= _spectral(variable, part, land, options)
        elif static == "diffusion":
            data |= _diffusion(variable, part, land, found, options)
        else:
            deviation = np.sqrt((part**2).sum(0) / (len(part) - 1))
            data |= _deviation(variable, deviation, land)
        if form in ("ensemble", "hybrid"):
            members = np.where(land, np.nan, part)
            attributes = {"long_name": f"{variable.name} of members less their mean"}
            data[f"{variable.name}_member"] = ((names.MEMBER, *variable.dims), members, attributes)
    if form in ("ensemble", "hybrid"):
        radius = float(options.get("localisation", 0.0))
        attrs["localisation_radius"] = radius
        if radius:
            taper(found.space, radius)  # refuses variables that have no common grid
    if form == "dense":
        if found.space.size > _LARGEST_DENSE:
            raise InputError(
                f"the samples have {found.space.size} components, and the form dense is for up to "
                f"{_LARGEST_DENSE}; choose another form"
            )
        matrix = found.values.T @ found.values / (len(found.values) - 1)
        data["covariance"] = ((names.STATE_ROW, names.STATE_COLUMN), matrix, {})
    coords = {
        name: array for name, array in ds.coords.items()
        if array.ndim == 1 and array.dims == (name,) and name in found.space.sizes
    }  # fmt: skip
    described = xr.Dataset(data, coords, attrs)
    model = model_attributes.find(ds)
    if model is not None:
        described = described.assign_attrs(model_attributes.attributes(model))
    line = f"pyvda {pyvda.__version__} covariance, {form}, from {found.what}"
    return append_history(described, line)


def _spectral(
    variable: Variable, part: Array, land: Array, options: dict[str, Any]
) -> dict[str, Any]:
    name = variable.name
    if not variable.shape:
        raise InputError(
            f"the variable {name} has no grid, which the form spectral needs; choose dense"
        )
    edge = land if land.any() else part.std(0) == 0
    boundary: Boundary = options.get("boundary") or ("wall" if is_wall(edge) else "open")
    inside = land[(slice(1, -1),) * land.ndim] if boundary == "wall" else land
    if inside.any():
        raise InputError(
            f"{name} is missing at {int(inside.sum())} points, which the form spectral cannot "
            "leave out; choose the form diffusion"
        )
    fit = spectral_fit(
        part.reshape(len(part), -1), variable.shape, boundary,
        smoothing=options.get("smoothing", _SMOOTHING), floor=options.get("floor", 0.0),
        spectrum=options.get("spectrum", SPECTRA[0]),
    )  # fmt: skip
    inner = tuple(n - 2 for n in variable.shape) if boundary == "wall" else variable.shape
    k = wave_numbers(inner, boundary)
    c = np.exp(np.interp(k, fit.wave_number, np.log(fit.spectrum)))
    # Of Daley: √(−d / ∇²c(0)) in d dimensions.
    length = np.sqrt(k.ndim * c.sum() / (k**2 * c).sum())
    attrs: dict[str, Any] = {
        "long_name": f"variance of the modes of {name}, up to a factor",
        "boundary": boundary,
        "length_scale": float(length),
    }
    if np.isfinite(fit.exponent):
        attrs |= {"power_law_length": fit.length, "power_law_exponent": fit.exponent}
    along = f"{name}_wave_number"
    units = {"long_name": "wave number", "units": "radian", "comment": "per grid spacing"}
    return _deviation(variable, fit.stdev, land) | {
        f"{name}_spectrum": (along, fit.spectrum, attrs),
        along: (along, fit.wave_number, units),
    }


def _diffusion(
    variable: Variable, part: Array, land: Array, found: StateSamples, options: dict[str, Any]
) -> dict[str, Any]:
    name, dims = variable.name, variable.dims
    if len(dims) != 2:
        raise InputError(
            f"the variable {name} has {len(dims)} dimensions, expected two for the form diffusion; "
            "choose another form"
        )
    spacing = found.spacing[name]
    fit = diffusion_fit(
        part, land, spacing, smoothing=options.get("smoothing", _SMOOTHING),
        floor=options.get("floor", 0.0), varying=options.get("varying_length", False),
    )  # fmt: skip
    unit = {} if spacing.unit == SPACINGS else {"units": spacing.unit}
    about = {"long_name": f"correlation length of {name}", "steps": STEPS, **unit}
    return _deviation(variable, fit.stdev, land) | {
        f"{name}_length": (dims, fit.length, about),
        f"{name}_spacing_y": (dims, spacing.along_y, {"long_name": "distance along y", **unit}),
        f"{name}_spacing_x": (dims, spacing.along_x, {"long_name": "distance along x", **unit}),
    }


def _deviation(variable: Variable, deviation: Array, land: Array) -> dict[str, Any]:
    attrs = {"long_name": f"standard deviation of {variable.name}"}
    if variable.units:
        attrs["units"] = variable.units
    return {f"{variable.name}_stdev": (variable.dims, np.where(land, np.nan, deviation), attrs)}


def _form(found: StateSamples) -> str:
    """Return the form that suits the grid."""
    for variable, place in zip(found.space.variables, found.space.slices().values(), strict=True):
        land = ~found.space.sea[place].reshape(variable.shape)
        if not variable.shape or min(variable.shape) < 3:
            return "dense"
        if land.any() and not is_wall(land):
            return "diffusion"
    return STATIC[0]


def _check(form: str, given: dict[str, Any], stdev: float | None) -> None:
    """Refuse values out of range, and options without effect."""
    for name, value, allowed in (
        ("form", form, FORMS),
        ("boundary", given["boundary"], BOUNDARIES),
        ("spectrum", given["spectrum"], SPECTRA),
    ):
        if value is not None and value not in allowed:
            raise InputError(f"{name} is {value!r}, expected one of {', '.join(allowed)}")
    for name, forms in _EFFECT.items():
        if given[name] is not None and form not in forms:
            raise InputError(
                f"{name} is {given[name]}, but has no effect in the form {form}; leave it out, or "
                f"choose {' or '.join(forms)}"
            )
    limits = (
        ("smoothing", given["smoothing"], 0, 10**6),
        ("floor", given["floor"], 0, 1e6),
        ("stdev", stdev, 1e-30, 1e30),
        ("localisation", given["localisation"], 1e-3, 1e6),
        ("weight", given["weight"], 1e-6, 1 - 1e-6),
    )
    for name, value, low, high in limits:
        if value is not None and not low <= value <= high:
            raise InputError(f"{name} is {value}, expected a number from {low} to {high}")


def _dataset(given: Any) -> xr.Dataset:
    if isinstance(given, xr.Dataset):
        return given
    from pyvda.io.sources.open import open_dataset

    return open_dataset(given)
