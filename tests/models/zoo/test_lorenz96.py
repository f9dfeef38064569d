"""Lorenz-96: its rest state, the energy that only forcing and friction change, its waves."""

import numpy as np
import pytest
import torch
from problems import true_form

import pyvda
from pyvda.errors import InputError
from pyvda.models.in_torch import known
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
    form = true_form("lorenz96", 7.5)
    x = torch.from_numpy(5 * np.random.default_rng(1).standard_normal((20, 9)))
    torch.testing.assert_close(form(x), known("lorenz96", state_size=9, forcing=7.5)(x))


def test_a_circle_has_at_least_four_places() -> None:
    assert get_model("lorenz96", state_size=4).state_size == 4
    with pytest.raises(InputError, match="at least 4"):
        get_model("lorenz96", state_size=3)


@pytest.mark.julia
def test_the_reference_score_of_a_filter() -> None:
    """DAPPER's Lorenz96/sakov2008, which lists rmse.a 0.21 for an EnKF-N; see the docstring."""
    model = get_model("lorenz96")
    truth = pyvda.simulate(model, windows=24, steps=81, seed=4)
    observed = pyvda.observe(truth, seed=5, variance=1.0, every=1, components=range(40))
    found = pyvda.assimilate(observed, model=model, method="annealed")
    error = found["x"].values[:, -1] - truth["x"].values[:, -1]
    score = np.sqrt((error**2).mean(1)).mean()
    # A standard error is 0.01.
    assert score == pytest.approx(0.163, abs=0.03)
    assert score < 0.21
