"""`pyvda info`: versions, the engine, and the names that other commands take."""

from __future__ import annotations

import sys

from pyvda.cli.options import EngineName, Quiet, say

EXAMPLES = ("pyvda info",)


def info(engine: EngineName = None, quiet: Quiet = False) -> None:
    """Print versions, the engine that was chosen and why, and the methods."""
    from importlib.metadata import version

    import pyvda
    from pyvda.engine import get_engine
    from pyvda.learned import shipped
    from pyvda.methods import METHODS
    from pyvda.models.registry import names, presets

    running = get_engine(engine).info
    packages = ("numpy", "scipy", "xarray", "netCDF4", "torch", "juliacall")
    rows = {
        "pyvda": pyvda.__version__,
        "python": sys.version.split()[0],
        **{name: version(name) for name in packages},
        "engine": str(running),
        "because": running.reason,
        "methods": ", ".join(METHODS),
        "models": ", ".join(names()),
        "presets": ", ".join(presets()),
        "shipped": ", ".join(shipped.names()) or "no trained models",
    }
    for name, value in rows.items():
        say(quiet, f"{name:10s} {value}")
