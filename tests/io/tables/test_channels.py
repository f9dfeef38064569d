"""Observed functions of the state in Datasets: their places, errors and windows."""

import numpy as np
import pytest
import torch
import xarray as xr

from pyvda.errors import InputError
from pyvda.io.tables.channels import observations, to_channels
from pyvda.models.registry import get_model
from pyvda.operators import FunctionOperator

MODEL = get_model("lorenz63")
OPERATOR = FunctionOperator(lambda x: torch.sin(x[..., :2]))


def radiances(dims: tuple[str, ...] = ("window", "time", "band"), **more: object) -> xr.Dataset:
    sizes = {"window": 2, "time": 4, "band": 2}
    values = np.random.default_rng(0).standard_normal([sizes[d] for d in dims])
    values[..., 1, 0] = np.nan
    data = {"radiance": (dims, values, {"units": "W", "ancillary_variables": "radiance_error"})}
    return xr.Dataset(data | more, {"time": 0.01 * np.arange(4)})


def test_values_stand_beside_an_unobserved_state() -> None:
    ds = radiances()
    found = observations(ds, MODEL, "radiance")
    assert found["channel_observation"].dims == ("window", "time", "channel")
    np.testing.assert_array_equal(found["channel_observation"], ds["radiance"])
    assert found["channel_observation"].attrs["units"] == "W"
    assert found["observation"].shape == (2, 4, 3)
    assert found["observation"].isnull().all()
    np.testing.assert_array_equal(found["time"], ds["time"])
    series = observations(radiances(("time", "band")), MODEL, "radiance")
    assert series["channel_observation"].dims == ("time", "channel")


def test_the_order_of_dimensions_does_not_matter() -> None:
    ds = radiances()
    found = observations(ds.transpose("band", "time", "window"), MODEL, "radiance")
    np.testing.assert_array_equal(found["channel_observation"], ds["radiance"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda v: np.where(np.isnan(v), np.inf, v), "infinite values; mark missing data by NaN"),
        (lambda v: v * np.nan, "has no value at all"),
    ],
)
def test_values_that_are_none_are_refused(change, said: str) -> None:
    ds = radiances()
    ds["radiance"] = ds["radiance"].copy(data=change(ds["radiance"].values))
    with pytest.raises(InputError, match=said):
        observations(ds, MODEL, "radiance")


def test_weights_are_relative_to_a_reference_variance() -> None:
    values = np.array([[[1.0, np.nan]], [[3.0, 4.0]]])
    block = xr.Dataset({
        "channel_observation": (("window", "time", "channel"), values),
        "channel_error": (("window", "time", "channel"), np.array([[[2.0, 9.0]], [[1.0, 0.5]]])),
    }).transpose("channel", "window", "time")  # fmt: skip
    found = to_channels(block, OPERATOR, 2.0)
    np.testing.assert_array_equal(found.value, np.nan_to_num(values))
    np.testing.assert_array_equal(found.weight, [[[0.5, 0.0]], [[2.0, 8.0]]])
    np.testing.assert_array_equal(to_channels(block, OPERATOR, None).weight, np.isfinite(values))
    assert found.operator is OPERATOR
