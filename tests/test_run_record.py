"""What an analysis keeps of its run is plain data from which the keywords come back."""

import json
import os

import numpy as np
import pytest

import pyvda
from pyvda.errors import InputError
from pyvda.operators.correlated_errors import CorrelatedErrors
from pyvda.operators.function import FunctionOperator
from pyvda.operators.observation import Mask
from pyvda.run_record import decoded, encoded, outputs, unchanged


def test_what_cannot_be_recorded_is_asked_for():
    operator = FunctionOperator(lambda x: x[..., :1] ** 2)
    value = encoded(operator)
    assert "FunctionOperator" in value["unsaid"]
    with pytest.raises(InputError, match=r"pyvda\.rerun\(analysis, operator=\.\.\.\)"):
        decoded("operator", json.loads(json.dumps(value)))


@pytest.mark.parametrize(
    "value", [None, 1, 0.5, "a", True, ["x", "y"], {"a": {"b": [1]}}, np.eye(2), np.float32(2)]
)
def test_values_come_back(value):
    found = decoded("x", json.loads(json.dumps(encoded(value))))
    expected = tuple(value) if isinstance(value, list) else value
    if isinstance(value, dict):
        expected = {"a": {"b": (1,)}}
    np.testing.assert_equal(found, expected)


def test_models_of_pyvda_come_back_with_their_parameters():
    model = pyvda.get_model("lorenz96", state_size=8, forcing=7.5)
    assert decoded("model", json.loads(json.dumps(encoded(model)))) == model
    assert isinstance(decoded("operator", encoded(Mask())), Mask)
    errors = CorrelatedErrors(2.0, ("y", "x"), "gaussian")
    assert decoded("operator", json.loads(json.dumps(encoded(Mask(errors))))).errors == errors


@pytest.mark.parametrize(
    "words", [["-o", "a.nc"], ["--output", "a.nc"], ["--output=a.nc"], ["-oa.nc"]]
)
def test_the_output_is_found_in_a_command_line(words):
    assert outputs(["assimilate", "obs.nc", *words, "--window", "3"]) == ["a.nc"]


def test_files_that_changed_or_are_gone_are_listed(tmp_path):
    (tmp_path / "a").write_text("x")
    run = {"files": {"a": "sha256:0", "b": "sha256:0"}}
    assert unchanged(run, tmp_path) == ["a", "b"]
    assert os.listdir(tmp_path) == ["a"]
