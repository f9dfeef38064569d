"""The forms in which a user gives a covariance: a number, a vector, a matrix, a file, an operator.

A file is one of `pyvda covariance` (netCDF or zarr), or a NumPy file: `.npy` with a vector of
variances or a matrix; `.npz` with one of the arrays `variance` (D,), `covariance` (D, D), `factor`
(D, n) with B = L Lᵀ, or `members` (N, D).
"""

from __future__ import annotations

import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BeforeValidator, PlainSerializer

from pyvda.errors import InputError
from pyvda.operators.covariance import Covariance, Dense, Diagonal, FromEnsemble
from pyvda.validation_errors import array_of, brief

if TYPE_CHECKING:
    from pyvda.state.space import StateSpace

_DATASETS = (".nc", ".nc4", ".cdf", ".netcdf", ".h5", ".hdf5", ".zarr")
FORMS = ("variance", "covariance", "factor", "members")
_SMALLEST, _LARGEST = 1e-30, 1e30  # the inverse and the square are numbers, too
_PLAIN_SIZE = 64  # a larger matrix is not written into an analysis file's attributes


def as_covariance(given: Any, size: int, name: str, space: StateSpace | None = None) -> Covariance:
    """Return what `given` stands for as an operator on `size` components.

    Parameters
    ----------
    given : float, (D,), (D, D), str, Path or Covariance
        A variance that all components share, variances, a matrix, a file, or an operator.
    name : str
        Name of the option, for messages.
    space : StateSpace, optional
        The model's state space, with which the variables and the grid of a covariance that has
        them are compared.

    Raises
    ------
    InputError
        The file cannot be read, the numbers are not a covariance, or it has another size.

    Examples
    --------
    >>> as_covariance(0.5, 2, "model_error").dense().tolist()
    [[0.5, 0.0], [0.0, 0.5]]
    """
    try:
        found = _operator(given, size)
        if space is not None:
            found.expect_space(space)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    if found.size != size:
        raise InputError(
            f"{name} is a covariance of {found.size} components, and the model's state has {size}; "
            "give one of the state's size"
        )
    return found


def _operator(given: Any, size: int) -> Covariance:
    if isinstance(given, Covariance):
        return given
    if isinstance(given, (str, Path)):
        return _read(Path(given))
    array = array_of(given)
    if array.dtype.kind not in "fiu":
        raise InputError(
            f"found {brief(given)}, expected a number, variances, a matrix, a file or a Covariance"
        )
    if array.ndim == 0:
        return Diagonal(np.full(size, array))
    return Diagonal(array) if array.ndim == 1 else Dense(array)


def _read(path: Path) -> Covariance:
    if path.suffix.lower() in _DATASETS:
        from pyvda.covariances.state_covariance import StateCovariance

        return StateCovariance.read(path)
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return Diagonal(loaded) if loaded.ndim == 1 else Dense(loaded)
        with loaded as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"the file {str(path)!r} cannot be read ({error}); give a number, a file of pyvda "
            f"covariance, or a NumPy file (.npz) with one of {', '.join(FORMS)}"
        ) from None
    found = [form for form in FORMS if form in arrays]
    if len(found) != 1:
        raise InputError(
            f"the file {str(path)!r} contains {', '.join(sorted(arrays)) or 'nothing'}, expected "
            f"exactly one of {', '.join(FORMS)}"
        )
    make = {
        "variance": Diagonal,
        "covariance": Dense,
        "factor": Dense.from_factor,
        "members": FromEnsemble,
    }
    return make[found[0]](arrays[found[0]])


def _validated(given: Any) -> Any:
    """Check an option's value when the options are made; files are read later, by the method."""
    if isinstance(given, str) and not Path(given).exists():
        with suppress(ValueError):  # YAML and the command line read 1e-4 as text
            given = float(given)
    if isinstance(given, (str, Path)):
        return str(given)
    if isinstance(given, Covariance):
        return given
    array = array_of(given)
    if array.dtype.kind not in "fiu":
        raise ValueError(
            f"found {brief(given)}, expected a number, variances, a matrix, a file or a Covariance"
        )
    if array.ndim:
        return _operator(array, 0)
    value = float(array)
    if not _SMALLEST <= value <= _LARGEST:
        raise ValueError(f"found {value}, expected a number from {_SMALLEST} to {_LARGEST}")
    return value


def _plain(given: Any) -> Any:
    """Return the value as it is written into an analysis file."""
    if isinstance(given, Diagonal) and given.size <= _PLAIN_SIZE:
        return given.variance().tolist()
    if isinstance(given, Dense) and given.size <= _PLAIN_SIZE:
        return given.dense().tolist()
    if isinstance(given, Covariance):
        return f"{type(given).__name__} of {given.size} components"
    return given


CovarianceOption = Annotated[Any, BeforeValidator(_validated), PlainSerializer(_plain)]
"""An option of a method that `as_covariance` understands."""
