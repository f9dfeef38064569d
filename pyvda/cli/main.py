"""The command line: assembles the commands, one file each, and turns errors into exit codes.

Exit code 0 on success, 1 when something failed, 2 when the input cannot be used.
"""

from __future__ import annotations

import logging
import sys
import warnings
from typing import Any

import typer

from pyvda.cli import (
    assimilate,
    check,
    forecast,
    info,
    observe,
    plot,
    reproduce,
    score,
    simulate,
    train,
)
from pyvda.errors import EngineError, InputError, TrainingError
from pyvda.notices import Notice

_COMMANDS = (
    simulate, observe, assimilate, forecast, train, score, check, plot, reproduce, info,
)  # fmt: skip
_INTERRUPTED = 130  # typer's exit code for Ctrl-C

app = typer.Typer(
    help="Variational data assimilation of netCDF observations.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for _module in _COMMANDS:
    _name = _module.__name__.rpartition(".")[2]
    _examples = "\n\n".join(f"  {line}" for line in _module.EXAMPLES)
    app.command(_name, epilog=f"[bold]Example[/bold]\n\n{_examples}")(getattr(_module, _name))


def main() -> None:
    """Run the command line and turn errors into one sentence and an exit code."""
    logging.basicConfig(level=logging.WARNING, format="pyvda: %(message)s", stream=sys.stderr)
    _show_notices()
    try:
        app(prog_name="pyvda", standalone_mode=True)
    except InputError as error:
        print(f"pyvda: {error}", file=sys.stderr)
        sys.exit(2)
    except (EngineError, TrainingError) as error:
        print(f"pyvda: {error}", file=sys.stderr)
        sys.exit(1)
    except SystemExit as stop:
        if stop.code != _INTERRUPTED:
            raise
        print("pyvda: interrupted", file=sys.stderr)
        sys.exit(1)


def _show_notices() -> None:
    """Print pyvda's notices as one line each, without the place in the source."""

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, Notice):
            print(f"pyvda: {message}", file=sys.stderr)
        else:
            before(message, category, *where, **more)

    before = warnings.showwarning
    warnings.simplefilter("always", Notice)
    warnings.showwarning = show
