"""The first state of methods without matrices: each kind of background, and whose B counts."""

import numpy as np
import pytest

import pyvda
from pyvda.climate.background import Background, ExpectedState
from pyvda.climate.ensemble import Ensemble
from pyvda.errors import InputError
from pyvda.methods.first_state import first_state

MODEL = pyvda.get_model("lorenz63")
STATE = np.array([1.0, 2.0, 3.0])
VARIANCES = np.array([1.0, 4.0, 9.0])
MEMBERS = STATE + np.array([[-1.0, 0.0, 2.0], [1.0, 1.0, -1.0], [0.0, -1.0, -1.0], [0.0, 0.0, 0.0]])


@pytest.mark.parametrize(
    ("background", "stated"),
    [
        (STATE, None),
        ((STATE, np.diag(VARIANCES)), np.diag(VARIANCES)),
        (ExpectedState(STATE), None),
        (Ensemble(MEMBERS), None),
        (Background.full(STATE, np.diag(VARIANCES)), np.diag(VARIANCES)),
    ],
)
def test_mean_and_covariance_of_each_kind(background, stated) -> None:
    engine = pyvda.get_engine("torch")
    mean, B = first_state(background, None, MODEL, engine)
    np.testing.assert_allclose(mean, STATE)
    assert (B is None) == (stated is None)
    if B is not None:
        np.testing.assert_allclose(B.dense(), stated, rtol=1e-12, atol=1e-12)
    _, chosen = first_state(background, 2.0, MODEL, engine)  # in place of its own
    np.testing.assert_allclose(chosen.dense(), 2.0 * np.eye(3))


def test_a_state_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="has 2 components, and lorenz63 has 3"):
        first_state(STATE[:2], None, MODEL, pyvda.get_engine("torch"))
