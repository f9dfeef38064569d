"""Models from torch functions, against SciPy and autograd; malformed ones are refused."""

import math

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from problems import rossler, rossler_adjoint, rossler_tangent_linear
from problems import rossler_with as made
from scipy.integrate import solve_ivp

import pyvda
from pyvda.engine import get_engine
from pyvda.errors import InputError
from pyvda.models.from_torch import torch_model
from pyvda.models.in_torch import module_of, prior_of
from pyvda.models.torch_trial import derivatives_verdict
from pyvda.priors.ode import ODEPrior
from pyvda.priors.step import StepPrior


def test_a_function_becomes_a_model_with_named_variables_and_parameters():
    model = made()
    assert (model.name, model.state_size, model.kind) == ("rossler", 3, "tendency")
    assert model.parameter_names == ("a", "b", "c")
    assert model.parameters == (0.2, 0.2, 5.7)
    assert model.state_space.names == ("x", "y", "z")
    assert model.julia is None
    assert pyvda.torch_model is torch_model


def test_its_simulation_is_scipy_s():
    model = made()
    found = get_engine("torch").simulate(
        model, np.array([[1.0, 2.0, 0.5]]), time_step=0.05, steps=40
    )[0]

    def f(_, x):
        return [-x[1] - x[2], x[0] + 0.2 * x[1], 0.2 + x[2] * (x[0] - 5.7)]

    times = 0.05 * np.arange(40)
    expected = solve_ivp(f, (0, 2), [1.0, 2.0, 0.5], t_eval=times, rtol=1e-11, atol=1e-11).y.T
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-7)


def test_a_module_is_copied_with_its_weights():
    network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 4))
    model = torch_model(network, variables=("s",), dimensions={"place": 4}, time_step=0.1)
    x = torch.randn(5, 4, dtype=torch.float64)
    before = module_of(model)(x)
    with torch.no_grad():
        network[0].weight.zero_()
    torch.testing.assert_close(module_of(model)(x), before)
    assert before.dtype == torch.float64
    assert not before.requires_grad


def test_a_field_of_two_dimensions_is_seen_as_one():
    seen = []

    def diffusion(u, kappa):
        seen.append(tuple(u.shape[-2:]))
        return kappa * (u.roll(1, -1) + u.roll(-1, -1) + u.roll(1, -2) + u.roll(-1, -2) - 4 * u)

    model = torch_model(
        diffusion,
        variables=("u",),
        dimensions={"y": 5, "x": 3},
        time_step=0.1,
        parameters={"kappa": 0.1},
        adjoint=lambda u, v, kappa: diffusion(v, kappa),
    )
    assert model.state_size == 15
    assert set(seen) == {(5, 3)}
    assert model.state_space.variables[0].dims == ("y", "x")


def test_a_dimension_may_be_given_by_its_points():
    lat, lon = np.linspace(-60.0, 60.0, 5), [0.0, 120.0, 240.0]
    model = torch_model(
        lambda u: -u, variables=("u", "v"), dimensions={"lat": lat, "lon": lon}, time_step=0.1
    )
    space = model.state_space
    assert [(v.dims, v.shape) for v in space.variables] == [(("lat", "lon"), (5, 3))] * 2
    np.testing.assert_array_equal(space.coordinate("lat"), lat)
    np.testing.assert_array_equal(space.coordinate("lon"), lon)
    apart = torch_model(
        lambda x: -x, variables=("u", "s"), dimensions={"u": {"lat": lat}, "s": {}}, time_step=0.1
    )
    assert apart.state_size == 6
    np.testing.assert_array_equal(apart.state_space.coordinate("lat"), lat)


def test_a_step_model_steps_by_itself_and_by_no_other_step():
    model = torch_model(
        step=lambda x: x.roll(1, -1), variables=("x",), dimensions={"site": 6}, time_step=1.0
    )
    x = torch.arange(6.0, dtype=torch.float64)[None]
    assert torch.equal(prior_of(model, 1.0).step(x), x.roll(1, -1))
    assert isinstance(prior_of(model, 1.0), StepPrior)
    assert isinstance(prior_of(made(), 0.05), ODEPrior)
    with pytest.raises(InputError, match=r"given by its step of 1, found a time step of 0\.5"):
        prior_of(model, 0.5)


