"""Data of a function of the state, linearised: exact at the states, where that is possible."""

import numpy as np
import pytest
import torch

from pyvda.engine.julia.linearised_data import expect_julia, linearised
from pyvda.errors import InputError
from pyvda.operators import FunctionOperator, JuliaFunction
from pyvda.operators.function import Channels

W, T, D, K = 3, 4, 2, 2


@pytest.fixture
def operator(tmp_path, monkeypatch) -> JuliaFunction:
    """h(x) = (x₁² + x₂, 1 / x₂), computed here in place of by Julia."""
    file = tmp_path / "observe.jl"
    file.write_text("observe(x) = (x[1]^2 + x[2], 1 / x[2])")
    found = JuliaFunction(file)
    asked: list[np.ndarray] = []

    def values(x: np.ndarray, channels: int) -> np.ndarray:
        asked.append(x)
        with np.errstate(divide="ignore"):
            return np.stack((x[..., 0] ** 2 + x[..., 1], 1 / x[..., 1]), -1)

    def derivatives(x: np.ndarray, channels: int) -> np.ndarray:
        one, zero = np.ones(x.shape[:-1]), np.zeros(x.shape[:-1])
        with np.errstate(divide="ignore"):
            rows = (np.stack((2 * x[..., 0], one), -1), np.stack((zero, -1 / x[..., 1] ** 2), -1))
        return np.stack(rows, -2)

    monkeypatch.setattr(found, "values", values)
    monkeypatch.setattr(found, "derivatives", derivatives)
    found.asked = asked  # type: ignore[attr-defined]
    return found


@pytest.fixture
def channels(operator) -> Channels:
    rng = np.random.default_rng(0)
    weight = rng.uniform(0.5, 2, (W, T, K)) * (rng.random((W, T, K)) < 0.6)
    weight[:, 2] = 0  # no window has data at this step
    weight[:, 0] = 1.0
    return Channels(rng.standard_normal((W, T, K)), weight, operator)


def test_misfit_and_derivative_at_the_states_are_those_of_the_function(channels) -> None:
    x = np.random.default_rng(1).uniform(1, 2, (W, T, D))
    points, possible = linearised(channels, x)
    assert possible.all()
    counts = (channels.weight > 0).sum((1, 2))
    assert points.step.shape == (W, counts.max())
    np.testing.assert_array_equal((np.asarray(points.weight) > 0).sum(1), counts)
    assert not np.asarray(points.fraction).any()
    for w in range(W):
        used = np.asarray(points.weight[w]) > 0
        t = np.asarray(points.step[w])[used]
        k = np.nonzero(channels.weight[w] > 0)[1]  # in the order of steps and channels
        np.testing.assert_array_equal(t, np.nonzero(channels.weight[w] > 0)[0])
        a, b = x[w, t].T
        said = np.where(k == 0, a**2 + b, 1 / b)
        row = np.where(k[:, None] == 0, np.stack((2 * a, 1 + 0 * a), 1),
                       np.stack((0 * a, -1 / b**2), 1))  # fmt: skip
        np.testing.assert_allclose(np.asarray(points.operator[w])[used], row, rtol=1e-14)
        misfit = np.asarray(points.value[w])[used] - (row * x[w, t]).sum(1)
        np.testing.assert_allclose(misfit, np.asarray(channels.value)[w, t, k] - said, atol=1e-13)


def test_the_function_is_asked_where_it_is_observed(channels, operator) -> None:
    linearised(channels, np.ones((W, T, D)))
    (asked,) = operator.asked
    assert len(asked) == (np.asarray(channels.weight) > 0).any(-1).sum()


def test_windows_where_it_is_not_finite_are_left_out(channels) -> None:
    x = np.ones((W, T, D))
    x[1, 0, 1] = 0.0  # 1 / 0, observed
    x[2, 2, 0] = np.inf  # a state that is not finite, at a step without data
    points, possible = linearised(channels, x)
    assert possible.tolist() == [True, False, False]
    assert not np.asarray(points.weight)[1:].any()
    assert np.isfinite(points.value).all()
    assert np.isfinite(points.operator).all()
    alone, _ = linearised(channels[[0]], x[:1])
    counted = alone.step.shape[1]
    np.testing.assert_array_equal(np.asarray(points.operator)[:1, :counted], alone.operator)


def test_a_function_in_torch_is_refused() -> None:
    data = np.ones((1, 1, 1))
    channels = Channels(data, data, FunctionOperator(lambda x: torch.sin(x[..., :1])))
    with pytest.raises(InputError, match=r"choose the engine torch, or give a pyvda\.operators"):
        expect_julia(channels)
