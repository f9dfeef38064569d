"""The torch engine as an object: what it says of itself, and data as a trajectory shows them."""

import numpy as np
import torch

import pyvda
from pyvda.engine import CostSettings, get_engine
from pyvda.models.registry import get_model
from pyvda.operators.points import Points


def test_it_says_what_it_is() -> None:
    info = get_engine("torch").info
    assert (info.name, info.start) == ("torch", "torch")
    assert info.version == torch.__version__
    assert info.threads == torch.get_num_threads()
    assert str(info).startswith(f"torch {torch.__version__}, ")


def test_data_are_what_the_trajectory_shows() -> None:
    model = pyvda.torch_model(lambda x: -x, variables=("a", "b"), time_step=0.1)
    engine, settings = get_engine("torch"), CostSettings(0.1)
    x = engine.simulate(model, np.array([[1.0, 2.0]]), time_step=0.1, steps=5)
    points = Points(
        np.array([[0, 3]]), np.array([[0.0, 0.5]]), np.zeros((1, 2)), np.ones((1, 2)),
        np.array([[[1.0, 1.0], [0.0, 3.0]]]),
    )  # fmt: skip
    found = engine.observed(model, settings, x, points)
    np.testing.assert_allclose(found, [[3.0, 6 * np.exp(-0.35)]], rtol=1e-7)
    none = Points(*(np.empty((1, 0)) for _ in range(4)), np.empty((1, 0, 2)))
    assert engine.observed(model, settings, x, none).shape == (1, 0)


def test_the_schemes_are_told_apart() -> None:
    engine, model = get_engine("torch"), get_model("lorenz63")
    x = np.array([[1.0, 2.0, 20.0]])
    f = np.array([[10.0, 1 * (28 - 20) - 2.0, 2 - 160 / 3]])
    euler = engine.forecast(model, x, time_step=0.01, scheme="euler")
    np.testing.assert_allclose(euler, x + 0.01 * f, rtol=1e-14)
    assert np.abs(engine.forecast(model, x, time_step=0.01) - euler).max() > 1e-4
