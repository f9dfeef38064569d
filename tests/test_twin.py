"""Twin experiments: reproducible, on the attractor, observed as the preset says."""

from dataclasses import replace

import numpy as np
import pytest
from problems import turning
from scipy.integrate import solve_ivp

import pyvda
from pyvda.errors import InputError
from pyvda.models.from_torch import torch_model
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
    julia = pyvda.simulate(setting, 3, 7, engine="julia")
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


def test_bad_requests_are_refused() -> None:
    with pytest.raises(InputError, match="unknown preset"):
        pyvda.simulate("lorenz", 2, 1)
    with pytest.raises(InputError, match="at least 1"):
        pyvda.simulate("lorenz63", 0, 1)
    assert set(presets()) >= {"lorenz63", "lorenz63-blanked", "lorenz96"}


# --- models of the user's own --------------------------------------------------------------------


def test_a_model_is_simulated_with_its_own_variables() -> None:
    truth = pyvda.simulate(turning(), 3, 4, steps=30, parameters={"rate": 1.0})
    assert {name: v.dims for name, v in truth.data_vars.items()} == {
        "u": ("window", "time", "place"),
        "v": ("window", "time", "place"),
    }
    assert dict(truth.sizes) == {"window": 3, "time": 30, "place": 2}
    # A circle, one radian a unit of time.
    phase = np.exp(1j * truth["time"])
    start = (truth["u"] + 1j * truth["v"]).isel(time=0, drop=True)
    np.testing.assert_allclose(
        truth["u"] + 1j * truth["v"],
        (start * phase).transpose("window", "time", "place"),
        atol=1e-7,
    )


def test_a_step_model_is_simulated_by_its_steps() -> None:
    model = torch_model(step=lambda x: x.roll(1, -1), variables=("u",), dimensions={"i": 5},
                        time_step=1.0, spinup=3.0)  # fmt: skip
    truth = pyvda.simulate(model, 2, 1, steps=7)["u"]
    for k in range(7):
        np.testing.assert_array_equal(truth[:, k], np.roll(truth[:, 0], k, -1))


def test_parameters_and_steps_of_a_preset() -> None:
    truth = pyvda.simulate("lorenz96", 1, 1, steps=5, parameters={"state_size": "12"})
    assert truth["truth"].shape == (1, 5, 12)
    assert truth.attrs["parameters"] == [8.0]


def test_a_simulation_that_diverges_is_refused() -> None:
    def model(**stated):
        return torch_model(
            lambda x: x * (x - 1), variables=("x",), time_step=1.0, spinup=20.0, **stated
        )

    # Standard normal numbers above 1 run away; a start below it is the remedy.
    with pytest.raises(InputError, match=r"diverged on .*: give one near .* start and spread in"):
        pyvda.simulate(model(), 40, steps=4, engine="torch")
    truth = pyvda.simulate(model(start=0.5, spread=0.1), 40, steps=4, engine="torch")
    assert np.isfinite(truth["x"]).all()
    with pytest.raises(InputError, match=r"diverged on the way to its attractor; check its start$"):
        pyvda.simulate(model(start=1.5, spread=0.1), 4, steps=4, engine="torch")
    growing = torch_model(
        step=lambda x, rate=10.0: rate * x, variables=("x",), time_step=1.0, spinup=1.0, start=1.0,
        spread=0.1, parameters={"rate": 10.0},
    )  # fmt: skip
    said = r"diverged within the windows; check its time step and its parameters \(rate 10\)$"
    with pytest.raises(InputError, match=said):
        pyvda.simulate(growing, 1, steps=400, engine="torch")
