"""Q as a matrix, noise and point data in the ensemble smoother: Julia and torch agree."""

from __future__ import annotations

import numpy as np
import pytest
from problems import random_points

from pyvda.engine import CostSettings, get_engine
from pyvda.engine.data import Shooting
from pyvda.models.registry import get_model

WINDOWS, STEPS = 3, 9


class Twin:
    """Windows of a model with data near its trajectories, and a full Q."""

    def __init__(self, name: str) -> None:
        random = np.random.default_rng(0)
        self.model = get_model(name)
        self.engines = get_engine("julia"), get_engine("torch")
        self.cost = CostSettings(self.model.time_step)
        D = self.model.state_size
        start = 3 * random.standard_normal((WINDOWS, D)) + 3
        self.x = self.engines[0].simulate(
            self.model, start, time_step=self.model.time_step, steps=STEPS, spinup=5.0
        )
        self.y = self.x + 0.1 * random.standard_normal(self.x.shape)
        self.mask = (random.random(self.x.shape) < 0.4) * 1.0
        self.mask[:, ::2] = 0.0
        self.background = self.x[:, 0] + 0.1 * random.standard_normal((WINDOWS, D))
        G = random.standard_normal((D, D))
        self.Q_inverse = np.linalg.inv(0.01 * (G @ G.T / D + np.eye(D)))
        self.points = random_points(D, WINDOWS, STEPS - 1)
        self.members = self.x[0, 0] + random.standard_normal((30, D))
        noise = 0.1 * random.standard_normal((STEPS - 1, D, 30))
        self.noise = noise - noise.mean(2, keepdims=True)


@pytest.fixture(scope="module", params=["lorenz63", "lorenz96"])
def twin(request: pytest.FixtureRequest) -> Twin:
    return Twin(request.param)


@pytest.mark.parametrize("every", [1, 3])
def test_objectives_agree(twin: Twin, every: int) -> None:
    D = twin.model.state_size
    found = [
        engine.shooting_objective(
            twin.model, twin.cost, twin.x + 0.1, twin.y, twin.mask, twin.background, np.eye(D),
            weight=0.7, model_precision=twin.Q_inverse, every=every,
        )
        for engine in twin.engines
    ]  # fmt: skip
    assert np.allclose(found[0][0], found[1][0], rtol=1e-12)
    scale = np.abs(found[0][1]).max()
    assert np.abs(found[0][1] - found[1][1]).max() < 1e-11 * scale


def test_minima_agree(twin: Twin) -> None:
    D = twin.model.state_size
    shooting = Shooting((1.0,), iterations=60, tolerance=1e-10, model_precision=twin.Q_inverse)
    found = [
        engine.weak_constraint(
            twin.model, twin.cost, shooting, twin.x, twin.y, twin.mask, np.full(WINDOWS, 0.01),
            twin.background, 100 * np.eye(D), spread=True,
        )
        for engine in twin.engines
    ]  # fmt: skip
    assert (found[0].status == 0).all()
    assert np.abs(found[0].x - found[1].x).max() < 1e-9
    assert np.abs(found[0].stdev - found[1].stdev).max() < 1e-9


def test_a_multiple_of_the_identity_is_the_number(twin: Twin) -> None:
    D = twin.model.state_size
    data = (twin.x, twin.y, twin.mask, np.full(WINDOWS, 0.01), twin.background, 100 * np.eye(D))
    number = Shooting((50.0,), iterations=60, tolerance=1e-10)
    matrix = Shooting((1.0,), iterations=60, tolerance=1e-10, model_precision=50 * np.eye(D))
    for engine in twin.engines:
        one, other = (
            engine.weak_constraint(twin.model, twin.cost, s, *data, spread=True)
            for s in (number, matrix)
        )
        assert np.abs(one.x - other.x).max() < 1e-9
        assert np.abs(one.stdev - other.stdev).max() < 1e-9


@pytest.mark.parametrize("extra", ["noise", "points", "points-depth", "points-noise-lag"])
def test_ensemble_smoothers_agree(twin: Twin, extra: str) -> None:
    options: dict[str, object] = {"inflation": 1.02}
    if "noise" in extra:
        options["noise"] = twin.noise
    if "points" in extra:
        options["points"] = twin.points
    if "depth" in extra:
        options |= {"depth": 2, "iterations": 3}
    if "lag" in extra:
        options["lag"] = 2
    found = [
        engine.ensemble_smoother(
            twin.model, twin.cost, twin.y, 4 * twin.mask, twin.members, final=True, **options
        )
        for engine in twin.engines
    ]
    assert found[0][2].shape == (WINDOWS, *twin.members.shape)
    for one, other in zip(*found, strict=True):
        assert np.abs(one - other).max() < 1e-9 * np.abs(one).max()
    plain, _, _ = twin.engines[0].ensemble_smoother(
        twin.model, twin.cost, twin.y, 4 * twin.mask, twin.members, inflation=1.02
    )
    assert np.abs(plain - found[0][0]).max() > 1e-3


def test_noise_with_a_depth_is_refused(twin: Twin) -> None:
    for engine in twin.engines:
        with pytest.raises(ValueError, match="depth is 1, expected 0 with noise"):
            engine.ensemble_smoother(
                twin.model, twin.cost, twin.y, twin.mask, twin.members, noise=twin.noise, depth=1
            )
