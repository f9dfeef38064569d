"""A model known by its description alone: whatever would run it names the remedy."""

from dataclasses import replace

import pytest

from pyvda.errors import InputError
from pyvda.models.model import TorchSource
from pyvda.models.registry import get_model
from pyvda.models.without_code import WithoutCode, expect_code, has_code


def test_it_is_told_apart_and_refused_with_the_command_that_helps() -> None:
    model = get_model("lorenz63")
    assert has_code(model)
    expect_code(model)
    described = WithoutCode("rossler", "models.py:rossler", (("c", 6.0), ("a", 0.25)))
    without = replace(model, julia=None, torch=TorchSource(described))
    assert not has_code(without)
    with pytest.raises(InputError) as refused:
        expect_code(without)
    assert "--model models.py:rossler --parameter c=6 --parameter a=0.25" in str(refused.value)
    with pytest.raises(InputError, match="--model FILE"):
        WithoutCode("rossler", "")(None)
