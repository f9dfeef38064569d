"""Symmetries: moments of states and all their images, and images that solve the equations."""

import numpy as np
import pytest
import torch

from pyvda.models.in_torch import module_of
from pyvda.models.registry import families, get_model
from pyvda.models.symmetry import Mirror, Rotation


def moments(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return states.mean(0), np.cov(states.T, bias=True)


def orbit(symmetry: object, states: np.ndarray) -> np.ndarray:
    if isinstance(symmetry, Mirror):
        return np.concatenate([states, states * symmetry.signs])
    return np.concatenate([np.roll(states, k, axis=1) for k in range(states.shape[1])])


@pytest.mark.parametrize("symmetry", [Mirror((-1.0, 1.0, -1.0, 1.0)), Rotation()])
def test_moments_are_those_of_all_images(symmetry) -> None:
    states = np.random.default_rng(0).standard_normal((50, 4)) @ np.diag([1, 2, 3, 4]) + [
        1,
        0,
        2,
        5,
    ]
    mean, covariance = symmetry.averaged(*moments(states))
    expected = moments(orbit(symmetry, states))
    np.testing.assert_allclose(mean, expected[0], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(covariance, expected[1], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("symmetry", [Mirror((-1.0, 1.0, -1.0, 1.0)), Rotation()])
def test_each_window_becomes_one_of_its_images(symmetry) -> None:
    windows = np.random.default_rng(1).standard_normal((200, 3, 4))
    found = symmetry.images(windows, np.random.default_rng(2))
    count = 2 if isinstance(symmetry, Mirror) else 4
    images = np.stack([orbit(symmetry, w).reshape(count, 3, 4) for w in windows])
    which = (found[:, None] == images).all((2, 3))
    assert (which.sum(1) == 1).all()
    share = which.mean(0)  # all of them, about equally often
    np.testing.assert_allclose(share, 1 / count, atol=0.12)
    np.testing.assert_array_equal(found, symmetry.images(windows, np.random.default_rng(2)))


@pytest.mark.parametrize("name", [n for n, f in families().items() if f.symmetries])
def test_the_equations_of_a_model_have_its_symmetries(name: str) -> None:

    model = get_model(name)
    f = module_of(model)
    x = torch.from_numpy(np.random.default_rng(3).standard_normal((20, 1, model.state_size)))
    for symmetry in model.symmetries:

        def image(states: torch.Tensor, symmetry=symmetry) -> torch.Tensor:
            return torch.as_tensor(symmetry.images(states.numpy(), np.random.default_rng(4)))

        assert not torch.equal(image(x), x)
        torch.testing.assert_close(f(image(x)), image(f(x)), rtol=1e-12, atol=1e-12)
