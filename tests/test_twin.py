"""Twin experiments: reproducible, on the attractor, observed as the preset says."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import pyvda
from pyvda.errors import InputError
from pyvda.models.registry import get_preset, presets


def rhs63(t, x):
    return [10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]]


def rhs96(t, x):
    return (np.roll(x, -1) - np.roll(x, 2)) * np.roll(x, 1) - x + 8


@pytest.mark.parametrize(("preset", "rhs"), [("lorenz63", rhs63), ("lorenz96", rhs96)])
def test_truth_is_a_trajectory_of_the_model(preset, rhs) -> None:
    truth = pyvda.simulate(preset, 2, 3)
    x = truth["truth"].values
    time = truth["time"].values
    kept = time <= 1.0
    expected = solve_ivp(rhs, (0, 1), x[1, 0], t_eval=time[kept], method="DOP853",
                         rtol=1e-12, atol=1e-12)  # fmt: skip
    np.testing.assert_allclose(x[1, kept], expected.y.T, atol=2e-6)
    assert truth["truth"].dims == ("window", "time", "state")
    assert x.shape == (2, 200, get_preset(preset).model.state_size)


@pytest.mark.julia
@pytest.mark.parametrize("preset", ["lorenz63", "lorenz96"])
def test_both_engines_give_the_same_file(preset) -> None:
    # A short spin-up keeps the torch engine quick; the arithmetic is the same.
    setting = replace(get_preset(preset), spinup=3.0, steps=30)
    julia = pyvda.simulate(setting, 3, 7, engine="libjulia")
    torch = pyvda.simulate(setting, 3, 7, engine="torch")
    np.testing.assert_array_equal(julia["truth"].values, torch["truth"].values)
    observed = [pyvda.observe(truth, setting, 8)["observation"].values for truth in (julia, torch)]
    np.testing.assert_array_equal(*observed)


def test_a_window_does_not_depend_on_how_many_there_are() -> None:
    few, more = pyvda.simulate("lorenz96", 2, 3), pyvda.simulate("lorenz96", 3, 3)
    np.testing.assert_array_equal(few["truth"].values, more["truth"].values[:2])
    assert not np.array_equal(few["truth"].values[0], few["truth"].values[1])
    first, second = pyvda.observe(few, "lorenz96", 4), pyvda.observe(more, "lorenz96", 4)
    np.testing.assert_array_equal(first["observation"].values, second["observation"].values[:2])
    assert not np.array_equal(
        first["observation"].values, pyvda.observe(few, "lorenz96", 5)["observation"].values
    )


@pytest.mark.parametrize(
    ("preset", "steps", "components"),
    [
        ("lorenz63", range(0, 200, 8), 1),
        ("lorenz63-blanked", range(16, 185, 8), 1),
        ("lorenz96", range(0, 200, 4), 20),
    ],
)
def test_presets_observe_what_the_paper_observes(preset, steps, components) -> None:
    truth = pyvda.simulate(preset, 30, 1)
    observed = pyvda.observe(truth, preset, 2)["observation"].values
    seen = np.isfinite(observed)
    expected = np.zeros(200, int)
    expected[list(steps)] = components
    np.testing.assert_array_equal(seen.sum(2), np.broadcast_to(expected, (30, 200)))
    noise = (observed - truth["truth"].values)[seen]
    # Mean and variance of so many normal numbers, at four standard errors.
    assert abs(noise.mean()) < 4 * np.sqrt(2 / noise.size)
    assert abs(noise.var() - 2.0) < 4 * 2 * np.sqrt(2 / noise.size)
    if preset == "lorenz96":
        assert 0.4 < seen[:, ::4].mean((0, 1)).min() < 0.6  # every component has its turn


def test_variance_and_spacing_can_be_given() -> None:
    truth = pyvda.simulate("lorenz63", 2, 1)
    exact = pyvda.observe(truth, "lorenz63", 2, variance=0.0, every=50)["observation"].values
    seen = np.isfinite(exact)
    assert seen.any(2)[0].nonzero()[0].tolist() == [0, 50, 100, 150]
    np.testing.assert_array_equal(exact[seen], truth["truth"].values[seen])


def test_bad_requests_are_refused() -> None:
    with pytest.raises(InputError, match="unknown preset"):
        pyvda.simulate("lorenz", 2, 1)
    with pytest.raises(InputError, match="at least 1"):
        pyvda.simulate("lorenz63", 0, 1)
    truth = pyvda.simulate("lorenz63", 1, 1)
    with pytest.raises(InputError, match="state of 3 components"):
        pyvda.observe(truth, "lorenz96", 1)
    with pytest.raises(InputError, match="no variable truth"):
        pyvda.observe(truth.rename(truth="other"), "lorenz63", 1)
    assert set(presets()) >= {"lorenz63", "lorenz63-blanked", "lorenz96"}
