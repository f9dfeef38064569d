"""The background: the prior of the first state of a window.

Its term in the cost is half the squared Mahalanobis distance (x - b)ᵀ B⁻¹ (x - b). By name it is
the model's climatology or nothing; from a file it is a mean b and a covariance B, in full, by its
diagonal, or by a factor; or it is the end of an earlier analysis (`pyvda.cycling`).
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BeforeValidator, PlainSerializer

from pyvda import names
from pyvda.climate.climatology import climatology
from pyvda.climate.ensemble import Ensemble, ensembles_in
from pyvda.engine import Engine
from pyvda.engine.interface import Array
from pyvda.errors import InputError
from pyvda.models.model import Model
from pyvda.notices import notice
from pyvda.operators.covariance_input import as_covariance
from pyvda.validation_errors import array_of, brief

if TYPE_CHECKING:
    import xarray as xr

CLIMATOLOGY, NONE, FLAT = "climatology", "none", "flat"
_ANALYSIS_FILES = (".nc", ".nc4", ".cdf", ".zarr")
_FORMS = ("covariance", "variance", "factor")
# A covariance whose correlation matrix is worse conditioned than this states that some combination
# of components is known exactly.
_WORST_CONDITION = 1e13
_LEAST_VARIANCE = 1e-12


@dataclass(frozen=True)
class Background:
    """A Gaussian, by its mean and the inverse of its covariance.

    Attributes
    ----------
    mean : (D,)
        b, in the state's units.
    precision : (D, D)
        B⁻¹, in their inverse square; zeros: nothing is known.
    """

    mean: Array
    precision: Array

    @classmethod
    def full(cls, mean: Array, covariance: Array) -> Background:
        """Take the covariance B, (D, D), symmetric and positive definite.

        Raises
        ------
        InputError
            Shapes do not match, or B is singular or not symmetric.

        Examples
        --------
        >>> float(Background.full([0.0, 1.0], [[1.0, 0.0], [0.0, 4.0]]).precision[1, 1])
        0.25
        """
        mean, B = _checked(mean, covariance, "covariance", 2)
        if not np.allclose(B, B.T, rtol=1e-8, atol=1e-12 * np.abs(B).max(initial=0.0)):
            raise InputError(
                "the background's covariance is not symmetric; give a symmetric matrix"
            )
        B = (B + B.T) / 2
        deviation = np.sqrt(np.maximum(np.diag(B), 0.0))
        without = int((np.diag(B) == 0).sum())
        if 0 < without < len(mean):
            raise InputError(
                f"the background's covariance is singular: it has no variance at {without} of "
                f"{len(mean)} components, such as those of walls or land; choose the method "
                "incremental (--method incremental), which needs no inverse, or give each "
                "component a variance"
            )
        if (deviation > 0).all():
            correlation = B / np.outer(deviation, deviation)
            values = np.linalg.eigvalsh(correlation)
            if values[0] * _WORST_CONDITION > values[-1]:
                return cls(mean, np.linalg.inv(correlation) / np.outer(deviation, deviation))
        raise InputError(
            "the background's covariance is singular or not positive; give one whose eigenvalues "
            "are all positive, for example with a small number added to its diagonal"
        )

    @classmethod
    def diagonal(cls, mean: Array, variance: Array) -> Background:
        """Take the diagonal of B, (D,), all positive."""
        mean, variance = _checked(mean, variance, "variance", 1)
        if not (variance > 0).all():
            raise InputError(
                f"the background's smallest variance is {variance.min()}, expected positive numbers"
            )
        return cls(mean, np.diag(1 / variance))

    @classmethod
    def factor(cls, mean: Array, factor: Array) -> Background:
        """Take a square factor L of B = L Lᵀ, (D, D), such as a Cholesky factor."""
        mean, L = _checked(mean, factor, "factor", 2)
        return cls.full(mean, L @ L.T)

    @classmethod
    def none(cls, size: int) -> Background:
        """Know nothing: the term is zero."""
        return cls(np.zeros(size), np.zeros((size, size)))

    def likely_states(self) -> Array:
        """Return three states (3, D) about one standard deviation from the mean.

        Where nothing is known of a component, its standard deviation counts as 1.
        """
        if not self.precision.any():
            deviation = np.ones(len(self.mean))
        else:
            deviation = np.sqrt(np.diag(np.linalg.inv(self.precision)))
        random = np.random.default_rng(0).standard_normal((3, len(self.mean)))
        return np.asarray(self.mean + deviation * random)

    def cost(self, x: Array) -> Array:
        """Return half the squared Mahalanobis distance of states (..., D).

        >>> float(Background.diagonal([0.0], [4.0]).cost(np.array([2.0])))
        0.5
        """
        d = np.asarray(x, float) - self.mean
        return np.asarray(0.5 * np.einsum("...i,ij,...j->...", d, self.precision, d))

    def gradient(self, x: Array) -> Array:
        """Return B⁻¹ (x - b), (..., D)."""
        return np.asarray((np.asarray(x, float) - self.mean) @ self.precision)


@dataclass(frozen=True)
class ExpectedState:
    """A state alone, for methods that have the covariance of its error as an option.

    Attributes
    ----------
    mean : (D,)
        In the state's units.
    """

    mean: Array


def get_background(
    given: str | Background | xr.Dataset, model: Model, engine: Engine | None = None
) -> Background:
    """Return the background that an option means.

    Parameters
    ----------
    given : str, Background or Dataset
        "climatology": mean and covariance of the model's attractor; "none"; a NumPy file (.npz)
        with `mean` (D,) and one of `covariance` (D, D), `variance` (D,), `factor` (D, D); an
        analysis of one window with its `final_covariance` or `final_ensemble`, as a Dataset or its
        file; or a background itself.
    model : Model
    engine : Engine, optional
        To make the climatology with.

    Raises
    ------
    InputError
        The name is neither, the file cannot be read, or its content is not a background.
    """
    if isinstance(given, Background):
        return _checked_size(given, model, "given")
    if not isinstance(given, str):
        return _checked_size(of_analysis(given)[0], model, "given")
    if given in (NONE, FLAT):
        return Background.none(model.state_size)
    if given == CLIMATOLOGY:
        return of_climatology(model, engine)
    path = Path(given)
    found = of_analysis(_opened(given))[0] if is_analysis(given) else _read(path)
    return _checked_size(found, model, given)


def of_climatology(model: Model, engine: Engine | None = None) -> Background:
    """Return mean and covariance of the model's attractor.

    A covariance that is singular to rounding, as that of an equation that damps its short waves to
    nothing, is made regular: see `_regular`. What varies by less than a millionth of a standard
    deviation is below the tolerance of the simulation that the covariance was made from.
    """
    known = climatology(model, engine)
    covariance = known.matrix()
    regular = _regular(covariance)
    if regular is not covariance:
        notice(
            f"the climatological covariance of {model.name} is singular to rounding; directions "
            "that hardly vary count with a trillionth of the largest variance"
        )
    return Background.full(known.mean, regular)


def is_name(given: Any) -> bool:
    """Tell whether a background is one of those that have a name: it is not given by the user."""
    return isinstance(given, str) and given in (CLIMATOLOGY, NONE, FLAT)


def is_analysis(given: Any) -> bool:
    """Tell whether a background is an analysis, as a Dataset or in a file."""
    if isinstance(given, str):
        return Path(given).suffix in _ANALYSIS_FILES
    return hasattr(given, "data_vars")


def ensemble_in(given: Any) -> Ensemble | None:
    """Return the first ensemble of a background that is an analysis with members, else None."""
    found = ensembles_in(given) if is_analysis(given) else None
    return found[0] if found else None


def member_count(given: Any, members: int, *, chosen: bool) -> int:
    """Return the members that a method starts from: those of its background, else `members`.

    Raises
    ------
    InputError
        The user has chosen another number than the background has.
    """
    ensemble = ensemble_in(given)
    if ensemble is None or len(ensemble.members) == members:
        return members
    count = len(ensemble.members)
    if chosen:
        raise InputError(
            f"members is {members}, but the background is an ensemble of {count}; leave members out"
        )
    return count


def of_analysis(analysis: xr.Dataset) -> list[Background]:
    """Return the state of each window at its last step and its covariance.

    An ensemble gives its mean and its sample covariance.

    Raises
    ------
    InputError
        The Dataset is not an analysis with `final_covariance` or `final_ensemble`, a window has no
        finite one, or the members are too few for a covariance.
    """
    from pyvda.io.cf.layout import restacked, sea

    if names.FORECAST in analysis and names.ANALYSIS not in analysis:
        analysis = analysis.rename({names.FORECAST: names.ANALYSIS})
    ds = restacked(analysis)
    ensembles = None if names.FINAL_COVARIANCE in ds else ensembles_in(analysis)
    if ensembles:
        mean = np.stack([one.mean for one in ensembles])
        B = np.stack([one.covariance() for one in ensembles])
    else:
        mean, B = _stated(ds)
    land = ~sea(analysis, mean.shape[-1])
    if land.any():
        mean, B = np.where(land, 0.0, mean), B.copy()
        B[:, land] = B[:, :, land] = 0.0
        B[:, land, land] = 1.0
    bad = ~(np.isfinite(B).all((1, 2)) & np.isfinite(mean).all(1))
    if bad.any():
        raise InputError(
            f"window {int(bad.argmax())} of the analysis has no finite state and covariance at its "
            "end, so that it cannot be a background; leave the window out"
        )
    return [Background.full(m, _regular(C)) for m, C in zip(mean, B, strict=True)]


def states_of(analysis: xr.Dataset) -> list[ExpectedState]:
    """Return the state of each window at its last step, 0 on land, without its covariance.

    Raises
    ------
    InputError
        The Dataset is no analysis or forecast, or a window ends with a state that is not finite.
    """
    from pyvda.io.cf.layout import restacked, sea

    ds = restacked(analysis)
    name = names.ANALYSIS if names.ANALYSIS in ds else names.FORECAST
    if name not in ds:
        raise InputError(
            "the background has no analysis; give one as `pyvda assimilate` or `pyvda forecast` "
            "made it, or a state"
        )
    last = ds[name].isel({names.TIME: -1}).transpose(..., names.STATE)
    mean = np.asarray(last.values, float).reshape(-1, last.sizes[names.STATE])
    mean = np.where(sea(analysis, mean.shape[1]), mean, 0.0)
    bad = ~np.isfinite(mean).all(1)
    if bad.any():
        raise InputError(
            f"window {int(bad.argmax())} of the analysis has no finite state at its end, so that "
            "it cannot be a background; leave the window out"
        )
    return [ExpectedState(state) for state in mean]


def _stated(ds: xr.Dataset) -> tuple[Array, Array]:
    """Return the state of each window at its last step, (W, D), and its `final_covariance`."""
    if names.ANALYSIS not in ds or names.FINAL_COVARIANCE not in ds:
        missing = names.ANALYSIS if names.ANALYSIS not in ds else names.FINAL_COVARIANCE
        raise InputError(
            f"the background has no variable {missing}; give an analysis of gauss-newton (form "
            "statistical) or strong-constraint with final_covariance (--set final_covariance=true),"
            " or of ensemble-smoother or posterior-mean with final_ensemble (--set "
            "final_ensemble=true)"
        )
    last = ds[names.ANALYSIS].isel({names.TIME: -1})
    covariance = ds[names.FINAL_COVARIANCE].transpose(..., names.STATE_ROW, names.STATE_COLUMN)
    B = covariance.values.reshape(-1, *covariance.shape[-2:])
    if names.WINDOW not in last.dims:  # windows of a series, merged: its end is that of the last
        B = B[-1:]
    mean = last.transpose(..., names.STATE).values.reshape(-1, last.sizes[names.STATE])
    return mean, B


def _regular(covariance: Array) -> Array:
    """Return a covariance that can be inverted, close to one that is singular to rounding.

    A strongly contracting model leaves hardly any variance in some directions: at least a
    trillionth of the largest, in units of the standard deviations, is then taken.
    """
    deviation = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    if not (deviation > 0).all():
        return covariance
    scale = np.outer(deviation, deviation)
    values, vectors = np.linalg.eigh(covariance / scale)
    least = _LEAST_VARIANCE * values[-1]
    if values[0] >= least:
        return covariance
    return np.asarray((vectors * np.maximum(values, least)) @ vectors.T * scale)


def _opened(path: str | Path) -> xr.Dataset:
    from pyvda.io.netcdf import open_dataset

    return open_dataset(path)


def _option(given: Any) -> Any:
    """Check an option's value when options are made; files are read later, by the method."""
    if isinstance(given, str | Path):
        return str(given)
    if isinstance(given, Background) or hasattr(given, "data_vars"):
        return given
    if isinstance(given, tuple | list) and len(given) == 2:
        mean = array_of(given[0])
        return Background.full(mean, as_covariance(given[1], mean.size, "background").dense())
    raise ValueError(
        f"found {brief(given)}, expected {CLIMATOLOGY}, {NONE}, a file, an analysis, a Background, "
        "or a pair of mean and covariance"
    )


