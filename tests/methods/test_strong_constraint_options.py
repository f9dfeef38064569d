"""Options of strong-constraint 4D-Var: defaults that depend on the problem, contradictions."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from problems import twin_problem
from pydantic import ValidationError

from pyvda.climate.library import LEAD
from pyvda.errors import InputError
from pyvda.methods.problem import Problem
from pyvda.methods.strong_constraint_options import Setting, setting_of
from pyvda.methods.strong_constraint_options import StrongConstraintOptions as Options
from pyvda.models.registry import get_model
from pyvda.operators import FunctionOperator
from pyvda.operators.function import Channels


@pytest.fixture(scope="module")
def problem() -> Problem:
    return twin_problem("lorenz63", 2, steps=10, engine="torch")


def large(problem: Problem) -> Problem:
    return replace(problem, model=get_model("lorenz96"))


def of_function(problem: Problem) -> Problem:
    data = np.ones((2, 10, 1))
    channels = Channels(data, data, FunctionOperator(lambda x: torch.sin(x[..., :1])))
    return replace(problem, batch=replace(problem.batch, channels=channels))


def test_defaults_depend_on_size_warm_start_and_data(problem) -> None:
    warm = replace(problem, warm=True)
    for given, expected in (
        (problem, Setting("library", 3, 0, LEAD)),
        (warm, Setting("first-guess", 1, 0, LEAD)),
        (
            replace(problem, model=get_model("lorenz96", state_size=6)),
            Setting("library", 3, 4, LEAD),
        ),
        (large(problem), Setting("mean", 1, 4, 0)),
        (of_function(problem), Setting("mean", 1, 4, LEAD)),
    ):
        assert setting_of(given, Options()) == expected
    assert setting_of(problem, Options(starts="climatology", count=7)) == Setting(
        "climatology", 7, 4, LEAD
    )
    assert setting_of(problem, Options(growth=5)).growth == 5


def test_a_given_background_stands_at_the_first_step(problem) -> None:
    given = (np.zeros(3), np.eye(3))
    assert setting_of(problem, Options(background=given)).lead == 0
    assert setting_of(problem, Options(background=given, background_lead=4)).lead == 4
    assert setting_of(problem, Options(model_error=0.1)).lead == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"parameter_stdev": 0.2}, "no parameters are estimated"),
        ({"starts": "mean", "count": 2}, "gives one start"),
    ],
)
def test_contradictions_are_refused(problem, options: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        setting_of(problem, Options(**options))


def test_a_warm_start_or_a_function_rules_starts_out(problem) -> None:
    with pytest.raises(InputError, match="starts is library, which would ignore it"):
        setting_of(replace(problem, warm=True), Options(starts="library"))
    with pytest.raises(InputError, match="choose starts climatology or mean"):
        setting_of(of_function(problem), Options(starts="library"))


@pytest.mark.parametrize("other", [{"parameters": True}, {"minima": True}, {"background_lead": 3}])
def test_the_forcing_formulation_excludes(other: dict) -> None:
    with pytest.raises(ValidationError, match="cannot be combined with model_error"):
        Options(model_error=0.1, **other)


def test_outputs_follow_the_options() -> None:
    usual = set(Options().window_outputs())
    assert set(Options(parameters=True).window_outputs()) - usual == {
        "parameter_analysis", "parameter_stdev"
    }  # fmt: skip
    assert set(Options(minima=True).window_outputs()) - usual == {
        "minimum_objective",
        "minimum_state",
    }
    assert set(Options(final_covariance=True).window_outputs()) - usual == {"final_covariance"}
    assert (
        "final_covariance" not in Options(final_covariance=True, parameters=True).window_outputs()
    )


def test_the_model_error_of_a_step() -> None:
    assert not Options().model_error_per_step(3).any()
    np.testing.assert_array_equal(Options(model_error=0.5).model_error_per_step(2), 0.5 * np.eye(2))
