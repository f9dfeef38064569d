"""Options of a command that are made from the fields of `pyvda.settings.Settings`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from pyvda.settings import Settings, alternatives

Command = Callable[..., None]


def on_command_line() -> dict[str, FieldInfo]:
    """Return the settings that the command line has options for."""
    return {
        name: field
        for name, field in Settings.model_fields.items()
        if (field.json_schema_extra or {}) != {"command_line": False}
    }


def with_settings(command: Command) -> Command:
    """Replace the parameter `settings` of a command by an option for each field of `Settings`.

    The command is called with `settings`, a dictionary of those that were given. They are not
    validated here: they may also come from a file, and are validated together.
    """
    signature = inspect.signature(command, eval_str=True)
    fields = on_command_line()

    @functools.wraps(command)
    def called(**values: Any) -> None:
        given = {name: values.pop(name) for name in fields}
        command(**values, settings={k: v for k, v in given.items() if v is not None})

    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.name == "settings":
            parameters += [_option(name, field) for name, field in fields.items()]
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
    called.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {p.name: p.annotation for p in parameters}
    return called


def _option(name: str, field: FieldInfo) -> inspect.Parameter:
    """Return the option of a field; None, when it is not given, leaves the field's default."""
    kinds = alternatives(field.annotation)
    kind = next((one for one in (bool, int, float) if one in kinds and str not in kinds), str)
    shown = None if field.default is None else str(field.default)
    option = typer.Option(help=field.description, show_default=shown or False)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )
