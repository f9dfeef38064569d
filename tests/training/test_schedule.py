"""Learning rates at every step: pretraining, warm-up, cosine and steps."""

import math
from typing import Any

import pytest
from small_trainings import configured

from pyvda.training.schedule import rates

PER_EPOCH = 10


def at(step: int, **optimiser: Any) -> dict[str, float]:
    usual = {"solver_rate": 0.1, "prior_rate": 0.01, "pretraining_rate": 0.5}
    configuration = configured(
        "genn", "lstm", "supervised", optimiser=usual | optimiser,
        training={"epochs": 6, "pretraining": 2},
    )  # fmt: skip
    return rates(configuration, step, PER_EPOCH)


def test_pretraining_moves_the_prior_alone() -> None:
    for step in (0, 19):
        assert at(step, schedule="cosine", warmup=7) == {"solver": 0.0, "prior": 0.5}


def test_cosine_falls_from_the_rates_to_the_last_share() -> None:
    options = {"schedule": "cosine", "final": 0.2}
    assert at(20, **options) == pytest.approx({"solver": 0.1, "prior": 0.01})
    assert at(20 + 39, **options) == pytest.approx({"solver": 0.02, "prior": 0.002})
    assert at(20 + 500, **options) == pytest.approx(at(20 + 39, **options))
    middle = 0.2 + 0.8 * 0.5 * (1 + math.cos(math.pi * 13 / 39))
    assert at(20 + 13, **options)["solver"] == pytest.approx(0.1 * middle, rel=1e-12)


def test_steps_count_epochs_from_the_very_first() -> None:
    options = {"schedule": "step", "steps_at": [3, 5], "factor": 0.5}
    found = [at(step, **options)["solver"] for step in (20, 29, 30, 49, 50, 59)]
    assert found == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.025, 0.025])


def test_a_warm_up_rises_in_a_line() -> None:
    found = [at(20 + k, schedule="constant", warmup=4)["solver"] for k in range(6)]
    assert found == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1])
