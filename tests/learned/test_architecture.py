"""Architectures as data: kinds are told apart, sizes checked, contradictions refused."""

import pytest
from pydantic import ValidationError

from pyvda.learned.architecture import (
    Architecture,
    ConvSection,
    GENNSection,
    LSTMSection,
    ShootingSection,
)


def test_kinds_decide_the_sections() -> None:
    found = Architecture(
        prior={"kind": "two-scale-genn", "merge": 3}, solver={"kind": "conv", "hidden": [4, 8]}
    )
    assert found.prior == GENNSection(kind="two-scale-genn", merge=3)
    assert found.solver == ConvSection(kind="conv", hidden=(4, 8))
    assert Architecture.model_validate(found.model_dump(mode="json")) == found
    assert isinstance(
        Architecture(prior={"kind": "rk4"}, solver={"kind": "lstm"}).solver, LSTMSection
    )
    assert ShootingSection(kind="shooting").start.kind == "regression"


@pytest.mark.parametrize(
    ("prior", "solver"),
    [
        ({"kind": "rk5"}, {"kind": "lstm"}),
        ({"kind": "rk4", "scale": 0}, {"kind": "lstm"}),
        ({"kind": "rk4", "width": 3}, {"kind": "lstm"}),
        ({"kind": "two-scale-genn", "every": 2}, {"kind": "lstm"}),
        ({"kind": "rk4"}, {"kind": "conv", "hidden": [4]}),
        ({"kind": "rk4"}, {"kind": "shooting", "dilations": [0]}),
        ({}, {"kind": "lstm"}),
    ],
)
def test_what_cannot_be_is_refused(prior: dict, solver: dict) -> None:
    with pytest.raises(ValidationError):
        Architecture(prior=prior, solver=solver)


def test_sections_do_not_change() -> None:
    section = GENNSection(kind="genn")
    with pytest.raises(ValidationError, match="frozen"):
        section.width = 3
