"""Models, methods and learned models as tables for notebooks: their `_repr_html_`."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyvda.fields.methods import FieldMethod
    from pyvda.learned.model import LearnedModel
    from pyvda.methods import Method
    from pyvda.models.model import Model

_CELL = "text-align: left; vertical-align: top; padding: 0 1em 0 0"


def table(title: str, rows: Mapping[str, Any]) -> str:
    """Return a table of two columns under a title, its text escaped."""
    lines = "".join(
        f'<tr><th scope="row" style="{_CELL}">{html.escape(name)}</th>'
        f'<td style="{_CELL}">{html.escape(str(value))}</td></tr>'
        for name, value in rows.items()
    )
    return (
        f"<table><caption><strong>{html.escape(title)}</strong></caption>"
        f"<tbody>{lines}</tbody></table>"
    )


def of_model(model: Model) -> str:
    """Return a model's variables, parameters, time step, and where its equations are."""
    space = model.state_space
    variables: Iterable[str] = () if space is None else map(_variable, space.variables)
    parameters = dict(zip(model.parameter_names, model.parameters, strict=True))
    languages = {"Julia": model.julia, "torch": model.torch}
    return table(
        f"Model {model.name}",
        {
            "state": f"{model.state_size} components",
            "variables": ", ".join(variables) or "not named",
            "parameters": _assignments(parameters),
            "sizes": _assignments(model.sizes),
            "time step": f"{model.time_step:g} model time units",
            "equations": ", ".join(name for name, source in languages.items() if source),
        },
    )


def of_method(method: Method | FieldMethod) -> str:
    """Return a method's options with their defaults."""
    fields = method.options.model_fields.items()
    options = {
        name: "required" if field.is_required() else f"default {field.get_default()!r}"
        for name, field in fields
    }
    return table(f"Method {method.name}", options or {"options": "none"})


def of_learned_model(learned: LearnedModel) -> str:
    """Return the purpose of a learned model, its architecture and size."""
    pattern, architecture = learned.pattern, learned.architecture
    weights = sum(parameter.numel() for parameter in learned.parameters())
    windows = f"windows of {pattern.steps} steps of {pattern.time_step:g}"
    return table(
        f"Learned model for {pattern.model}",
        {
            "trained on": f"{pattern.name}: {windows}",
            "state": f"{pattern.state_size} components",
            "prior Φ": _section(architecture.prior),
            "solver Γ": _section(architecture.solver),
            "iterations": learned.iterations,
            "weights": f"{weights:,}",
        },
    )


def _variable(variable: Any) -> str:
    dims = ", ".join(
        f"{dim}: {size}" for dim, size in zip(variable.dims, variable.shape, strict=True)
    )
    units = f" [{variable.units}]" if variable.units else ""
    return f"{variable.name}{f' ({dims})' if dims else ''}{units}"


def _assignments(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value:g}" for name, value in values.items()) or "none"


def _section(section: Any) -> str:
    given = section.model_dump()
    kind = given.pop("kind", type(section).__name__)
    return f"{kind} ({', '.join(f'{name} = {value}' for name, value in given.items())})"
