"""Run `pyvda assimilate` again with the arguments of an earlier run and another output."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from pyvda.errors import InputError
from pyvda.io import history


def repeated(arguments: Sequence[str], output: Path) -> None:
    """Run the command of an analysis; only its output is another one, and it prints nothing.

    Parameters
    ----------
    arguments : sequence of str
        Those after `pyvda`.
    output : path

    Raises
    ------
    InputError
        The command is not `assimilate`, or this version does not take its arguments.
    """
    import click

    from pyvda.cli.main import app

    if not arguments or arguments[0] != "assimilate":
        raise InputError(
            f"the analysis was made by `pyvda {' '.join(arguments[:1])}`, and only `pyvda "
            "assimilate` can be repeated; give an analysis by it"
        )
    command = typer.main.get_command(app)
    try:
        with command.make_context("pyvda", list(arguments)) as whole:
            assert isinstance(command, click.Group)
            _, own, rest = command.resolve_command(whole, list(arguments))
            assert own is not None
            with own.make_context("assimilate", rest, parent=whole) as context:
                context.params |= {"output": output, "quiet": True, "overwrite": True}
                if "state" in context.params:  # where an interrupted descent goes on
                    context.params["state"] = None
                with history.command_line(arguments):
                    own.invoke(context)
    except click.ClickException as error:
        raise InputError(
            f"this version of pyvda does not take the arguments of the run ({error.message}); "
            "install the version that made the analysis"
        ) from error
