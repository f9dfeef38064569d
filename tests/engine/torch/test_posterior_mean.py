"""The posterior mean over a library: importance weights by hand, mirrored members, draws."""

import numpy as np
import pytest

import pyvda
from pyvda.climate.library import EVERY, Library
from pyvda.engine import CostSettings
from pyvda.engine.torch.arrays import tensor
from pyvda.engine.torch.posterior_mean import _EVERY, best_starts, posterior_mean

LEAD, T, D = 2, 4, 2
M = np.array([[0.9, 0.3], [-0.3, 0.9]])


def rotation():
    return pyvda.torch_model(
        step=lambda x: x @ tensor(M).to(x.dtype).T, variables=("x", "y"), time_step=1.0
    )


def library(signs: tuple[float, float] = (1.0, 1.0)) -> Library:
    x = np.random.default_rng(0).standard_normal((6, D))
    states = [x]
    for _ in range(LEAD + 8 + T - 1):  # members at 0, 4 and 8 of each of six trajectories
        states.append(states[-1] @ M.T)
    return Library(np.stack(states, 1), LEAD, np.array(signs))


def members(given: Library) -> np.ndarray:
    """States of all members over the window with the lead, (n, LEAD + T, D)."""
    own = [path[k : k + LEAD + T] for path in given.states for k in (0, 4, 8)]
    mirrored = [m * given.signs for m in own] if (given.signs < 0).any() else []
    return np.stack(own + mirrored)


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    weight = rng.uniform(0.2, 1.0, (2, T, D)) * (rng.random((2, T, D)) < 0.7)
    return (weight > 0) * rng.standard_normal(weight.shape), weight


def test_members_are_those_of_the_library() -> None:
    assert _EVERY == EVERY


@pytest.mark.parametrize("signs", [(1.0, 1.0), (-1.0, 1.0)])
def test_the_moments_are_those_of_weighted_members(signs) -> None:
    given = library(signs)
    y, weight = data()
    found = posterior_mean(
        rotation(), CostSettings(1.0), y, weight, given, noise=np.zeros((0, D)), enough=1.0,
        spread=np.ones(D),
    )  # fmt: skip
    x = members(given)[:, LEAD:]
    for w in range(2):
        J = (weight[w] * (x - y[w]) ** 2).sum((1, 2)) / 2
        p = np.exp(-J) / np.exp(-J).sum()
        mean = np.tensordot(p, x, 1)
        variance = np.tensordot(p, (x - mean) ** 2, 1)
        np.testing.assert_allclose(found.mean[w], mean, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found.stdev[w], np.sqrt(variance), rtol=1e-5)
        assert found.effective[w] == pytest.approx(1 / (p**2).sum(), rel=1e-5)
        assert found.misfit[w] == pytest.approx(J.min(), rel=1e-5)
        assert found.draws[w] == 0


def test_draws_around_the_members_come_to_the_posterior_of_a_kernel_estimate() -> None:
    """With noise the prior is the members' kernel estimate, a mixture of normal distributions."""
    given = library()
    y, weight = data()
    spread = np.array([0.3, 0.2])
    noise = np.random.default_rng(2).standard_normal((40_000, D))
    found = posterior_mean(
        rotation(), CostSettings(1.0), y, weight, given, noise=noise, enough=1e9, spread=spread
    )
    assert (found.draws == len(noise)).all()
    powers = np.stack([np.linalg.matrix_power(M, LEAD + t) for t in range(T)])
    for w in range(2):
        seen = weight[w] > 0
        H, R = powers[seen.nonzero()[0], seen.nonzero()[1]], np.diag(1 / weight[w][seen])
        B = np.diag(spread**2)
        S = H @ B @ H.T + R
        gain = np.linalg.solve(S, H @ B).T
        logs, means = [], []
        for start in members(given)[:, 0]:
            d = y[w][seen] - H @ start
            logs.append(-d @ np.linalg.solve(S, d) / 2)
            means.append(start + gain @ d)
        p = np.exp(logs - np.max(logs))
        mean = (p / p.sum()) @ np.stack(means)
        expected = powers @ mean
        np.testing.assert_allclose(found.mean[w], expected, atol=0.02)


def test_a_window_that_no_member_explains_is_nan() -> None:
    y, weight = data()
    y[1, np.nonzero(weight[1])[0][0], np.nonzero(weight[1])[1][0]] = 1e200
    found = posterior_mean(
        rotation(), CostSettings(1.0), y, weight, library(), noise=np.zeros((0, D)), enough=1.0,
        spread=np.ones(D),
    )  # fmt: skip
    assert np.isfinite(found.mean[0]).all()
    for values in (found.mean, found.stdev, found.effective, found.misfit):
        assert np.isnan(values[1]).all()


def test_the_best_starts_are_the_least_misfits_that_lie_apart() -> None:
    given = library((1.0, -1.0))
    y, weight = data()
    apart = np.array([0.4, 0.5])
    found = best_starts(y, weight, given, apart=apart, count=3)
    x = members(given)
    for w in range(2):
        J = (weight[w] * (x[:, LEAD:] - y[w]) ** 2).sum((1, 2)) / 2
        order, chosen = np.argsort(J), []
        for k in order:
            if all((np.abs(x[k, 0] - other) >= apart).any() for other in chosen):
                chosen.append(x[k, 0])
        np.testing.assert_allclose(found[w], chosen[:3], rtol=1e-12)
