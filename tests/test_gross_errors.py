"""Gross errors as a mixture: densities that integrate to one, and estimates of known shares."""

import itertools

import numpy as np
import pytest
from scipy.integrate import quad

from pyvda.gross_errors import UNKNOWN, GrossErrors

ERRORS = GrossErrors(anywhere=0.05, typical=0.1, size=6.0, width=1.5)


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.2])
def test_excess_of_good_data_is_known_among_bad_ones(factor) -> None:
    random = np.random.default_rng(4)
    variance = random.uniform(1.0, 1.5, 40_000)
    z = np.sqrt(factor * variance) * random.standard_normal(variance.shape)
    bad = random.random(z.shape) < 0.1
    z += bad * random.choice([-8.0, 8.0], z.shape)
    errors = GrossErrors(anywhere=0.001, typical=0.1, size=8.0)
    found = 1 + errors.excess_of_good(z, variance) * np.sqrt(2 / (~bad).sum())
    assert found == pytest.approx(factor, rel=0.03)
    assert np.isnan(errors.excess_of_good(z[:0], variance[:0]))


def test_excess_of_good_data_is_in_standard_deviations() -> None:
    random = np.random.default_rng(5)
    errors = GrossErrors(anywhere=0.001, typical=0.1, size=8.0)
    found = [errors.excess_of_good(random.standard_normal(500), np.ones(500)) for _ in range(400)]
    assert np.std(found) == pytest.approx(1, rel=0.2)


@pytest.mark.parametrize("errors", [UNKNOWN, ERRORS])
@pytest.mark.parametrize("variance", [1.0, 2.5])
def test_good_and_bad_data_have_one_density(errors, variance) -> None:
    good = quad(lambda z: np.exp(errors.log_good(np.array(z), variance)), -np.inf, np.inf)[0]
    assert good == pytest.approx(1 - errors.anywhere - errors.typical, rel=1e-7)
    edges = [*np.linspace(-40, 40, 9), 1e3, 1e6]  # the tail falls as 1/z²
    bad = (
        sum(
            quad(lambda z: np.exp(errors.log_bad(np.array(z), variance)), a, b)[0]
            for a, b in itertools.pairwise(edges)
        )
        + quad(lambda z: np.exp(errors.log_bad(np.array(z), variance)), -1e6, -40, limit=200)[0]
    )
    assert bad == pytest.approx(errors.anywhere + errors.typical, rel=1e-3)


def drawn(errors: GrossErrors, variance: np.ndarray, seed: int) -> np.ndarray:
    """Return errors of which shares are bad, by the mixture itself."""
    rng = np.random.default_rng(seed)
    count = len(variance)
    z = np.sqrt(variance) * rng.standard_normal(count)
    kind = rng.random(count)
    typical = kind < errors.typical
    wider = np.sqrt(errors.width**2 + variance - 1)
    z[typical] = (rng.choice([-1, 1], count) * errors.size + wider * rng.standard_normal(count))[
        typical
    ]
    anywhere = (kind >= errors.typical) & (kind < errors.typical + errors.anywhere)
    # The distance of the first term has the distribution function r / (r + d).
    u = rng.random(count)
    z[anywhere] = (rng.choice([-1, 1], count) * 5 * np.sqrt(variance) * u / (1 - u))[anywhere]
    return z


def test_shares_and_size_are_found() -> None:
    variance = np.random.default_rng(1).uniform(1, 1.5, 20_000)
    found = UNKNOWN.fitted(drawn(ERRORS, variance, 2), variance)
    assert found.typical == pytest.approx(ERRORS.typical, abs=0.02)
    assert found.anywhere == pytest.approx(ERRORS.anywhere, abs=0.02)
    assert found.size == pytest.approx(ERRORS.size, rel=0.03)
    assert found.width == pytest.approx(ERRORS.width, rel=0.15)


def test_good_data_have_no_typical_error() -> None:
    variance = np.ones(5000)
    found = UNKNOWN.fitted(np.random.default_rng(3).standard_normal(5000), variance)
    assert found.typical == 0
    assert found.anywhere < 0.01
