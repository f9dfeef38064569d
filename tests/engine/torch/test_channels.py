"""Data that are functions of the state at a step: predictions and derivatives by hand."""

import numpy as np
import pytest
import torch

import pyvda
from pyvda.engine import CostSettings
from pyvda.engine.torch.arrays import tensor
from pyvda.engine.torch.channels import ChannelData, listed
from pyvda.engine.torch.steps import Steps
from pyvda.operators.function import Channels, FunctionOperator

N, T, D = 2, 4, 3


def speed_and_sum(x: torch.Tensor) -> torch.Tensor:
    return torch.stack((x[..., 0].square() + x[..., 1].square(), x.sum(-1)), -1)


@pytest.fixture(scope="module")
def channels() -> Channels:
    rng = np.random.default_rng(0)
    weight = rng.uniform(0.5, 2.0, (N, T, 2)) * (rng.random((N, T, 2)) < 0.6)
    weight[0, 0] = 1.5
    return Channels(rng.standard_normal((N, T, 2)), weight, FunctionOperator(speed_and_sum))


def test_a_window_s_data_in_a_list(channels: Channels) -> None:
    data = ChannelData.of(channels, D, torch.float64)
    counts = (np.asarray(channels.weight) > 0).sum((1, 2))
    assert data.step.shape == (N, counts.max())
    for w in range(N):
        used = np.asarray(data.weight[w]) > 0
        assert used.sum() == counts[w]
        at = (np.asarray(data.step[w])[used], np.asarray(data.channel[w])[used])
        np.testing.assert_array_equal(np.asarray(data.value[w])[used], channels.value[w][at])
        np.testing.assert_array_equal(np.asarray(data.weight[w])[used], channels.weight[w][at])


def test_predictions_and_derivatives(channels: Channels) -> None:
    data = ChannelData.of(channels, D, torch.float64)
    steps = Steps(pyvda.torch_model(step=lambda x: x, variables=("a", "b", "c"), time_step=1.0),
                  CostSettings(1.0))  # fmt: skip
    controls = np.random.default_rng(1).standard_normal((N, T, D + 1))  # a parameter behind
    predicted, rows = data.linearised(steps, tensor(controls))
    assert torch.equal(predicted, data.predicted(steps, tensor(controls)))
    assert rows.shape == (N, data.step.shape[1], D + 1)
    for w, k in np.ndindex(*data.step.shape):
        a, b, c, _ = controls[w, data.step[w, k]]
        if data.channel[w, k] == 0:
            expected, derivative = a**2 + b**2, [2 * a, 2 * b, 0, 0]
        else:
            expected, derivative = a + b + c, [1, 1, 1, 0]
        assert predicted[w, k].item() == pytest.approx(expected, rel=1e-14)
        np.testing.assert_allclose(rows[w, k], derivative, rtol=1e-14)
    carried = tensor(np.random.default_rng(2).standard_normal((N, T, D + 1, 2)))
    along = data.along(carried, rows)
    np.testing.assert_allclose(along[1, 0], rows[1, 0] @ carried[1, data.step[1, 0]], rtol=1e-13)


def test_squares_and_choices(channels: Channels) -> None:
    data = ChannelData.of(channels, D, torch.float64)
    predicted = data.value + 2.0
    np.testing.assert_allclose(data.squares(predicted), 4 * data.weight)
    one = data[torch.tensor([1])]
    np.testing.assert_array_equal(one.value, data.value[1:])
    here = one.of_step(torch.tensor([0]), 3)
    assert here.value.shape == (3, 1)
    assert here.step.eq(0).all()


def test_a_function_that_leaves_a_channel_alone_has_derivative_0() -> None:
    constant = FunctionOperator(lambda x: torch.stack((x[..., 0], torch.ones_like(x[..., 0])), -1))
    ones = np.ones((1, 1, 2))
    data = ChannelData.of(Channels(ones, ones, constant), D, torch.float64)
    steps = Steps(pyvda.torch_model(step=lambda x: x, variables=("a", "b", "c"), time_step=1.0),
                  CostSettings(1.0))  # fmt: skip
    _, rows = data.linearised(steps, torch.ones(1, 1, D, dtype=torch.float64))
    np.testing.assert_array_equal(rows[0], [[1, 0, 0], [0, 0, 0]])


def test_channels_of_other_windows_are_refused(channels: Channels) -> None:
    assert isinstance(listed(channels, N, D, T), ChannelData)
    with pytest.raises(ValueError, match=r"channels have shape \(2, 4, 2\), expected \(2, 5"):
        listed(channels, N, D, T + 1)
