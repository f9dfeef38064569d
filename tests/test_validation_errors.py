"""Errors of pydantic become one sentence each: found, expected, remedy."""

from typing import Any, Literal

import numpy as np
import pytest
import xarray as xr
from pydantic import BaseModel, ConfigDict, Field, field_validator

from pyvda.errors import InputError
from pyvda.settings import configured
from pyvda.validation_errors import brief, validated


class Small(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["small"] = "small"
    size: int = Field(3, ge=1)


class Large(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["large"]
    depth: int = 2


class Whole(BaseModel):
    model_config = ConfigDict(extra="forbid")
    rate: float
    part: Small | Large = Field(Small(), discriminator="kind")
    numbers: list[int] = []

    @field_validator("rate")
    @classmethod
    def _even(cls, value: float) -> float:
        if value == 13:
            raise ValueError("13 is no rate; choose another number")
        return value


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "the key rate is missing; add it"),
        ({"rate": "fast"}, "rate is 'fast', but input should be a valid number"),
        ({"rate": 1, "rat": 2}, r"unknown key rat; remove it or correct its spelling \(rate, part"),
        (
            {"rate": 1, "part": {"kind": "small", "size": 0}},
            r"part\.size is 0, but input should be",
        ),
        ({"rate": 1, "part": {"kind": "large", "size": 4}}, r"unknown key part\.size; remove it"),
        ({"rate": 1, "numbers": [1, "x"]}, r"numbers\.1 is 'x', but input should be a valid int"),
        ({"rate": 13}, "rate: 13 is no rate; choose another number"),
    ],
)
def test_sentences(values: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=rf"^file\.yaml: {said}") as refused:
        validated(Whole, values, "file.yaml")
    assert "\n" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_what_is_right_is_returned() -> None:
    found = validated(Whole, {"rate": 2, "part": {"kind": "large"}}, "here")
    assert found == Whole(rate=2.0, part=Large(kind="large"))


def test_values_are_shown_in_one_short_line() -> None:
    class Loud:
        def __repr__(self) -> str:
            return "several\n   lines"

    assert brief(Loud()) == "several lines"
    assert brief("x" * 200) == "'" + "x" * 99 + "..."


@pytest.mark.parametrize(
    ("method", "option", "given"),
    [
        ("gauss-newton", "background", xr.DataArray(3.0)),
        ("gauss-newton", "background", (xr.Dataset(), np.eye(3))),
        ("gauss-newton", "covariance", xr.Dataset({"a": 3.0})),
        ("gauss-newton", "model_error", xr.Dataset()),
        ("gauss-newton", "model_error", [[1.0], [2.0, 3.0]]),
        ("incremental", "background", (xr.Dataset(), 1.0)),
        ("incremental", "localisation", xr.DataArray(3.0)),
        ("letkf", "covariance", object()),
    ],
)
def test_objects_of_other_kinds_are_refused_in_one_sentence(
    method: str, option: str, given: object
) -> None:
    with pytest.raises(InputError) as refused:
        configured(method, {option: given})
    assert "\n" not in str(refused.value)
    assert option in str(refused.value)
