"""The settings that all methods share, and the options of each, checked before any work.

They come as keywords of `pyvda.assimilate`, from a YAML file or from `--set`, so that any of them
may be anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, InstanceOf, model_validator

from pyvda.errors import InputError
from pyvda.methods import METHODS, Method
from pyvda.models.model import Model
from pyvda.validation_errors import validated

Weight = Annotated[float, Field(ge=0)]


class Settings(BaseModel):
    """What `pyvda.assimilate` is told apart from the observations and the method's options.

    See there for what each is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model: str | InstanceOf[Model] | None = None
    method: str = "fsgd"
    checkpoint: str | Path | None = None
    warm_start: str | Path | None = None
    variable: str | tuple[str, ...] | None = None
    window: int | None = Field(None, ge=2)
    overlap: int = Field(0, ge=0)
    block: int | None = Field(None, ge=1)
    time_step: float | None = Field(None, ge=1e-12, le=1e12)
    lambda1: Weight = 0.01
    lambda2: Weight = 1.0
    engine: str | None = None
    resume_file: str | Path | None = None
    report: Callable[..., None] | None = None

    @model_validator(mode="after")
    def _check(self) -> Settings:
        if self.overlap and self.window is None:
            raise ValueError(
                f"overlap is {self.overlap}, but a series that is not cut has one window; give "
                "window (--window), too, or leave it out"
            )
        if not (self.lambda1 or self.lambda2):
            raise ValueError(
                "lambda1 and lambda2 are both 0, so that there is nothing to minimise; give one "
                "of them a positive value"
            )
        return self


def settled(values: Mapping[str, Any]) -> Settings:
    """Return the settings among `values`, checked; others are options of a method, and left alone.

    Raises
    ------
    InputError
        As `validated`.
    """
    known = {name: value for name, value in values.items() if name in Settings.model_fields}
    settings: Settings = validated(Settings, known, "settings")
    return settings


def configured(method: str, options: Mapping[str, Any]) -> tuple[Method, Any]:
    """Return the method of this name and its checked options.

    Raises
    ------
    InputError
        The method is unknown, or it has no such options.
    """
    if method not in METHODS:
        raise InputError(f"unknown method {method!r}; choose one of {', '.join(METHODS)}")
    chosen = METHODS[method]
    return chosen, validated(chosen.options, dict(options), f"options of {method}")