def _plain(given: Any) -> Any:
    """Return the value as it is written into an analysis file."""
    if isinstance(given, Background):
        return f"a background of {len(given.mean)} components"
    return given if isinstance(given, str) else "an analysis"


BackgroundOption = Annotated[Any, BeforeValidator(_option), PlainSerializer(_plain)]
"""An option of a method that `get_background` understands."""


def _state_option(given: Any) -> Any:
    """Check the background of a method for large states, which makes no matrix of it."""
    if isinstance(given, str | Path):
        return str(given)
    if isinstance(given, Background | Ensemble | ExpectedState) or hasattr(given, "data_vars"):
        return given
    if isinstance(given, tuple) and len(given) == 2:
        array = array_of(given[0])
        if array.dtype.kind in "fiu":
            return array.astype(float).ravel(), given[1]
    array = array_of(given)
    if array.dtype.kind in "fiu" and array.ndim and np.isfinite(array).all():
        return array.astype(float).ravel()
    raise ValueError(
        f"found {brief(given)}, expected {CLIMATOLOGY}, a state, a pair of state and covariance, a "
        "file, an analysis with its members or covariance, or a Background"
    )


def _plain_state(given: Any) -> Any:
    return given if isinstance(given, str) else f"a {type(given).__name__.lower()}"


