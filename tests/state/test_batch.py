"""A batch checks its shapes and gives some of its windows with all that belongs to them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from problems import random_points

from pyvda.errors import InputError
from pyvda.operators import FunctionOperator
from pyvda.operators.function import Channels
from pyvda.state.batch import Batch


def batch() -> Batch:
    rng = np.random.default_rng(0)
    arrays = rng.standard_normal((4, 3, 5, 2))
    data = rng.standard_normal((3, 5, 1))
    channels = Channels(data, np.abs(data), FunctionOperator(lambda x: torch.sin(x[..., :1])))
    return Batch(*arrays, points=random_points(2, 3, 5), channels=channels)


@pytest.mark.parametrize(
    "windows", [slice(1, 3), [2, 0], np.array([True, False, True]), np.array([], int)]
)
def test_chosen_windows_keep_their_data(windows) -> None:
    whole, found = batch(), batch()[windows]
    assert len(found) == len(np.arange(3)[windows])
    for name in ("observation", "mask", "first_guess", "truth"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name)[windows])
    np.testing.assert_array_equal(found.points.value, whole.points.value[windows])
    np.testing.assert_array_equal(found.channels.weight, whole.channels.weight[windows])


def test_without_a_truth() -> None:
    assert replace(batch(), truth=None)[:1].truth is None
    assert replace(batch(), truth=None).to().truth is None


def test_as_tensors() -> None:
    found = batch().to(dtype=torch.float32)
    assert found.observation.dtype == torch.float32
    np.testing.assert_allclose(found.truth, batch().truth, rtol=1e-6)


@pytest.mark.parametrize("name", ["mask", "first_guess", "truth"])
def test_all_arrays_have_one_shape(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} has shape \(3, 5, 3\), expected \(3, 5, 2\)"):
        replace(batch(), **{name: np.zeros((3, 5, 3))})


def test_fields_are_for_learned_priors_alone() -> None:
    flat, field, series = (np.zeros(shape) for shape in ((2, 3, 4), (2, 3, 4, 5), (3, 4)))
    Batch(flat, flat, flat).expect_components("an assimilation")
    with pytest.raises(InputError, match=r"\(2, 3, 4, 5\), a method expects \(window, time, state"):
        Batch(field, field, field).expect_components("a method")
    with pytest.raises(ValueError, match=r"shape \(3, 4\), expected \(window, time, state\) or"):
        Batch(series, series, series)
