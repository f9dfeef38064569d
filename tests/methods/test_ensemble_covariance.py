"""B of a static operator and an ensemble, against matrices."""

from types import SimpleNamespace

import numpy as np
import pytest

import pyvda
from pyvda.climate.climatology import Climatology
from pyvda.errors import InputError
from pyvda.methods.ensemble_covariance import (
    blended,
    hybrid_of_climatology,
    of_climatology,
    taper_of,
)
from pyvda.operators import Dense
from pyvda.state.space import StateSpace, Variable

MEMBERS = np.random.default_rng(0).normal(size=(6, 3))


def test_the_weights_are_those_of_the_matrices() -> None:
    model, static = pyvda.get_model("lorenz63"), Dense(np.diag([1.0, 2.0, 3.0]))
    found = blended(static, MEMBERS, 0.25, 0.0, model)
    np.testing.assert_allclose(found.dense(), 0.75 * static.dense() + 0.25 * np.cov(MEMBERS.T))
    np.testing.assert_allclose(blended(None, MEMBERS, 1.0, 0.0, model).dense(), np.cov(MEMBERS.T))
    with pytest.raises(InputError, match="no covariance for the rest"):
        blended(None, MEMBERS, 0.5, 0.0, model)


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_the_climatology_beside_an_ensemble_has_its_variance_up_to_its_own(scale) -> None:
    covariance, members = np.diag([1.0, 2.0, 3.0]) + 0.5, scale * MEMBERS
    known = Climatology(np.zeros(3), covariance, np.zeros((2, 3)))
    model = pyvda.get_model("lorenz63")
    object.__setattr__(model, "climatology", known)
    found = hybrid_of_climatology(members, 0.25, 0.0, model, None).dense()
    sample = np.cov(members.T)
    total = min(np.trace(sample), np.trace(covariance))
    expected = 0.75 * covariance / np.trace(covariance) + 0.25 * sample / np.trace(sample)
    np.testing.assert_allclose(found, total * expected)
    with pytest.raises(InputError, match="members of the background's ensemble are all equal"):
        hybrid_of_climatology(np.ones((4, 3)), 0.25, 0.0, model, None)


def test_beside_an_ensemble_on_a_rectangle_the_static_part_has_its_spectrum_and_deviation() -> None:
    n, random = 17, np.random.default_rng(2)
    model = pyvda.get_model("quasi-geostrophic", n=n)
    smooth = np.zeros((40, n, n))
    smooth[:, 1:-1, 1:-1] = 10 * random.normal(size=(40, 1, 1)) + random.normal(size=(40, 15, 15))
    states = smooth.reshape(40, -1)
    object.__setattr__(model, "climatology", Climatology(states.mean(0), None, states))
    size = np.where(np.arange(n) < 8, 0.1, 0.5) * np.ones((n, 1))  # of the errors of forecasts
    rough = np.pad(random.normal(size=(300, 15, 15)), ((0, 0), (1, 1), (1, 1))) * size
    members = rough.reshape(300, -1)
    B = hybrid_of_climatology(members, 1e-6, 0.0, model, None)
    deviation = np.sqrt(B.variance().reshape(n, n)[1:-1])
    mean = np.mean(size[:, 1:-1] ** 2)
    for column in (2, 14):  # smoothed over 4 points, and with 9 % of the mean
        expected = (size[0, column] ** 2 + 0.09 * mean) / 1.09
        np.testing.assert_allclose(deviation[:, column] ** 2, expected, rtol=0.15)
    at = 8 * n + 12
    row = B.apply(np.eye(n * n)[at])
    assert abs(row[at + 1]) < 0.1 * row[at]  # that of the climatology is nearly 1
    np.testing.assert_allclose(B.variance().sum(), members.var(0, ddof=1).sum(), rtol=0.02)


def test_the_variance_on_land_does_not_count_beside_an_ensemble() -> None:
    covariance = np.diag([1e-6, 1.0, 1e-6])  # 1 on land, which nothing else determines
    model = pyvda.get_model("lorenz63")
    object.__setattr__(model, "climatology", Climatology(np.zeros(3), covariance, np.zeros((2, 3))))
    space = StateSpace((Variable("h", ("x",), (3,)),), np.array([0, 1, 0], np.uint8).tobytes())
    object.__setattr__(model, "state_space", space)
    members = 1e-4 * MEMBERS * [1.0, 0.0, 1.0]
    variance = hybrid_of_climatology(members, 0.5, 0.0, model, None).variance()
    np.testing.assert_allclose(variance[[0, 2]].sum(), members.var(0, ddof=1).sum(), rtol=1e-9)


def test_the_taper_has_the_grid_of_the_model() -> None:
    found = taper_of(pyvda.get_model("quasi-geostrophic", n=17), 2.0).dense()
    y, x = np.indices((17, 17)).reshape(2, -1)
    square = np.subtract.outer(y, y) ** 2 + np.subtract.outer(x, x) ** 2
    inside = ((y > 3) & (y < 13) & (x > 3) & (x < 13)).nonzero()[0]
    np.testing.assert_allclose(found[inside], np.exp(-square[inside] / 8), atol=0.05)
    assert taper_of(pyvda.get_model("lorenz96"), 0.0) is None
    assert taper_of(pyvda.get_model("lorenz63"), 2.0) is None
    unlike = StateSpace((Variable("a", ("x",), (3,)), Variable("b", ("z",), (4,))))
    with pytest.raises(InputError, match="cannot be localised by distance"):
        taper_of(SimpleNamespace(name="two", state_size=7, state_space=unlike), 2.0)


def test_a_large_climatology_has_the_variance_of_its_states() -> None:
    n = 17
    model = pyvda.get_model("quasi-geostrophic", n=n)
    states = np.random.default_rng(1).normal(size=(200, n, n))
    states[:, [0, -1]] = states[:, :, [0, -1]] = 0.0
    states = states.reshape(200, -1)
    model = pyvda.get_model("quasi-geostrophic", n=n)
    object.__setattr__(model, "climatology", Climatology(states.mean(0), None, states))
    variance = of_climatology(model, None).variance().reshape(n, n)
    assert 0.9 < variance[1:-1, 1:-1].mean() < 1.1
    assert not variance[0].any()
    line = SimpleNamespace(name="line", state_space=None, climatology=model.climatology)
    with pytest.raises(InputError, match="not known as an operator"):
        of_climatology(line, None)