@pytest.mark.parametrize("adjoint", [None, lambda x, dy: -torch.sin(x) * dy.roll(-1, -1)])
def test_the_prior_of_a_step_has_the_gradient_of_autograd(adjoint):
    model = torch_model(
        step=lambda x: torch.cos(x).roll(1, -1), adjoint=adjoint,
        variables=("x",), dimensions={"site": 5}, time_step=1.0,
    )  # fmt: skip
    prior = prior_of(model, 1.0)
    x, r = torch.randn(2, 3, 6, 5, dtype=torch.float64)
    _, expected = torch.autograd.functional.vjp(prior, x, r)
    torch.testing.assert_close(prior.vjp(x, r), expected)
    states, end, pullback = prior.run(x[:, 0], 4)
    assert states.shape == (3, 4, 5)

    def four(y):
        for _ in range(4):
            y = prior.step(y)
        return y

    _, expected = torch.autograd.functional.vjp(four, x[:, 0], r[:, 0])
    torch.testing.assert_close(pullback(r[:, 0]), expected)
    torch.testing.assert_close(end, four(x[:, 0]))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"variables": ()}, "expected names"),
        ({"variables": ("x", "y")}, "unbind|shape|unpack"),
        ({"variables": ("x", "x", "z")}, "different names"),
        ({"time_step": 0.0}, "positive"),
        ({"time_step": math.nan}, "finite"),
        ({"time_step": "fast"}, "expected a number"),
        ({"parameters": {"a": None, "b": 1.0, "c": 1.0}}, "parameter a of rossler is None"),
        ({"parameters": {"a": 0.2, "b": 0.2}}, "missing"),
        ({"dimensions": {"x": {"i": 2}, "u": {"i": 2}}}, "mapping"),
        ({"dimensions": {"i": 0}}, "at least 1"),
        ({"dimensions": 3}, "lengths by name"),
        ({"dimensions": {"i": [0.0, 2.0, 1.0]}}, "coordinates along i are not increasing numbers"),
        ({"dimensions": {"i": ["a", "b"]}}, "coordinates along i are not increasing numbers"),
        ({"dimensions": {"lat": [50.0, 40.0]}}, "decreasing latitudes turned round"),
        (
            {
                "variables": ("x", "u"),
                "dimensions": {"x": {"i": [0.0, 1.0]}, "u": {"i": [0.5, 1.5]}},
            },
            "coordinates along i of u are others than those of a variable before it",
        ),
        ({"start": (1.0, 2.0)}, "2 values"),
        ({"spread": -1.0}, "at least 0"),
        ({"spinup": math.inf}, "finite"),
        ({"step": rossler}, "exactly one"),
    ],
)
def test_malformed_settings_are_refused_in_one_sentence(changed, said):
    with pytest.raises(InputError, match=said) as refused:
        made(**changed)
    assert "\n" not in str(refused.value)


anything = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 5), st.floats(), st.text(max_size=3),
    st.lists(st.one_of(st.integers(-2, 3), st.text(max_size=2)), max_size=4),
    st.dictionaries(st.text(max_size=2), st.one_of(st.integers(-1, 3), st.none()), max_size=3),
)  # fmt: skip


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "variables": anything, "time_step": anything, "dimensions": anything,
            "parameters": anything, "start": anything, "spread": anything, "spinup": anything,
            "tangent_linear": st.sampled_from([None, rossler_tangent_linear, rossler, 3]),
            "adjoint": st.sampled_from([None, rossler_adjoint, lambda x: x, "a"]),
        },
    )
)  # fmt: skip
def test_any_settings_give_a_correct_model_or_one_sentence(changed):
    model = sentence = None
    try:
        model = made(**changed)
    except InputError as error:
        sentence = str(error)
    if model is None:
        assert "\n" not in sentence
        return
    assert derivatives_verdict(model).passed
    assert model.state_size == 3
    assert np.isfinite(model.parameters).all()


def test_a_model_can_be_made_where_gradients_are_off() -> None:
    with torch.no_grad():
        model = pyvda.torch_model(lambda x: -x, variables=("x",), time_step=0.1)
    found = get_engine("torch").adjoint(model, np.ones((1, 1)), np.ones((1, 1)), time_step=0.1)
    np.testing.assert_allclose(found, np.exp(-0.1), rtol=1e-6)


@pytest.mark.parametrize(
    ("made_of", "said"),
    [
        (torch.Tensor.to_sparse, "returns a sparse_coo cpu tensor"),
        (lambda x: x.to("meta"), "strided meta"),
    ],
)
def test_a_tensor_of_another_kind_is_refused(made_of, said) -> None:
    with pytest.raises(InputError, match=f"{said}.*make it of the same kind"):
        torch_model(lambda x: made_of(-x), variables=("a", "b"), time_step=1.0)


def test_a_parameter_may_have_a_letter_that_python_normalises() -> None:
    """The interpreter turns the argument ϕ (U+03D5) into φ (U+03C6), and leaves text as it is."""
    model = torch_model(
        lambda x, ϕ: -ϕ * x, variables=("a",), time_step=1.0, parameters={"\u03d5": 2.0}
    )
    assert (model.parameter_names, model.parameters) == (("\u03c6",), (2.0,))


@pytest.mark.parametrize("name", ["observation", "truth", "window_number", "analysis"])
def test_a_variable_with_the_name_of_another_of_the_analysis_is_refused(name) -> None:
    model = torch_model(torch.neg, variables=(name, "b"), time_step=1.0)
    ds = xr.Dataset({v: ("time", np.ones(4)) for v in (name, "b")}, {"time": np.arange(4.0)})
    with pytest.raises(InputError, match=f"'{name}' has the name .*and the variable of the model"):
        pyvda.assimilate(
            ds, model=model, method="strong-constraint", starts="mean", observation_variance=1.0,
            background=(np.zeros(2), np.eye(2)),
        )  # fmt: skip
