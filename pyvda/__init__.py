"""Variational data assimilation: netCDF files, Julia adjoints, learned priors and solvers.

    import pyvda
    analysis = pyvda.assimilate(pyvda.open_observations("obs.nc"), model="lorenz63")
    pyvda.save_analysis(analysis, "analysis.nc")

The public names are listed in `__init__.pyi` and are imported when they are first used: importing
pyvda loads next to nothing, Julia starts with the first computation that needs it, and torch is
loaded with the first learned model.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType

import lazy_loader

__version__ = "0.2.0"

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

    def __reduce__(self) -> tuple[Callable[[str], ModuleType], tuple[str]]:
        """Travel by name: dask pickles functions of the user's with the modules that they use."""
        return importlib.import_module, (__name__,)


sys.modules[__name__].__class__ = _Package


class _AfterXarray:
    """Registers the accessor `vda` when xarray is imported, which pyvda itself does not do here.

    Importing xarray takes many times as long as importing pyvda.
    """

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != "xarray":
            return None
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_register(module: ModuleType) -> None:
                execute(module)
                importlib.import_module("pyvda.accessor")

            spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec


if "xarray" in sys.modules:
    importlib.import_module("pyvda.accessor")
else:
    sys.meta_path.insert(0, _AfterXarray())  # type: ignore[arg-type]
