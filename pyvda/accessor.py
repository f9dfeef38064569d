"""The accessor `vda` of xarray's objects: the public functions as methods of the data they take.

    import pyvda
    analysis = xr.open_dataset("obs.nc").vda.assimilate(model="lorenz63")
    analysis.vda.score(truth)

It is registered when pyvda or xarray is imported, whichever comes last (`pyvda/__init__.py`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

import pyvda
from pyvda import names
from pyvda.errors import InputError
from pyvda.io.pairs import paired


class _OfFirstArgument:
    """A public function whose first argument is the accessor's object, with its documentation."""

    def __init__(self, function: str) -> None:
        self.function = function

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, accessor: Any, owner: type | None = None) -> Callable[..., Any]:
        function: Callable[..., Any] = getattr(pyvda, self.function)
        if accessor is None:  # of the class: as documentation tools see it
            return function
        given = accessor.data

        def method(*arguments: Any, **keywords: Any) -> Any:
            return function(given, *arguments, **keywords)

        signature = inspect.signature(function)
        method.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=list(signature.parameters.values())[1:]
        )
        method.__name__, method.__doc__ = self.name, function.__doc__
        method.__qualname__ = f"{type(accessor).__name__}.{self.name}"
        return method


@xr.register_dataarray_accessor("vda")
class DataArrayAccessor:
    """Methods of pyvda on a DataArray of observations, or on one variable of an analysis.

    What needs more than one variable is on the Dataset: `diagnose` needs innovations and their
    errors, the other scores the model, `forecast` and `rerun` the attributes of the file.

    Attributes
    ----------
    assimilate
        `pyvda.assimilate` of the observations.
    on_grid
        `pyvda.on_grid` of a table of observations.
    """

    def __init__(self, data: xr.DataArray) -> None:
        self.data = data

    assimilate = _OfFirstArgument("assimilate")
    on_grid = _OfFirstArgument("on_grid")

    def score(self, truth: xr.DataArray | xr.Dataset) -> dict[str, Any]:
        """Return the R-score of each window: the mean squared error of the variable.

        Parameters
        ----------
        truth : DataArray or Dataset
            Of the same windows; of a Dataset, the variable of the same name, or `truth`. Values
            that are NaN in one of the two, such as land, do not count.

        Returns
        -------
        dict of (W,) array
            `r_score`, as `pyvda.evaluate` of the Dataset returns it beside other scores.

        Raises
        ------
        InputError
            The truth is not that of the variable.
        """
        true = paired(_of_name(truth, self.data.name), self.data)
        other = [dim for dim in self.data.dims if dim != names.WINDOW]
        error = (self.data - true.drop_vars(true.coords)) ** 2
        return {"r_score": np.atleast_1d(error.mean(other).values)}

    def plot(self, truth: xr.DataArray | xr.Dataset | None = None, **how: Any) -> Any:
        """Draw the variable, without observations and spread, which are in the Dataset.

        Parameters
        ----------
        truth : DataArray or Dataset, optional
            As for `score`.
        **how
            Keyword arguments of `pyvda.plot`, such as `kind`, `step` and `ax`.

        Returns
        -------
        Axes, or array of Axes where there are several panels; see `pyvda.plot`

        Raises
        ------
        InputError
            As for `pyvda.plot`.
        """
        array = self.data.rename(self.data.name or "field")
        true = None if truth is None else _of_name(truth, array.name)
        if names.STATE not in array.dims:
            if set(array.dims) - {names.WINDOW, names.TIME}:  # a field on a grid
                field = xr.Dataset({array.name: array, f"{array.name}_innovation": array * np.nan})
                return pyvda.plot(
                    field, None if true is None else true.to_dataset(name=array.name), **how
                )
            array = array.expand_dims({names.STATE: [str(array.name)]}, -1)
            true = None if true is None else true.expand_dims(names.STATE, -1)
        state = xr.Dataset({names.ANALYSIS: array, names.INNOVATION: array * np.nan})
        return pyvda.plot(state, None if true is None else true.to_dataset(name=names.TRUTH), **how)


def _of_name(truth: xr.DataArray | xr.Dataset, name: Any) -> xr.DataArray:
    """Return the truth of a variable."""
    if isinstance(truth, xr.DataArray):
        return truth
    found = name if name in truth else names.TRUTH
    if found not in truth:
        raise InputError(
            f"the truth has no variable {name!r} or 'truth', but "
            f"{', '.join(map(str, truth.data_vars)) or 'none'}; give the variable as a DataArray"
        )
    return truth[found]


@xr.register_dataset_accessor("vda")
class DatasetAccessor:
    """Methods of pyvda on a Dataset of observations, a truth or an analysis.

    Attributes
    ----------
    assimilate
        `pyvda.assimilate` of observations.
    on_grid
        `pyvda.on_grid` of a table of observations.
    observe
        `pyvda.observe` of a truth.
    score
        `pyvda.evaluate` of an analysis against a truth.
    forecast
        `pyvda.forecast` from the end of an analysis.
    rerun
        `pyvda.rerun` of an analysis.
    plot
        `pyvda.plot` of an analysis.
    diagnose
        `pyvda.diagnose` of an analysis.
    save
        `pyvda.save_analysis`.
    """

    def __init__(self, data: xr.Dataset) -> None:
        self.data = data

    assimilate = _OfFirstArgument("assimilate")
    on_grid = _OfFirstArgument("on_grid")
    observe = _OfFirstArgument("observe")
    score = _OfFirstArgument("evaluate")
    forecast = _OfFirstArgument("forecast")
    rerun = _OfFirstArgument("rerun")
    plot = _OfFirstArgument("plot")
    diagnose = _OfFirstArgument("diagnose")
    save = _OfFirstArgument("save_analysis")
