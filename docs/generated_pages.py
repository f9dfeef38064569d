"""Parts of the reference that are made from the code, as Markdown in docs/reference/generated.

`docs/conf.py` calls `write`; the pages of the reference include what it writes.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterable
from enum import IntEnum, IntFlag
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

import pyvda
from pyvda import environment, names, operators, plotting
from pyvda.cli.main import _COMMANDS, command_of
from pyvda.fields.learned import configuration as field_configuration
from pyvda.fields.learned_points import configuration as point_configuration
from pyvda.fields.methods import FIELD_METHODS, LEARNED, LEARNED_POINTS
from pyvda.learned import architecture
from pyvda.methods import METHODS
from pyvda.methods.statistics import CyclingOptions, StatisticalOptions
from pyvda.settings import Settings
from pyvda.training import configuration, data_settings

# Public names by what they are for. A name of pyvda that is missing here is added at the end.
GROUPS = {
    "Assimilate": ("assimilate", "forecast", "rerun", "check"),
    "Judge and draw": ("diagnose", "evaluate", "plot"),
    "Files": ("open_observations", "on_grid", "save_analysis"),
    "Covariances and validation": ("fit_covariance", "crossvalidate"),
    "Models": ("get_model", "julia_model", "torch_model", "jax_model", "load"),
    "Twin experiments": ("simulate", "observe"),
    "Engines and errors": ("get_engine", "InputError", "EngineError"),
}
SECTIONS = {
    "data: a twin experiment": data_settings.Data,
    "data: files": data_settings.Files,
    "prior: a known equation": architecture.ODESection,
    "prior: GENN": architecture.GENNSection,
    "prior: autoencoder": architecture.AutoEncoderSection,
    "cost": architecture.Cost,
    "solver: lstm": architecture.LSTMSection,
    "solver: conv": architecture.ConvSection,
    "solver: gradient-descent": architecture.DescentSection,
    "solver: regression": architecture.RegressionSection,
    "solver: shooting": architecture.ShootingSection,
    "loss: supervised": configuration.Supervised,
    "loss: unsupervised": configuration.Unsupervised,
    "loss: identification": configuration.Identification,
    "optimiser": configuration.Optimiser,
    "training": configuration.Training,
    "field: the file of a network for fields": field_configuration.FieldSource,
    "network: unet": field_configuration.UNetSettings,
    "network: variational": field_configuration.VariationalSettings,
    "network: stack": field_configuration.StackSettings,
    "optimiser, of a network for fields": field_configuration.FieldOptimiser,
    "training, of a network for fields": field_configuration.FieldRun,
    "points: the files of a network for data at points": point_configuration.PointSource,
    "network: neighbours": point_configuration.NeighboursSettings,
    "optimiser, of a network for data at points": point_configuration.PointOptimiser,
    "training, of a network for data at points": point_configuration.PointRun,
}
_NETWORKS = {"a network for fields": LEARNED, "a network for data at points": LEARNED_POINTS}


def described(cls: type) -> dict[str, str]:
    """Return the descriptions of attributes in the numpydoc docstrings of a class and its bases.

    >>> described(configuration.Training)["seed"]
    'Seed of the initial weights.'
    """
    found: dict[str, str] = {}
    for one in reversed(cls.__mro__):
        text = (one.__dict__.get("__doc__") or "").partition("Attributes\n")[2]
        current: tuple[str, ...] = ()
        for line in text.splitlines()[1:]:
            if not line.strip():
                continue
            if re.match(r"    \S", line):
                current = tuple(re.split(r",\s*", line.strip().partition(" : ")[0]))
                found |= dict.fromkeys(current, "")
            for name in current:
                if line.startswith("     "):
                    found[name] = f"{found[name]} {line.strip()}".strip()
    return found


# Names that only readers of the sources know, and what stands for them in tables of options.
EXPLAINED = {
    "R of the statistical form: see `StatisticalOptions`": "See `StatisticalOptions`",
    "See `StatisticalOptions`.": described(StatisticalOptions)["observation_variance"],
    "See `CyclingOptions`.": described(CyclingOptions)["covariance"],
    "See `EnsembleOptions`.": "Whether the analysis has the members at its last step.",
    "`pyvda.climate.background_option.get_background`": "[Backgrounds](#backgrounds)",
    "`pyvda.operators.covariance_input.as_covariance`": "[Covariances](#covariances)",
    "`pyvda.estimated_scales`": "[](/trust.md)",
    "`pyvda.estimated_variance`": "[](/trust.md)",
    " (`pyvda.methods.stable_step`)": "",
    " (`pyvda.methods.forcing`)": "",
    " (`pyvda.methods.model_error.model_noise`)": "",
}


def write(docs: Path) -> None:
    """Write all parts; files that would not change are left, so that pages are not read again."""
    folder = docs / "reference/generated"
    folder.mkdir(parents=True, exist_ok=True)
    parts = {
        "api": api(),
        "operators": autosummary("pyvda.operators", operators.__all__),
        "plotting": autosummary("pyvda.plotting", plotting.__all__),
        "commands": commands(),
        "settings": fields_of(Settings, _of_fields(Settings)),
        "methods": methods(),
        "configuration": sections(),
        "environment": variables(),
        "files": file_variables(),
        "attributes": attributes(),
        "flags": meanings(names.Flag, "flag"),
        "field_flags": meanings(names.FieldFlag, "<name>_flag"),
        "status": meanings(names.Status, "status"),
        "doubts": meanings(names.Doubt, "doubts"),
    }
    written = {folder / f"{name}.md": text for name, text in parts.items()}
    written |= {folder / f"api/{name}.rst": stub(name) for name in public_names()}
    (folder / "api").mkdir(exist_ok=True)
    for path, text in written.items():
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def grouped() -> dict[str, tuple[str, ...]]:
    """Return the functions and classes of pyvda by group, none left out."""
    listed = {name for group in GROUPS.values() for name in group}
    others = tuple(n for n in pyvda.__all__ if n not in listed and n != "operators")
    return GROUPS | ({"Other names": others} if others else {})


def public_names() -> list[str]:
    """Return the full names of what has a page."""
    own = [f"pyvda.{name}" for group in grouped().values() for name in group]
    own += [f"pyvda.operators.{name}" for name in operators.__all__]
    return own + [f"pyvda.plotting.{name}" for name in plotting.__all__]


def stub(name: str) -> str:
    """Return the page of a function or class, in reStructuredText."""
    module, _, short = name.rpartition(".")
    thing = getattr(import_module(module), short)
    kind = "function"
    if isinstance(thing, type):
        kind = "exception" if issubclass(thing, Exception) else "class"
    members = "   :members:\n" if kind == "class" else ""
    title = f"{name}\n{'=' * len(name)}\n\n"
    return f"{title}.. currentmodule:: {module}\n\n.. auto{kind}:: {short}\n{members}"


def api() -> str:
    return "\n".join(
        f"## {title}\n\n{autosummary('pyvda', group)}" for title, group in grouped().items()
    )


def autosummary(module: str, of: Iterable[str]) -> str:
    entries = "\n".join(f"   {name}" for name in of)
    return (
        "```{eval-rst}\n"
        f".. currentmodule:: {module}\n\n"
        ".. autosummary::\n   :toctree: generated/api\n   :nosignatures:\n\n"
        f"{entries}\n```\n"
    )


# The command line ---------------------------------------------------------------------------------


def commands() -> str:
    return "\n".join(_command(name) for name in _COMMANDS)


def _command(name: str) -> str:
    command = command_of(name)
    given = [p for p in command.params if p.name != "help"]
    arguments = [_name(p) for p in given if p.param_type_name == "argument"]
    usage = " ".join(["pyvda", name, "[OPTIONS]", *arguments])
    module = import_module(f"pyvda.cli.{name}")
    rows = [(f"`{_name(p)}`", _cell(p.help or "") + _default(p)) for p in given]
    examples = "\n".join(module.EXAMPLES)
    return (
        f"## pyvda {name}\n\n{_prose(command.help or '')}\n\n```text\n{usage}\n```\n\n"
        + _table(("argument or option", "meaning"), rows)
        + f"\nExamples:\n\n```sh\n{examples}\n```\n"
    )


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        several = "..." if parameter.nargs == -1 else ""
        return parameter.name.upper() + several
    value = "" if parameter.is_flag else " VALUE"
    return ", ".join(sorted(parameter.opts, key=len)) + value


def _default(parameter: Any) -> str:
    if parameter.required:
        return " Required."
    shown = parameter.show_default if isinstance(parameter.show_default, str) else None
    value = shown if shown is not None else parameter.default
    empty = value is None or value is False or value == () or callable(value)
    said = "" if empty or "Sentinel" in type(value).__name__ else f" Default: `{value}`."
    return said


# Settings, options and configuration --------------------------------------------------------------


def methods() -> str:
    parts = []
    for name, method in (METHODS | FIELD_METHODS | _NETWORKS).items():
        summary = (method.solve.__doc__ or "").strip().split("\n\n")[0]
        table = fields_of(method.options, described(method.options))
        parts.append(f"## {name}\n\n{_prose(summary)}\n\n{table}")
    return "\n".join(parts)


def sections() -> str:
    parts = []
    for title, section in SECTIONS.items():
        summary = (section.__doc__ or "").split("Attributes\n")[0]
        parts.append(
            f"## `{title}`\n\n{_prose(summary)}\n\n{fields_of(section, described(section))}"
        )
    return "\n".join(parts)


def fields_of(model: type[BaseModel], descriptions: dict[str, str]) -> str:
    rows = [
        (f"`{name}`", f"*{_kind(field)}{_value(field)}* {_told(descriptions.get(name, ''))}")
        for name, field in model.model_fields.items()
    ]
    return _table(("key", "meaning"), rows)


def _told(description: str) -> str:
    for name, explained in EXPLAINED.items():
        description = description.replace(name, explained)
    return _cell(description)


def _of_fields(model: type[BaseModel]) -> dict[str, str]:
    return {name: field.description or "" for name, field in model.model_fields.items()}


def _kind(field: FieldInfo) -> str:
    return _cell(_type(field.annotation))


def _type(kind: Any) -> str:
    if typing.get_origin(kind) is typing.Annotated:
        return _type(typing.get_args(kind)[0])
    if typing.get_origin(kind) is typing.Literal:
        return ", ".join(f"`{value}`" for value in typing.get_args(kind))
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kinds = [_type(one) for one in typing.get_args(kind) if one is not type(None)]
        return " or ".join(dict.fromkeys(kinds))
    if kind is Any:
        return "any"
    name = getattr(typing.get_origin(kind) or kind, "__name__", str(kind))
    return "callable" if name == "Callable" else name


def _value(field: FieldInfo) -> str:
    if field.is_required():
        return ", required."
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "."
    return ", optional." if value is None else f", default `{value}`."


# Environment and files ----------------------------------------------------------------------------


def variables() -> str:
    rows = [(f"`{name}`", _cell(text)) for name, text in environment.VARIABLES.items()]
    return _table(("variable", "meaning"), rows)


def file_variables() -> str:
    rows = []
    for name in names._LONG_NAMES:
        found = names.attributes(name, "u")
        units = {"(u)2": "those of the state, squared", "u": "those of the state", "1": "1"}
        rows.append((f"`{name}`", found["long_name"], units.get(found.get("units", ""), "")))
    return _table(("variable", "`long_name`", "`units`"), rows)


def attributes() -> str:
    rows = [(f"`{name}`", _cell(text)) for name, text in names.ATTRIBUTES.items()]
    return _table(("attribute", "content"), rows)


def meanings(kind: type[IntEnum] | type[IntFlag], variable: str) -> str:
    rows = [(str(member.value), f"`{str(member.name).lower()}`") for member in kind]
    return _table((f"`{variable}`", "meaning"), rows)


# Markdown -----------------------------------------------------------------------------------------


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(_prose(text).split()).replace("|", "\\|").replace("*", "\\*")


def _prose(text: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines()]
    return "\n".join(lines).replace("<", "\\<").replace("``", "`")