StateOption = Annotated[Any, BeforeValidator(_state_option), PlainSerializer(_plain_state)]
"""An option that `get_background` understands, or a state, or a state and its covariance."""


def _read(path: Path) -> Background:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise ValueError("it holds one array without a name")
        with loaded as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise InputError(
            f"the background {str(path)!r} is not a known name and cannot be read as a file "
            f"({error}); choose {CLIMATOLOGY}, {NONE}, or an .npz file with mean and covariance"
        ) from None
    forms = [form for form in _FORMS if form in arrays]
    if "mean" not in arrays or len(forms) != 1:
        raise InputError(
            f"the background {str(path)!r} holds {', '.join(sorted(arrays)) or 'nothing'}, "
            f"expected mean and one of {', '.join(_FORMS)}"
        )
    make = {
        "covariance": Background.full,
        "variance": Background.diagonal,
        "factor": Background.factor,
    }
    return make[forms[0]](arrays["mean"], arrays[forms[0]])


def _checked_size(found: Background, model: Model, name: str) -> Background:
    if len(found.mean) != model.state_size:
        raise InputError(
            f"the background {name!r} is of {len(found.mean)} components, and {model.name} has "
            f"{model.state_size}; give one of the model's size"
        )
    return found


def _checked(mean: Array, second: Array, name: str, dimensions: int) -> tuple[Array, Array]:
    mean, second = np.asarray(mean), np.asarray(second)
    for of, kind in (("mean", mean.dtype), (name, second.dtype)):
        if kind.kind not in "fiu":
            raise InputError(f"the background's {of} is of type {kind}, expected real numbers")
    mean, second = mean.astype(float), second.astype(float)
    expected = mean.shape * dimensions
    if mean.ndim != 1 or second.shape != expected:
        raise InputError(
            f"the background has a mean of shape {mean.shape} and a {name} of shape "
            f"{second.shape}, expected (state,) and ({', '.join(['state'] * dimensions)})"
        )
    if not (np.isfinite(mean).all() and np.isfinite(second).all()):
        raise InputError(
            f"the background's mean or {name} has NaN or infinite values; give finite ones"
        )
    return mean, second
