"""Lorenz-96: its rest state, the energy that only forcing and friction change, its waves."""

import numpy as np
import pytest
import torch

from pyvda.errors import InputError
from pyvda.models.in_torch import bilinear, known
from pyvda.models.registry import get_model


@pytest.mark.parametrize("size", [4, 5, 40])
def test_energy_is_changed_by_forcing_and_friction_alone(size: int) -> None:
    f = known("lorenz96", state_size=size, forcing=7.0)
    x = torch.from_numpy(5 * np.random.default_rng(0).standard_normal((10, size)))
    power = (x * f(x)).sum(-1)
    torch.testing.assert_close(power, (7.0 * x - x * x).sum(-1), rtol=1e-11, atol=1e-11)


def test_the_rest_state_loses_its_stability_to_waves() -> None:
    """Of the wave k at rest: growth F (cos θ - cos 2θ) - 1, θ = 2πk/D."""
    for forcing in (0.5, 8.0):
        f = known("lorenz96", forcing=forcing)
        rest = torch.full((40,), forcing, dtype=torch.float64)
        assert not f(rest).any()
        growth = torch.linalg.eigvals(torch.func.jacrev(f)(rest)).real
        theta = 2 * np.pi * np.arange(40) / 40
        expected = forcing * (np.cos(theta) - np.cos(2 * theta)) - 1
        np.testing.assert_allclose(np.sort(growth), np.sort(expected), atol=1e-9)


def test_the_bilinear_form_contains_it() -> None:
    form = bilinear("lorenz96").double()
    form.set_to(7.5)
    x = torch.from_numpy(5 * np.random.default_rng(1).standard_normal((20, 9)))
    torch.testing.assert_close(form(x), known("lorenz96", state_size=9, forcing=7.5)(x))


def test_a_circle_has_at_least_four_places() -> None:
    assert get_model("lorenz96", state_size=4).state_size == 4
    with pytest.raises(InputError, match="at least 4"):
        get_model("lorenz96", state_size=3)
