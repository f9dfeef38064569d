"""Options of a command that are made from fields of classes: `Settings` and `MethodOptions`."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from pyvda.cli.method_options import MethodOptions
from pyvda.errors import InputError
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
    """Replace the parameter `settings` of a command by an option for each field.

    The command is called with `settings`, a dictionary of those that were given. They are not
    validated here: they may also come from a file, and are validated together.
    """
    signature = inspect.signature(command, eval_str=True)
    fields = on_command_line() | MethodOptions.model_fields

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
    plain = (one for one in (bool, int, float) if one in kinds and str not in kinds)
    several = any(typing.get_origin(one) is list for one in kinds)
    kind: Any = list[str] if several else next(plain, str)
    shown = None if field.default is None else str(field.default)
    extra = field.json_schema_extra
    option = typer.Option(
        help=field.description,
        show_default=shown or False,
        metavar=str(extra["metavar"]) if isinstance(extra, dict) and "metavar" in extra else None,
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def read_settings(config: Path | None, option: list[str] | None) -> dict[str, Any]:
    """Return the options of a YAML file and of `--set name=value`, the latter winning."""
    import yaml

    found: dict[str, Any] = {}
    if config is not None:
        from pyvda.training.configuration import read_yaml

        found |= read_yaml(config, "options", "lines such as `method: fsgd`")
    for text in option or []:
        name, separator, value = text.partition("=")
        if not separator:
            raise InputError(f"--set {text} has no value, expected name=value")
        try:
            found[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise InputError(f"--set {text} cannot be read, expected name=value") from None
    of_python = {"observations", *Settings.model_fields} - on_command_line().keys()
    for name in of_python & found.keys():
        raise InputError(f"{name} is not an option of the command line; leave it out")
    return found
