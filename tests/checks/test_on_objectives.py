"""Objectives: growth without bound is no failure, a gross error is one."""

import numpy as np
import pytest

from pyvda.checks import on_objectives
from pyvda.checks.run import (
    failed,
    summary,
)
from pyvda.engine import CostSettings, get_engine
from pyvda.models.registry import get_model


@pytest.mark.julia
def test_states_that_grow_without_bound_are_not_a_failure() -> None:
    x = 30 * np.random.default_rng(0).standard_normal((2, 5, 3))
    model = get_model("lorenz63")
    checks = on_objectives.objective_checks(get_engine(), model, CostSettings(3.0), x, 0)
    assert [check.passed for check in checks[-2:]] == [None, None]
    assert "grow without bound" in summary(checks)


@pytest.mark.julia
@pytest.mark.parametrize("wrong", [np.nan, 1e12])
def test_a_grossly_wrong_objective_is_a_failure(monkeypatch, wrong) -> None:
    right = on_objectives.strong_objective

    def broken(*arguments, **options):
        J, g = right(*arguments, **options)
        return wrong * J, g

    monkeypatch.setattr(on_objectives, "strong_objective", broken)
    x = np.random.default_rng(0).standard_normal((2, 12, 3))
    model = get_model("lorenz63")
    checks = on_objectives.objective_checks(get_engine(), model, CostSettings(0.01), x, 0)
    assert len(failed(checks)) == 2
    assert all("strong constraint" in check.name for check in failed(checks))
