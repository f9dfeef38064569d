"""`pyvda info`: versions, the engine, and the names that other commands take."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Annotated

import typer

from pyvda.cli.options import EngineName, Quiet, say

EXAMPLES = ("pyvda info", "pyvda info --build")

Build = Annotated[
    bool,
    typer.Option(
        "--build", help="First compile pyvda's Julia code for this machine, where Julia keeps none."
    ),
]


def info(engine: EngineName = None, build: Build = False, quiet: Quiet = False) -> None:
    """Print versions, the engine that was chosen and why, and the methods."""
    import pyvda
    from pyvda import environment
    from pyvda.engine import get_engine
    from pyvda.engine.julia import build_image
    from pyvda.fields.learned import shipped as field_networks
    from pyvda.fields.methods import FIELD_METHODS
    from pyvda.learned import shipped
    from pyvda.machine import installed
    from pyvda.methods import names as method_names
    from pyvda.models.registry import names, presets, samplings

    if build:
        with contextlib.suppress(build_image.NotNeeded):
            build_image.build_for_this_machine()
    chosen = get_engine(engine)
    running = chosen.info
    given = [f"{n}={os.environ[n]}" for n in environment.VARIABLES if n in os.environ]
    packages = ("numpy", "scipy", "xarray", "netCDF4", "torch", "juliacall")
    rows = {
        "pyvda": pyvda.__version__,
        "python": sys.version.split()[0],
        **{name: installed(name) for name in packages},
        "engine": str(running),
        "because": running.reason,
        "image": build_image.state_of(chosen),
        "settings": ", ".join(given) or "no environment variable of pyvda is set",
        "methods": ", ".join([*method_names(), *FIELD_METHODS]),
        "models": ", ".join(names()),
        "presets": ", ".join([*presets(), *samplings()]),
        "shipped": ", ".join(shipped.names()) or "no trained models",
        "for fields": ", ".join(field_networks.names()) or "no trained networks",
    }
    for name, value in rows.items():
        say(quiet, f"{name:10s} {value}")
