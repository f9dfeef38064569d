"""A fresh learned prior that is checked where there is none."""

import pytest

from pyvda.checks.run import (
    check_learned,
)
from pyvda.checks.target import check_target, fresh_genn
from pyvda.checks.windows import twin_windows
from pyvda.models.registry import get_model

MODELS = ["lorenz63", "lorenz96"]


@pytest.mark.parametrize("model", MODELS)
def test_a_fresh_genn_passes_from_any_seed(model) -> None:
    batch = twin_windows(get_model(model))
    one, same = (fresh_genn(get_model(model), batch) for _ in range(2))
    assert one.digest() == same.digest()
    assert one.pattern.state_size == get_model(model).state_size
    for seed in range(8):
        checks = check_learned(one, batch, seed=seed)
        assert [check for check in checks if not check.passed] == []
        assert len(checks) == 4


@pytest.mark.parametrize(
    ("model", "n", "size"), [("quasi-geostrophic", 17, 289), ("advection-diffusion", 8, 128)]
)
def test_a_model_with_chosen_sizes_gets_a_prior_of_its_own_size(model, n, size) -> None:
    target = check_target(get_model(model, n=n), None, None)
    assert target.learned is not None
    assert target.learned.pattern.dynamics().state_size == size
    assert [one for one in check_learned(target.learned, target.batch) if not one.passed] == []
