"""Variational data assimilation: netCDF files, Julia adjoints, learned priors and solvers.

    import pyvda
    analysis = pyvda.assimilate(pyvda.open_observations("obs.nc"), model="lorenz63")
    pyvda.save_analysis(analysis, "analysis.nc")

Importing pyvda loads next to nothing: a name is imported when it is first used, Julia is started
when something is first computed with it, and torch when something learned is.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pyvda.assimilate import assimilate
    from pyvda.engine import get_engine
    from pyvda.errors import EngineError, InputError
    from pyvda.evaluate import evaluate
    from pyvda.io.netcdf import open_observations, save_analysis
    from pyvda.io.tables import on_grid
    from pyvda.learned.shipped import load
    from pyvda.models.model import get_model
    from pyvda.twin import observe, simulate

_HOME = {
    "EngineError": "errors",
    "InputError": "errors",
    "assimilate": "assimilate",
    "evaluate": "evaluate",
    "get_engine": "engine",
    "get_model": "models.model",
    "load": "learned.shipped",
    "observe": "twin",
    "on_grid": "io.tables",
    "open_observations": "io.netcdf",
    "save_analysis": "io.netcdf",
    "simulate": "twin",
}

__all__ = [
    "EngineError",
    "InputError",
    "assimilate",
    "evaluate",
    "get_engine",
    "get_model",
    "load",
    "observe",
    "on_grid",
    "open_observations",
    "save_analysis",
    "simulate",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pyvda' has no attribute {name!r}")
    return getattr(importlib.import_module(f"pyvda.{_HOME[name]}"), name)


class _Package(ModuleType):
    """Keeps `pyvda.assimilate` and `pyvda.evaluate` the functions.

    Importing a submodule sets the attribute of that name on its package, which would hide the
    function behind the module that it is in.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and _HOME.get(name) == name:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
