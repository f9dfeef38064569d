"""Variational data assimilation: netCDF files, Julia adjoints, learned priors and solvers.

    import pyvda
    analysis = pyvda.assimilate(pyvda.open_observations("obs.nc"), model="lorenz63")
    pyvda.save_analysis(analysis, "analysis.nc")

The public names stand in `__init__.pyi` and are imported when they are first used: importing pyvda
loads next to nothing, Julia starts with the first computation that needs it, and torch is loaded
with the first learned model.
"""

import sys
from types import ModuleType

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


class _Package(ModuleType):
    """Keeps a function that has the name of its module, such as `pyvda.assimilate`, callable.

    Importing a submodule sets the attribute of that name on its package, which would hide the
    function behind the module that defines it.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name in __all__ and isinstance(value, ModuleType):
            value = getattr(value, name, value)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
