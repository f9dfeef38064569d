"""Data between steps: operators of any size, windows without a datum."""

from dataclasses import replace

import numpy as np
import pytest

from pyvda.checks.on_points import drawn, operator_checks
from pyvda.checks.run import (
    failed,
)
from pyvda.engine import CostSettings, get_engine
from pyvda.models.registry import get_model


@pytest.mark.julia
@pytest.mark.parametrize("size", [1e-4, 1.0, 1e6])
def test_data_between_steps_pass_for_operators_of_any_size_and_empty_windows(size) -> None:
    x = 5 * np.random.default_rng(1).standard_normal((3, 20, 3))
    points = drawn(x, 0)
    weight = np.asarray(points.weight).copy()
    weight[1] = 0  # a window without a datum
    points = replace(points, operator=size * np.asarray(points.operator), weight=weight)
    model = get_model("lorenz63")
    checks = operator_checks(("differences", "adjoint"), get_engine(), model,
                             CostSettings(0.05), points, x, 1)  # fmt: skip
    assert not failed(checks)
