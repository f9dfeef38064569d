"""Observation operators that are functions in torch: errors in them are found."""

import pickle

import numpy as np
import pytest
import torch
import xarray as xr

import pyvda
from pyvda.climate.background import Background
from pyvda.errors import InputError
from pyvda.operators import FunctionOperator
from pyvda.operators.function import Channels


def speed(x):
    """Two nonlinear channels of three components."""
    return torch.stack((x[..., 0] * x[..., 1], torch.sin(x[..., 2])), -1)


def speed_adjoint(x, v):
    a, b = v.unbind(-1)
    return torch.stack((x[..., 1] * a, x[..., 0] * a, torch.cos(x[..., 2]) * b), -1)


def by_numpy(x):
    a = np.asarray(x)
    return torch.as_tensor(np.stack((a[..., 0] * a[..., 1], np.sin(a[..., 2])), -1))


@pytest.mark.parametrize(
    "operator",
    [
        FunctionOperator(speed),
        FunctionOperator(speed, speed_adjoint),
        FunctionOperator(by_numpy, speed_adjoint),
        FunctionOperator(torch.nn.Linear(3, 2, dtype=torch.float64)),
        FunctionOperator(lambda x: torch.exp(5 * x[..., :2]) * torch.sin(100 * x[..., 1:])),
        FunctionOperator(lambda x: x[..., :2].abs().clamp(max=1.0) + 1e6),
    ],
)
def test_right_functions_pass(operator):
    operator.check(3, 2)


def test_the_adjoint_is_what_autograd_uses():
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    v = torch.randn(4, 2, dtype=torch.float64)
    grads = [
        torch.autograd.grad(FunctionOperator(f, a)(x), x, v)[0]
        for f, a in ((speed, None), (by_numpy, speed_adjoint))
    ]
    torch.testing.assert_close(*grads)


def test_an_operator_travels_to_other_processes():
    again = pickle.loads(pickle.dumps(FunctionOperator(speed, speed_adjoint)))
    x = torch.randn(2, 3, dtype=torch.float64)
    torch.testing.assert_close(again(x), speed(x))


@pytest.mark.parametrize(
    ("function", "adjoint", "sentence"),
    [
        (speed, lambda x, v: 2 * speed_adjoint(x, v), "adjoint .* is wrong: ⟨H dx, v⟩ is"),
        (by_numpy, lambda x, v: -speed_adjoint(x, v), "adjoint .* is wrong"),
        (speed, lambda x, v: speed_adjoint(x, v)[..., :2], "autograd cannot|shape"),
        (lambda x: speed(x)[..., :1], None, r"returns \(3, 1\) .* expected .* \(3, 2\)"),
        (lambda x: speed(x).detach(), None, "autograd cannot differentiate"),
        (lambda x: torch.log(-(speed(x) ** 2)), None, "NaN, infinite"),
        (lambda x: speed(x).sum(), None, "expected a tensor of shape"),
        (lambda x: np.ones(3), None, "returns ndarray"),
        (lambda x: speed(x) - speed(x).mean(0), None, "alone and in a batch|expected"),
        (lambda x: 1 / 0, None, "fails on states .*division by zero"),
        (lambda x: x[..., :2] * x[..., 1:].detach(), None, "is not its derivative .channel [12]"),
        (lambda x: speed(x).float(), None, "returns torch.float32 for states of torch.float64"),
        (lambda x: speed(x).to_sparse(), None, "returns a sparse_coo cpu tensor .*to_dense"),
        (lambda x: speed(x).to("meta"), None, "returns a strided meta tensor .*device=x.device"),
    ],
)
def test_wrong_functions_are_refused_in_one_sentence(function, adjoint, sentence):
    with pytest.raises(InputError, match=sentence) as refused:
        FunctionOperator(function, adjoint).check(3, 2)
    assert "\n" not in str(refused.value)


def test_anything_but_a_function_is_refused():
    with pytest.raises(InputError, match="give functions"):
        FunctionOperator(3)


@pytest.mark.parametrize("windows", [False, True])
def test_observations_become_channels_beside_an_unobserved_state(windows):
    values = np.random.default_rng(0).normal(size=(2, 5, 2))
    values[0, 1] = np.nan
    ds = xr.Dataset({"y": (("window", "time", "c"), values)}, {"time": 0.01 * np.arange(5)})
    ds = ds if windows else ds.isel(window=0)
    found = FunctionOperator(speed).observations(ds, pyvda.get_model("lorenz63"))
    assert np.isnan(found.observation).all()
    assert found.observation.dims == (("window",) if windows else ()) + ("time", "state")
    np.testing.assert_array_equal(found.channel_observation, values if windows else values[0])


def test_channels_of_chosen_windows():
    value, weight = np.ones((3, 4, 2)), np.tile(np.arange(3.0)[:, None, None], (1, 4, 2))
    channels = Channels(value, weight, FunctionOperator(speed))
    np.testing.assert_array_equal(channels.counted(), [0, 8, 8])
    np.testing.assert_array_equal(channels[1:].weight, weight[1:])
    x = np.random.default_rng(0).normal(size=(3, 4, 3))
    np.testing.assert_allclose(channels.predicted(x)[..., 0], x[..., 0] * x[..., 1])
    with pytest.raises(ValueError, match=r"expected .window, time, channel."):
        Channels(value, weight[..., :1], FunctionOperator(speed))


def test_a_function_is_tried_at_states_of_the_problem():
    """Temperatures near 300 K have a logarithm; standard normal states have none."""
    model = pyvda.torch_model(
        lambda x: -0.01 * (x - 300.0), variables=("a", "b", "c"), time_step=0.1
    )
    y = np.log(300.0) + np.zeros((6, 3))
    ds = xr.Dataset({"y": (("time", "k"), y)}, {"time": 0.1 * np.arange(6)})
    common = {"model": model, "method": "gauss-newton", "form": "statistical", "engine": "torch",
              "observation_variance": 1e-6, "model_error": 1e-4,
              "background": Background.full(np.full(3, 310.0), 25 * np.eye(3))}  # fmt: skip
    found = pyvda.assimilate(ds, operator=FunctionOperator(torch.log), **common)
    np.testing.assert_allclose(found["analysis"], 300.0, atol=1.0)
    with pytest.raises(InputError, match="NaN, infinite"):
        pyvda.assimilate(ds, operator=FunctionOperator(lambda x: torch.log(-x)), **common)
