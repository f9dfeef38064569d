"""The option `background` of a method, and the Gaussian or the state that it means.

By name it is the model's climatology or nothing; from a file it is a mean and a covariance, in
full, by its diagonal, or by a factor; or it is the end of an earlier analysis.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BeforeValidator, PlainSerializer

from pyvda.climate.background import Background, ExpectedState, regularised
from pyvda.climate.background_of_analysis import expect_made_by, is_analysis, of_analysis
from pyvda.climate.climatology import climatology
from pyvda.climate.ensemble import Ensemble
from pyvda.engine import Engine
from pyvda.errors import InputError
from pyvda.models.model import Model
from pyvda.notices import notice
from pyvda.operators.covariance_input import as_covariance
from pyvda.validation_errors import array_of, brief

if TYPE_CHECKING:
    import xarray as xr

CLIMATOLOGY, NONE, FLAT = "climatology", "none", "flat"
_FORMS = ("covariance", "variance", "factor")


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
        return _of_end(given, model, "given")
    if given in (NONE, FLAT):
        return Background.none(model.state_size)
    if given == CLIMATOLOGY:
        return of_climatology(model, engine)
    if is_analysis(given):
        return _of_end(_opened(given), model, given)
    return _checked_size(_read(Path(given)), model, given)


def _of_end(analysis: xr.Dataset, model: Model, name: str) -> Background:
    found = _checked_size(of_analysis(analysis)[0], model, name)
    expect_made_by(analysis, model)
    return found


def of_climatology(model: Model, engine: Engine | None = None) -> Background:
    """Return mean and covariance of the model's attractor.

    A covariance that is singular to rounding, as that of an equation that damps its short waves to
    nothing, is made regular: see `regularised`. What varies by less than a millionth of a standard
    deviation is below the tolerance of the simulation that the covariance was made from.
    """
    known = climatology(model, engine)
    covariance = known.matrix()
    made = regularised(covariance)
    if made is not covariance:
        notice(
            f"the climatological covariance of {model.name} is singular to rounding; directions "
            "that hardly vary count with a trillionth of the largest variance"
        )
    return Background.full(known.mean, made)


def is_name(given: Any) -> bool:
    """Tell whether a background is one of those that have a name: it is not given by the user."""
    return isinstance(given, str) and given in (CLIMATOLOGY, NONE, FLAT)


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
        if mean.ndim != 1:
            raise ValueError(
                f"found {brief(given)}, expected a mean with one number for each component of the "
                "state, and its covariance"
            )
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
    # A list of two numbers is a state.
    pair = isinstance(given, tuple | list) and len(given) == 2
    if pair and (isinstance(given, tuple) or isinstance(given[0], list) or np.ndim(given[0]) == 1):
        array = array_of(given[0])
        if array.dtype.kind in "fiu" and array.ndim and np.isfinite(array).all():
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
