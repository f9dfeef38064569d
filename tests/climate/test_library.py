"""The library: trajectories of the model, as many members as asked for, kept between processes."""

from dataclasses import replace

import numpy as np
import pytest

import pyvda
from pyvda.climate.climatology import Climatology
from pyvda.climate.library import EVERY, Library, library
from pyvda.engine import get_engine
from pyvda.errors import InputError
from pyvda.models.registry import get_model


def decay(states: np.ndarray, mirror: bool = False):
    """dx/dt = -x with a given climatology of these states, odd under a change of all signs."""
    from pyvda.models.symmetry import Mirror

    model = pyvda.torch_model(lambda x: -x, variables=("x", "y"), time_step=0.1)
    known = Climatology(states.mean(0), np.cov(states.T, bias=True), states)
    symmetries = (Mirror((-1.0, -1.0)),) if mirror else ()
    return replace(model, climatology=known, symmetries=symmetries)


def made(model, members: int, steps: int = 5, lead: int = 3) -> Library:
    return library(model, get_engine("torch"), 0.1, steps, members, lead)


def test_members_of_a_given_climatology_start_from_its_states() -> None:
    states = np.random.default_rng(0).standard_normal((20, 2)) + 1.0
    found = made(decay(states), 7)
    time = 0.1 * np.arange(8)
    np.testing.assert_allclose(found.states, states[:7, None] * np.exp(-time)[:, None], rtol=1e-6)
    assert found.lead == 3
    np.testing.assert_array_equal(found.signs, 1.0)
    assert len(made(decay(states), 10**6).states) == 20


def test_a_mirror_image_counts_where_the_climatology_has_it() -> None:
    states = np.random.default_rng(0).standard_normal((20, 2))
    lopsided = made(decay(states + 5.0, mirror=True), 8)
    np.testing.assert_array_equal(lopsided.signs, 1.0)
    even = made(decay(np.concatenate([states, -states]), mirror=True), 8)
    np.testing.assert_array_equal(even.signs, -1.0)
    assert len(even.states) == 4


def test_of_a_model_on_its_attractor(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PYVDA_CACHE", str(tmp_path))
    model, engine = get_model("lorenz63"), get_engine("torch")
    found = library(model, engine, 0.01, 10, 640, 4)
    assert found.states.shape == (32, 4 + EVERY * 9 + 10, 3)  # 10 own members each, mirrored
    np.testing.assert_array_equal(found.signs, model.mirror_signs)
    again = engine.simulate(
        model, found.states[:3, 0], time_step=0.01, steps=found.states.shape[1],
        rtol=1e-9, atol=1e-9,
    )  # fmt: skip
    np.testing.assert_allclose(found.states[:3], again, atol=1e-3)
    monkeypatch.setattr(engine, "simulate", None)  # the second comes from the cache
    np.testing.assert_array_equal(library(model, engine, 0.01, 10, 640, 4).states, found.states)


def test_models_that_have_no_library_are_refused() -> None:
    with pytest.raises(InputError, match=r"a state of 40 components.*at most 10"):
        made(get_model("lorenz96"), 100)
    states = np.ones((5, 2)) + np.arange(5)[:, None]
    model = pyvda.torch_model(lambda x: x**3, variables=("x", "y"), time_step=0.1)
    known = Climatology(states.mean(0), np.eye(2), states)
    with pytest.raises(InputError, match="diverges from every state of the given climatology"):
        made(replace(model, climatology=known), 5, steps=20)
