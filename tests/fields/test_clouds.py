import numpy as np
import pytest

from pyvda.errors import InputError
from pyvda.fields.clouds import under_other_clouds

OBSERVED = np.random.default_rng(0).uniform(size=(30, 80)) < np.linspace(0.2, 0.9, 30)[:, None]


def test_what_is_hidden_is_the_gap_of_another_time() -> None:
    hidden = under_other_clouds(OBSERVED, 1, times=10, remedy="")
    assert not (hidden & ~OBSERVED).any()
    times = np.flatnonzero(hidden.any(1))
    assert len(times) == 10
    for t in times:
        assert any((hidden[t] == OBSERVED[t] & ~other).all() for other in OBSERVED)
        assert 0.1 <= hidden[t].sum() / OBSERVED[t].sum() <= 0.9


def test_draws_repeat_and_avoid() -> None:
    one = under_other_clouds(OBSERVED, 1, times=10, remedy="")
    assert (under_other_clouds(OBSERVED, 1, times=10, remedy="") == one).all()
    other = under_other_clouds(OBSERVED, 1, times=10, remedy="", avoid=one.any(1))
    assert not (other.any(1) & one.any(1)).any()


def test_without_gaps_there_is_nothing_to_hide() -> None:
    with pytest.raises(InputError, match="no gap"):
        under_other_clouds(np.ones((4, 5), bool), 0, remedy="name others")
