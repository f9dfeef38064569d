"""Models in Julia: registered once per process, and then identified by a handle.

The handle identifies the struct; the values of its fields are passed with every call. For how Julia
evaluates a user's file and finds the struct, see `julia/src/boundary/registry.jl`.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pyvda.engine.interface import Array
from pyvda.engine.julia.signatures import text_arguments
from pyvda.errors import EngineError, InputError
from pyvda.models.model import JuliaSource, Model
from pyvda.models.verdict import Entry, Verdict, refuse_wrong

_TEXT_BYTES = 1 << 20

Coordinates = tuple[tuple[str, tuple[float, ...]], ...]
"""The points along dimensions, as in `StateSpace`."""


@dataclass
class ModelDescription:
    """Julia's description of a model.

    Attributes
    ----------
    type_name : str
    kind : {"small", "large", "vector"}
    form : {"tendency", "step"}
    time_step : float
    spinup : float or None
    fields : dict of float or int
        The values of all fields of the struct in order; sizes are int, unknown values NaN.
    variables : dict of dict of int
        Dimensions of each variable with their lengths, slowest first.
    points : tuple of str
        Dimensions whose coordinates the model states.
    gives : set of str
        The optional parts that the model has: "start", "land", "parameters" (derivatives by them).
    """

    type_name: str = ""
    kind: Literal["small", "large", "vector"] = "small"
    form: Literal["tendency", "step"] = "tendency"
    time_step: float = 1.0
    spinup: float | None = None
    fields: dict[str, float | int] = field(default_factory=dict)
    variables: dict[str, dict[str, int]] = field(default_factory=dict)
    points: tuple[str, ...] = ()
    gives: set[str] = field(default_factory=set)


class Registry:
    """The models registered in one running Julia; `call` calls its entry points."""

    def __init__(self, call: Callable[..., None]) -> None:
        self._call = call
        self._handles: dict[JuliaSource, int] = {}
        self._checked: set[tuple[Any, ...]] = set()

    def handle(self, model: Model) -> int:
        """Return the handle; check the derivatives of a user's model at its first use."""
        source = _source(model)
        found = self.register(source)
        key = (source, tuple(self.values(model)), model.state_size)
        if source.text and key not in self._checked:
            refuse_wrong(self.verdict(model, False))
            self._checked.add(key)
        return found

    def register(self, source: JuliaSource) -> int:
        """Return the handle without checking the derivatives."""
        if source not in self._handles:
            texts = {"source": source.text, "file": source.path, "type": source.type_name}
            handle = np.zeros(1, np.int64)
            try:
                self._call("register", **text_arguments(texts), handle=handle)
            except EngineError as error:
                raise InputError(_in_file(source, error)) from error
            self._handles[source] = int(handle[0])
        return self._handles[source]

    def values(self, model: Model) -> Array:
        """Return the values of all fields of the model's struct."""
        return np.array([value for _, value in model.fields], dtype=float)

    def describe(self, source: JuliaSource, values: Array | None) -> ModelDescription:
        """Return Julia's description of the model with these values of its fields or defaults."""
        handle = self.register(source)
        text = ctypes.create_string_buffer(_TEXT_BYTES)
        count = 0 if values is None else len(values)
        try:
            self._call(
                "describe", handle=handle, values=values, fields=count, text=text,
                text_bytes=_TEXT_BYTES,
            )  # fmt: skip
        except EngineError as error:
            raise InputError(_in_file(source, error)) from error
        return _read(text.value.decode())

    def verdict(self, model: Model, parameters: bool) -> Verdict:
        """Return the verdict on the model's derivatives."""
        source = _source(model)
        handle, values = self.register(source), self.values(model)
        text = ctypes.create_string_buffer(_TEXT_BYTES)
        try:
            self._call(
                "verdict", handle=handle, values=values, fields=len(values), D=model.state_size,
                with_parameters=parameters, text=text, text_bytes=_TEXT_BYTES,
            )  # fmt: skip
        except EngineError as error:
            raise InputError(_in_file(source, error)) from error
        reference, *entries = text.value.decode().splitlines()
        return Verdict(model.name, reference.split("\t")[1], tuple(map(_entry, entries)))

    def starts(self, model: Model, count: int, seed: int) -> Array:
        """Return states (count, D) from the model's own `start`."""
        handle, values = self.register(_source(model)), self.values(model)
        states = np.empty((count, model.state_size))
        self._call(
            "starts", handle=handle, values=values, fields=len(values), D=model.state_size,
            count=count, seed=seed, states=states,
        )  # fmt: skip
        return states

    def land(self, source: JuliaSource, values: Array, size: int) -> Array:
        """Return the land mask (D,) of the model's file, true on land."""
        found = np.zeros(size, np.uint8)
        handle = self.register(source)
        self._call("mask", handle=handle, values=values, fields=len(values), D=size, land=found)
        return found.astype(bool)

    def coordinates(
        self, source: JuliaSource, values: Array, found: ModelDescription
    ) -> Coordinates:
        """Return the coordinates of the dimensions `found.points`, increasing numbers."""
        sizes = {dim: n for dims in found.variables.values() for dim, n in dims.items()}
        points = np.zeros(sum(sizes[dim] for dim in found.points))
        size = sum(prod(dims.values()) for dims in found.variables.values())
        handle = self.register(source)
        self._call(
            "coordinates", handle=handle, values=values, fields=len(values), D=size,
            count=len(points), points=points,
        )  # fmt: skip
        ends = np.cumsum([sizes[dim] for dim in found.points])[:-1]
        parts = np.split(points, ends)
        return tuple(
            (dim, tuple(part.tolist())) for dim, part in zip(found.points, parts, strict=True)
        )


def _source(model: Model) -> JuliaSource:
    if model.julia is None:
        raise InputError(f"{model.name} is not written in Julia; choose the engine torch")
    return model.julia


def _name(source: JuliaSource) -> str:
    return source.path or source.type_name


def _in_file(source: JuliaSource, error: EngineError) -> str:
    """Return Julia's message with the file named once, with its line where Julia knows it."""
    said = str(error).removeprefix("Julia: ")
    file = re.escape(Path(source.path).name)
    return said if source.path and re.match(rf"{file}:", said) else f"{_name(source)}: {said}"


def _entry(line: str) -> Entry:
    _, what, row, column, *numbers, row_name, column_name = line.split("\t")
    expected, found, error, tolerance = map(float, numbers)
    names = (row_name, column_name)
    return Entry(what, int(row), int(column), expected, found, error, tolerance, names)


def _read(text: str) -> ModelDescription:
    found = ModelDescription()
    for line in text.splitlines():
        word, *rest = line.split("\t")
        if word == "type":
            found.type_name = rest[0]
        elif word == "kind":
            found.kind = rest[0]  # type: ignore[assignment]
        elif word == "form":
            found.form = rest[0]  # type: ignore[assignment]
        elif word == "time_step":
            found.time_step = float(rest[0])
        elif word == "spinup":
            found.spinup = float(rest[0]) if rest and rest[0] else None
        elif word == "field":
            name, kind, value = rest
            known = value != "NaN"
            found.fields[name] = int(float(value)) if known and kind == "size" else float(value)
        elif word == "variable":
            name, *dims = rest
            found.variables[name] = {d.partition("=")[0]: int(d.partition("=")[2]) for d in dims}
        elif word == "points":
            found.points = tuple(rest)
        elif word == "gives":
            found.gives = set(rest)
    return found
