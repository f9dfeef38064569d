"""The windows that derivatives are checked on."""

import numpy as np
import pytest
import xarray as xr

import pyvda
from pyvda.checks.windows import own_windows
from pyvda.errors import InputError
from pyvda.models.registry import get_model


def test_windows_of_a_file(series) -> None:
    model = get_model("lorenz63")
    ds = pyvda.open_observations(series)
    batch, step = own_windows(ds, model, window=30, engine="torch")
    assert step == pytest.approx(0.02)
    np.testing.assert_array_equal(
        batch.observation[batch.mask > 0],
        ds["observation"].values.reshape(4, 30, 3)[batch.mask > 0],
    )
    assert batch.mask.max() > 1  # the errors weigh
    assert own_windows(ds, model, time_step=0.5, engine="torch")[1] == 0.5
    with pytest.raises(InputError, match="3 components, lorenz96 has 40"):
        own_windows(ds, get_model("lorenz96"))
    many = xr.concat([ds] * 40, "window")
    batch, _ = own_windows(many, model, engine="torch")
    assert len(batch) == 16
    with pytest.raises(InputError, match="have windows already"):
        own_windows(many, model, window=10)
