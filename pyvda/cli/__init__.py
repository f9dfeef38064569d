"""The command line; `pyvda.cli.main` is the function that runs it."""

from pyvda.cli.main import main

__all__ = ["main"]
