"""Lorenz-63: its fixed points, the volume that it loses, and its bilinear form."""

import numpy as np
import pytest
import torch
from problems import true_form

import pyvda
from pyvda.models.in_torch import known
from pyvda.models.registry import get_model, get_preset


@pytest.mark.parametrize("rho", [28.0, 14.0])
def test_it_rests_at_its_three_fixed_points(rho: float) -> None:
    beta = 8.0 / 3.0
    r = np.sqrt(beta * (rho - 1))
    points = torch.tensor([[0, 0, 0], [r, r, rho - 1], [-r, -r, rho - 1]], dtype=torch.float64)
    f = known("lorenz63", rho=rho)
    torch.testing.assert_close(f(points), torch.zeros_like(points), rtol=0, atol=1e-13)
    # The outer ones are stable below ρ = 24.74, the origin is not above 1.
    for point, unstable in zip(points, (True, rho > 24.74, rho > 24.74), strict=True):
        J = torch.func.jacrev(f)(point)
        assert (torch.linalg.eigvals(J).real.max() > 0).item() is unstable


def test_volumes_shrink_at_the_same_rate_everywhere() -> None:
    f = known("lorenz63")
    for x in torch.from_numpy(10 * np.random.default_rng(0).standard_normal((5, 3))):
        rate = torch.func.jacrev(f)(x).trace().item()
        assert rate == pytest.approx(-(10 + 1 + 8 / 3), rel=1e-14)


def test_the_bilinear_form_contains_it() -> None:
    form = true_form("lorenz63", 9.0, 27.0, 2.5)
    x = torch.from_numpy(10 * np.random.default_rng(1).standard_normal((20, 3)))
    torch.testing.assert_close(form(x), known("lorenz63", sigma=9.0, rho=27.0, beta=2.5)(x))


@pytest.mark.julia
def test_the_reference_score_of_a_filter() -> None:
    """DAPPER's Lorenz63/sakov2012, which lists rmse.a 0.31 for an iEnKS; see the docstring."""
    truth = pyvda.simulate(get_model("lorenz63"), windows=128, steps=451, seed=4)
    observed = pyvda.observe(truth, seed=5, variance=2.0, every=25, variables=["x", "y", "z"])
    found = pyvda.assimilate(observed, model="lorenz63", method="annealed")
    last = [np.stack([ds[name].values[:, -1] for name in "xyz"], -1) for ds in (found, truth)]
    error = np.sqrt(((last[0] - last[1]) ** 2).mean(1))
    # A standard error is 0.03.
    assert error.mean() == pytest.approx(0.31, abs=0.07)


def test_the_paper_s_settings() -> None:
    usual, blanked = get_preset("lorenz63"), get_preset("lorenz63-blanked")
    assert usual.model == blanked.model == get_model("lorenz63")
    assert (usual.steps, usual.every, usual.components, usual.variance) == (200, 8, (0,), 2.0)
    assert (blanked.first, blanked.last) == (16, 184)
