"""Files made by pyvda state their model; for other files a model must be named."""

import numpy as np
import pytest
import xarray as xr

import pyvda
from pyvda.errors import InputError
from pyvda.io.writing import model_attributes
from pyvda.models.registry import default_model


@pytest.mark.parametrize(
    "model",
    [
        pyvda.get_model("lorenz63"),
        pyvda.get_model("lorenz63", rho=20.0),
        pyvda.get_model("lorenz96", forcing=7.0, state_size=12),
    ],
)
def test_the_model_comes_back(model) -> None:
    ds = xr.Dataset(
        {"observation": (("time", "state"), np.zeros((4, model.state_size)))},
        attrs=model_attributes.attributes(model),
    )
    assert model_attributes.find(ds) == model


def test_the_analysis_is_of_the_model_that_made_the_file() -> None:
    truth = pyvda.simulate("lorenz96", 2, 1)
    observed = pyvda.observe(truth, "lorenz96", 2)
    found = pyvda.assimilate(observed, iterations=1)
    expected = pyvda.assimilate(observed, model="lorenz96", iterations=1)
    np.testing.assert_array_equal(found["analysis"].values, expected["analysis"].values)


def test_the_layout_of_pyvda_with_the_default_model_s_size_needs_no_name() -> None:
    values = np.zeros((4, default_model().state_size))
    ds = xr.Dataset({"observation": (("time", "state"), values)})
    assert model_attributes.find(ds) is None
    assert model_attributes.required(ds) == default_model()


@pytest.mark.parametrize(
    ("name", "dims", "size"),
    [
        ("observation", ("time", "state"), 5),
        ("observation", ("time", "station"), 3),
        ("sst", ("time", "state"), 3),
    ],
)
def test_a_file_of_unknown_origin_needs_a_model(name, dims, size) -> None:
    time = np.arange(4) * default_model().time_step
    ds = xr.Dataset({name: (dims, np.zeros((4, size)))}, {"time": time})
    with pytest.raises(InputError, match=r"no model was named.*\(--model\)"):
        pyvda.assimilate(ds)


@pytest.mark.parametrize(
    ("model", "parameters"),
    [("lorenz", [1.0]), ("lorenz63", []), ("lorenz63", [1.0, 2.0]), ("lorenz63", "none"),
     ("lorenz63", [1.0, 2.0, np.nan]), (3, [1.0])],
)  # fmt: skip
def test_attributes_that_name_no_model_are_refused(model, parameters) -> None:
    ds = xr.Dataset(
        {"observation": (("time", "state"), np.zeros((4, 3)))},
        attrs={"model": model, "parameters": parameters},
    )
    with pytest.raises(InputError, match=r"cannot be used \(.*name the model") as refused:
        model_attributes.find(ds)
    assert "\n" not in str(refused.value)
