"""Trajectories and what data see of them, against a linear model's matrix powers."""

import numpy as np
import pytest
import torch

import pyvda
from pyvda.engine import CostSettings
from pyvda.engine.torch.arrays import tensor
from pyvda.engine.torch.steps import Steps
from pyvda.engine.torch.trajectory import PointData, advanced, follow, follow_linearised
from pyvda.models.registry import get_model
from pyvda.operators.points import Points

M = np.array([[0.9, 0.2, 0.0], [-0.1, 0.8, 0.3], [0.0, -0.2, 0.95]])
N, T, D, K = 2, 6, 3, 5


@pytest.fixture(autouse=True)
def _as_the_methods_call_it():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def linear() -> Steps:
    model = pyvda.torch_model(
        step=lambda x: x @ tensor(M).T, variables=("a", "b", "c"), time_step=1.0
    )
    return Steps(model, CostSettings(1.0))


def start() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((N, D))


def powers(count: int) -> np.ndarray:
    return np.stack([np.linalg.matrix_power(M, t) for t in range(count)])


def test_states_and_columns_are_powers_of_the_matrix(linear: Steps) -> None:
    x, columns = start(), np.random.default_rng(1).standard_normal((N, D, 2))
    expected = np.einsum("tij,nj->nti", powers(T), x)
    np.testing.assert_allclose(follow(linear, tensor(x), T), expected, atol=1e-14)
    states, carried = follow_linearised(linear, tensor(x), tensor(columns), T)
    np.testing.assert_allclose(states, expected, atol=1e-14)
    np.testing.assert_allclose(carried, np.einsum("tij,njm->ntim", powers(T), columns), atol=1e-14)
    last, columns_there = advanced(linear, tensor(x), tensor(columns), T - 1)
    assert torch.equal(last, states[:, -1])
    assert torch.equal(columns_there, carried[:, -1])


def points(fraction: float, size: int = D) -> Points:
    rng = np.random.default_rng(3)
    weight = rng.uniform(0.5, 2.0, (N, K))
    weight[1, 2] = 0.0
    return Points(
        rng.integers(0, T - 1, (N, K)), np.full((N, K), fraction), rng.standard_normal((N, K)),
        weight, rng.standard_normal((N, K, size)),
    )  # fmt: skip


def test_data_at_steps_see_a_combination_of_the_state(linear: Steps) -> None:
    given = points(0.0)
    data = PointData.of(given, N, D, T)
    assert data is not None
    states = follow(linear, tensor(start()), T)
    at = np.asarray(states)[np.arange(N)[:, None], given.step]
    expected = (at * given.operator).sum(-1)
    predicted, rows = data.linearised(linear, states)
    np.testing.assert_allclose(predicted, expected, rtol=1e-13)
    assert torch.equal(predicted, data.predicted(linear, states))
    np.testing.assert_array_equal(rows, given.operator)
    carried = follow_linearised(linear, states[:, 0], torch.eye(D).double().expand(N, -1, -1), T)[1]
    by_start = np.einsum("nki,nkij->nkj", given.operator, powers(T)[given.step])
    np.testing.assert_allclose(data.along(carried, rows), by_start, atol=1e-14)
    squares = given.weight * (expected - given.value) ** 2
    np.testing.assert_allclose(data.squares(predicted), squares, rtol=1e-12)
    half = torch.full((N, K), 0.5, dtype=torch.float64)
    np.testing.assert_allclose(data.squares(predicted, half), squares / 2, rtol=1e-12)


def test_padding_that_overflows_counts_nothing() -> None:
    data = PointData.of(points(0.0), N, D, T)
    assert data is not None
    predicted = torch.zeros(N, K, dtype=torch.float64)
    predicted[1, 2] = torch.nan
    assert data.squares(predicted)[1, 2] == 0
    assert torch.isfinite(data.squares(predicted)).all()


def test_derivatives_of_data_between_steps_are_those_of_differences() -> None:
    steps = Steps(get_model("lorenz63"), CostSettings(0.05))
    data = PointData.of(points(0.4), N, D, T)
    assert data is not None
    x = follow(steps, tensor(3 * start()), T)
    predicted, rows = data.linearised(steps, x)
    found = np.zeros((N, K, D))
    e = 1e-6
    for i in range(D):
        shift = e * torch.eye(D).double()[i]
        up, down = (data.predicted(steps, x + sign * shift) for sign in (1, -1))
        found[..., i] = (up - down) / (2 * e)
    np.testing.assert_allclose(rows, found, atol=1e-7)
    assert not np.allclose(rows, data.operator)
    assert torch.equal(predicted, data.predicted(steps, x))


def test_the_data_of_a_step_are_repeated_for_its_states() -> None:
    given = points(0.0)
    data = PointData.of(given, N, D, T)
    assert data is not None
    one = data[torch.tensor([1])]
    np.testing.assert_array_equal(one.value, given.value[1:])
    here = one.of_step(torch.tensor([0, 3]), 4)
    assert here.step.eq(0).all()
    np.testing.assert_array_equal(here.operator, np.tile(given.operator[1, [0, 3]], (4, 1, 1)))


def test_no_data_is_none() -> None:
    assert PointData.of(None, N, D, T) is None
    empty = Points(*(np.empty((N, 0)) for _ in range(4)), np.empty((N, 0, D)))
    assert PointData.of(empty, N, D, T) is None
