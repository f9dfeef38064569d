"""The learned method on windows without observations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from problems import twin_problem

from pyvda.climate.climatology import climatology
from pyvda.methods import Status
from pyvda.methods.learned import LearnedOptions, solve


@pytest.mark.parametrize("checkpoint", ["lorenz63-genn-conv", "lorenz63-direct-small"])
def test_a_window_without_observations_is_climatology(kernels: str, checkpoint: str) -> None:
    problem = twin_problem("lorenz63", 3, engine="torch")
    mask, observation = (np.array(getattr(problem.batch, n)) for n in ("mask", "observation"))
    mask[1], observation[1] = 0.0, 0.0
    batch = replace(problem.batch, mask=mask, observation=observation)
    options = LearnedOptions(checkpoint=checkpoint)
    found = solve(replace(problem, batch=batch), options)
    expected = climatology(problem.model, problem.engine).mean
    np.testing.assert_array_equal(found.x[1], np.broadcast_to(expected, found.x[1].shape))
    assert found.status[1] == Status.NO_OBSERVATIONS
    assert found.iterations[1] == 0
    as_before = solve(problem, options)
    np.testing.assert_allclose(found.x[[0, 2]], as_before.x[[0, 2]], rtol=1e-5, atol=1e-5)
