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

import xarray as xr

import pyvda


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
    """Methods of pyvda on a DataArray of observations.

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
