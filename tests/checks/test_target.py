"""A fresh learned prior that is checked where there is none."""

import pytest

from pyvda.checks.run import (
    check_learned,
)
from pyvda.checks.target import fresh_genn
from pyvda.checks.windows import twin_windows
from pyvda.models.registry import get_model

MODELS = ["lorenz63", "lorenz96"]


@pytest.mark.parametrize("model", MODELS)
def test_a_fresh_genn_passes_from_any_seed(model) -> None:
    batch = twin_windows(get_model(model), engine="torch")
    one, same = (fresh_genn(get_model(model), batch) for _ in range(2))
    assert one.digest() == same.digest()
    assert one.pattern.state_size == get_model(model).state_size
    for seed in range(8):
        checks = check_learned(one, batch, seed=seed)
        assert [check for check in checks if not check.passed] == []
        assert len(checks) == 4
