"""Observation operators in `pyvda.assimilate`: every method and engine takes the linear ones."""

import numpy as np
import pytest
import torch
import xarray as xr
from gridded_models import advection, two_variables
from scipy.interpolate import RegularGridInterpolator

import pyvda
from pyvda.climate.background import Background
from pyvda.errors import InputError
from pyvda.io.tables import tables
from pyvda.io.tables.point_observations import rows_of
from pyvda.operators import (
    CorrelatedErrors,
    FunctionOperator,
    Interpolation,
    JuliaFunction,
    Mask,
    SparseLinear,
)


@pytest.fixture(scope="module")
def truth():
    return pyvda.simulate("lorenz63", 2, 1)


@pytest.fixture(scope="module")
def observed(truth):
    return pyvda.observe(truth, "lorenz63", 2)


def as_columns(observed):
    """The observed component as a variable over time and one column."""
    column = observed.observation.isel(state=[0]).rename(state="column")
    return observed.drop_vars("observation").assign(y=column)


def test_the_mask_is_the_default(observed):
    found = pyvda.assimilate(observed, operator=Mask(), iterations=10)
    xr.testing.assert_equal(found, pyvda.assimilate(observed, iterations=10))


@pytest.mark.parametrize("engine", ["julia", "torch"])
def test_a_row_that_is_a_component_is_that_component_in_fsgd(observed, engine):
    operator = SparseLinear(np.eye(3)[:1])
    found = pyvda.assimilate(as_columns(observed), operator=operator, iterations=50, engine=engine)
    expected = pyvda.assimilate(observed, iterations=50, engine=engine)
    np.testing.assert_allclose(found.analysis, expected.analysis, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.cost, expected.cost, rtol=1e-9)


@pytest.mark.parametrize("method", ["gauss-newton", "strong-constraint", "ensemble-smoother"])
def test_a_row_that_is_a_component_is_that_component(observed, method):
    operator = SparseLinear(np.eye(3)[:1])
    found = pyvda.assimilate(as_columns(observed), operator=operator, method=method)
    expected = pyvda.assimilate(observed, method=method)
    tolerance = 1e-5 * float(abs(expected.analysis).max())
    np.testing.assert_allclose(found.analysis, expected.analysis, atol=tolerance)


def test_rows_of_every_component_bring_the_truth_back(truth):
    """A full rank H without noise leaves nothing unknown."""
    H = np.random.default_rng(0).normal(size=(3, 3))
    y = np.einsum("kd,wtd->wtk", H, truth.truth.values)
    ds = xr.Dataset({"y": (("window", "time", "k"), y)}, {"time": truth.time})
    options = {"form": "statistical", "observation_variance": 1e-6, "model_error": 1e-3}
    found = pyvda.assimilate(
        ds, model="lorenz63", operator=SparseLinear(H), method="gauss-newton", **options
    )
    np.testing.assert_allclose(found.analysis, truth.truth, atol=0.01)
    assert np.nanmax(np.abs(found.point_innovation)) < 0.01


def test_points_of_named_variables(truth):
    rng = np.random.default_rng(1)
    series = truth.truth.isel(window=0)
    step, component = rng.integers(0, 200, 300), rng.integers(0, 3, 300)
    table = xr.Dataset(
        {"value": ("obs", series.values[step, component])},
        {
            "time": ("obs", series.time.values[step]),
            "variable": ("obs", np.array(["x", "y", "z"])[component]),
        },
    )
    operator = Interpolation(start=0.0, stop=1.99)
    options = {"form": "statistical", "observation_variance": 1e-4, "model_error": 1e-2}
    found = pyvda.assimilate(
        table, model="lorenz63", operator=operator, method="gauss-newton", **options
    )
    np.testing.assert_allclose(found.analysis, series, atol=0.1)


def test_correlated_errors_have_less_weight(truth):
    """Ten copies of one datum with the same error weigh a tenth each."""
    x = truth.truth.isel(window=0).values[::8, 0]
    time = truth.time.values[::8]

    def table(copies):
        return xr.Dataset(
            {
                "y": ("obs", np.repeat(x + 1.0, copies)),
                "observation_error": ("obs", np.ones(len(x) * copies)),
            },
            {
                "time": ("obs", np.repeat(time, copies)),
                "km": ("obs", np.tile(np.arange(copies) * 1e-6, len(x))),
            },
        )

    def rows(copies):
        return np.tile(np.eye(3)[:1], (len(x) * copies, 1))

    common = {
        "model": "lorenz63",
        "method": "gauss-newton",
        "form": "statistical",
        "model_error": 0.1,
    }
    alone = pyvda.assimilate(table(1), operator=SparseLinear(rows(1)), **common)
    errors = CorrelatedErrors(1.0, "km")
    same = SparseLinear(rows(10), errors=errors)
    correlated = pyvda.assimilate(table(10), operator=same, **common)
    independent = pyvda.assimilate(table(10), operator=SparseLinear(rows(10)), **common)
    np.testing.assert_allclose(correlated.analysis, alone.analysis, atol=1e-3)
    np.testing.assert_allclose(correlated.state_stdev, alone.state_stdev, rtol=1e-3)
    first = {"time": 0, "state": 0}
    assert float(independent.state_stdev[first]) < 0.5 * float(alone.state_stdev[first])


@pytest.mark.parametrize("engine", ["julia", "torch"])
def test_points_at_steps_are_the_components_there_in_fsgd(observed, engine):
    series = observed.isel(window=0, drop=True)
    x = series.observation.isel(state=0)
    seen = np.isfinite(x.values)
    columns = {"time": x.time.values[seen], "variable": np.full(seen.sum(), "x")}
    table = xr.Dataset(
        {"value": ("obs", x.values[seen])}, {n: ("obs", c) for n, c in columns.items()}
    )
    operator = Interpolation(start=0.0, stop=float(x.time[-1]))
    options = {"model": "lorenz63", "iterations": 50, "engine": engine}
    found = pyvda.assimilate(table, operator=operator, **options)
    expected = pyvda.assimilate(series, **options)
    np.testing.assert_allclose(found.analysis, expected.analysis, rtol=1e-9, atol=1e-9)


def test_interpolation_with_correlated_errors_is_dense_least_squares():
    size, steps, variance, q = 6, 4, 0.04, 0.1
    rng = np.random.default_rng(4)
    model = pyvda.torch_model(
        step=lambda u: 0.9 * torch.roll(u, 1, -1), variables=("u",), dimensions={"x": size},
        time_step=1.0,
    )  # fmt: skip
    time, at = np.repeat(np.arange(steps), 5), rng.uniform(0, size - 1, 5 * steps)
    value, mean = rng.normal(size=time.size), rng.normal(size=size)
    table = xr.Dataset(
        {"v": ("obs", value)}, {"time": ("obs", time.astype(float)), "x": ("obs", at)}
    )
    operator = Interpolation(start=0.0, stop=steps - 1.0, errors=CorrelatedErrors(2.0, "x"))
    found = pyvda.assimilate(
        table, model=model, operator=operator, method="gauss-newton", form="statistical",
        observation_variance=variance, model_error=q, engine="torch",
        background=Background.full(mean, np.eye(size)),
    )  # fmt: skip

    H = np.zeros((time.size, steps, size))
    row, left = np.arange(time.size), at.astype(int)
    H[row, time, left], H[row, time, left + 1] = 1 - (at - left), at - left
    same_time = time[:, None] == time
    R = variance * same_time * np.exp(-np.abs(at[:, None] - at) / 2.0)
    D = np.eye(steps * size)
    D -= np.kron(np.eye(steps, k=-1), 0.9 * np.roll(np.eye(size), 1, axis=0))
    prior = np.repeat(1 / np.array([1.0, q, q, q]), size)
    forced = np.r_[mean, np.zeros((steps - 1) * size)]
    H = H.reshape(time.size, -1)
    precision = D.T @ (prior[:, None] * D) + H.T @ np.linalg.solve(R, H)
    right = D.T @ (prior * forced) + H.T @ np.linalg.solve(R, value)
    expected = np.linalg.solve(precision, right).reshape(steps, size)
    np.testing.assert_allclose(found.analysis, expected, atol=1e-9)


@pytest.mark.parametrize("method", ["posterior-mean", "annealed"])
def test_methods_without_point_observations_refuse_them(observed, method):
    with pytest.raises(InputError, match="choose fsgd"):
        pyvda.assimilate(as_columns(observed), operator=SparseLinear(np.eye(3)[:1]), method=method)


def test_anything_but_an_operator_is_refused(observed):
    with pytest.raises(InputError, match="operator"):
        pyvda.assimilate(observed, operator=np.eye(3))


@pytest.fixture(scope="module")
def field():
    """A field that moves along x on a circle, (12, y, x)."""
    start = np.random.default_rng(0).normal(size=(4, 5))
    return np.stack([np.roll(start, k, -1) for k in range(12)])


FIELD_METHODS = [
    ("gauss-newton", {}),
    ("strong-constraint", {"observation_variance": 1e-4}),
    ("ensemble-smoother", {"observation_variance": 1e-4, "members": 50}),
]


@pytest.mark.parametrize(("method", "options"), FIELD_METHODS)
def test_a_model_of_fields_takes_a_variable_with_its_dimensions(field, method, options):
    rng = np.random.default_rng(1)
    y = np.where(rng.random(field.shape) < 0.4, field + 0.01 * rng.normal(size=field.shape), np.nan)
    ds = xr.Dataset(
        {"u": (("x", "time", "y"), y.transpose(2, 0, 1), {"units": "m"})},
        {"time": np.arange(12.0), "x": ("x", 10.0 * np.arange(5), {"units": "km"})},
    )
    found = pyvda.assimilate(ds, model=advection(), method=method, **options)
    assert found.u.dims == ("x", "time", "y")
    assert found.u.attrs["units"] == "m"
    xr.testing.assert_identical(found.x, ds.x)
    np.testing.assert_allclose(found.u.transpose("time", "y", "x"), field, atol=0.05)
    np.testing.assert_array_equal(found.u_flag == 1, np.isfinite(ds.u))


def test_points_in_a_field_bring_it_back_on_the_models_coordinates(field):
    rng = np.random.default_rng(2)
    x = 10.0 * np.arange(5)
    time, at_y, at_x = rng.integers(0, 12, 300), rng.uniform(0, 3, 300), rng.uniform(0, 40, 300)
    values = [
        float(RegularGridInterpolator((np.arange(4.0), x), field[t])((b, a)))
        for t, b, a in zip(time, at_y, at_x, strict=True)
    ]
    columns = {"time": time.astype(float), "y": at_y, "x": at_x}
    table = xr.Dataset({"v": ("obs", values)}, {n: ("obs", c) for n, c in columns.items()})
    found = pyvda.assimilate(
        table, model=advection(), method="strong-constraint", observation_variance=1e-4,
        operator=Interpolation({"x": x}, start=0.0, stop=11.0),
    )  # fmt: skip
    np.testing.assert_allclose(found.u.transpose("time", "y", "x"), field, atol=1e-3)
    np.testing.assert_array_equal(found.x, x)


def moving(size):
    """A field on a circle that moves by a point at each step."""
    return pyvda.torch_model(
        step=lambda u: 0.9 * torch.roll(u, 1, -1), variables=("u",), dimensions={"x": size},
        time_step=1.0,
    )  # fmt: skip


def test_a_mask_with_correlated_errors_is_dense_least_squares():
    size, steps, q = 6, 4, 0.1
    rng = np.random.default_rng(4)
    value = rng.normal(size=(steps, size))
    value[1, 2:4] = value[2] = np.nan
    sigma, at = rng.uniform(0.1, 0.4, value.shape), np.cumsum(rng.uniform(0.5, 1, size))
    ds = xr.Dataset(
        {"u": (("x", "time"), value.T), "u_error": (("x", "time"), sigma.T)},
        {"time": np.arange(float(steps)), "x": at},
    )
    mean = rng.normal(size=size)
    found = pyvda.assimilate(
        ds, model=moving(size), operator=Mask(CorrelatedErrors(2.0, "x")), method="gauss-newton",
        form="statistical", model_error=q, engine="torch",
        background=Background.full(mean, np.eye(size)),
    )  # fmt: skip

    there = np.isfinite(value).ravel()
    time, place = np.repeat(np.arange(steps), size), np.tile(at, steps)
    R = (time[:, None] == time) * np.exp(-np.abs(place[:, None] - place) / 2.0)
    R = (R * np.outer(sigma.ravel(), sigma.ravel()))[np.ix_(there, there)]
    H = np.eye(steps * size)[there]
    D = np.eye(steps * size)
    D -= np.kron(np.eye(steps, k=-1), 0.9 * np.roll(np.eye(size), 1, axis=0))
    prior = np.repeat(1 / np.array([1.0, q, q, q]), size)
    forced = np.r_[mean, np.zeros((steps - 1) * size)]
    precision = D.T @ (prior[:, None] * D) + H.T @ np.linalg.solve(R, H)
    right = D.T @ (prior * forced) + H.T @ np.linalg.solve(R, value.ravel()[there])
    expected = np.linalg.solve(precision, right).reshape(steps, size)
    np.testing.assert_allclose(found.u.transpose("time", "x"), expected, atol=1e-9)
    np.testing.assert_array_equal(found.x, at)
    stdev = np.sqrt(np.diag(np.linalg.inv(precision))).reshape(steps, size)
    np.testing.assert_allclose(found.u_stdev.transpose("time", "x"), stdev, rtol=1e-6)


def test_errors_of_different_variables_are_independent():
    """Windows with gaps of their own; the variables have 5 and 2 points along one dimension."""
    model = two_variables()
    (u, v), size = model.state_space.variables, model.state_size
    assert (u.shape, v.shape) == ((5,), (2,)) or size == 7
    rng = np.random.default_rng(5)
    y = rng.normal(size=(2, 3, size))
    y[0, 1, 2] = y[1, 0] = np.nan
    ds = xr.Dataset({"observation": (("window", "time", "state"), y)}, {"time": np.arange(3.0)})
    positions = np.concatenate([np.arange(float(u.size)), 0.3 * np.arange(float(v.size))])
    ds = ds.assign_coords(km=("state", positions))
    found = tables.of_components(ds, model, CorrelatedErrors(2.0, "km"))
    assert found.observation.isnull().all()
    x = rng.normal(size=size)
    variable = np.repeat([0, 1], [u.size, v.size])
    R = np.exp(-np.abs(positions[:, None] - positions) / 2) * (variable[:, None] == variable)
    for w in range(2):
        one = found.isel(window=w)
        misfit = one.point_observation.values - rows_of(one).matrix() @ x
        expected = 0.0
        for row in y[w]:
            there = np.isfinite(row)
            d = row[there] - x[there]
            expected += d @ np.linalg.solve(R[np.ix_(there, there)], d)
        assert np.nansum(misfit**2) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("stated", [True, False])
def test_a_function_with_correlated_errors_is_that_of_a_matrix(stated):
    rng = np.random.default_rng(6)
    H, sigma = rng.normal(size=(4, 6)), np.array([0.2, 0.5, 0.1, 0.3])
    y = rng.normal(size=(2, 5, 4))
    y[:, 2] = np.nan
    ds = xr.Dataset({"y": (("window", "time", "k"), y)}, {"time": np.arange(5.0)})
    ds = ds.assign_coords(km=("k", [0.0, 1.0, 1.5, 4.0]))
    given = {"observation_variance": 0.04}
    if stated:
        ds, given = ds.assign(y_error=("k", sigma)), {}
    errors = CorrelatedErrors(1.5, "km")
    common = {
        "model": moving(6), "variable": "y", "method": "gauss-newton", "form": "statistical",
        "model_error": 0.1, "engine": "torch",
        "background": Background.full(np.zeros(6), np.eye(6)), **given,
    }  # fmt: skip
    expected = pyvda.assimilate(ds, operator=SparseLinear(H, errors=errors), **common)
    linear = FunctionOperator(lambda x: x @ torch.as_tensor(H).T, errors=errors)
    found = pyvda.assimilate(ds, operator=linear, **common)
    np.testing.assert_allclose(found.analysis, expected.analysis, atol=1e-7)
    np.testing.assert_allclose(found.state_stdev, expected.state_stdev, rtol=1e-6)
    alone = pyvda.assimilate(ds, operator=FunctionOperator(linear.function), **common)
    assert float(abs(alone.analysis - found.analysis).max()) > 0.01


ADJOINT = "observe_adjoint((x, y, z), (u, v)) = (u, v, z * v / 25)\n"


@pytest.mark.julia
@pytest.mark.parametrize(
    ("method", "derivative"),
    [
        ("fsgd", ""),
        ("fsgd", ADJOINT),
        ("gauss-newton", ""),
        ("strong-constraint", ADJOINT),
        ("ensemble-smoother", ""),
    ],
)
def test_a_function_in_julia_with_correlated_errors(truth, tmp_path, method, derivative):
    path = tmp_path / "observe.jl"
    path.write_text("observe((x, y, z)) = (x, y + z^2 / 50)\n" + derivative)
    x, y, z = np.moveaxis(truth.truth.values[:, 40:60], -1, 0)
    data = np.stack((x, y + z**2 / 50), -1)
    data += np.random.default_rng(3).normal(size=data.shape) * [1.0, 0.5]
    data[:, 1::2] = np.nan
    ds = xr.Dataset(
        {"y": (("window", "time", "k"), data), "y_error": ("k", [1.0, 0.5])},
        {"time": 0.01 * np.arange(20), "km": ("k", [0.0, 1.0])},
    )
    errors = CorrelatedErrors(2.0, "km")
    common = {"model": "lorenz63", "variable": "y", "method": method}
    common |= {"iterations": 30} if method == "fsgd" else {}
    in_torch = FunctionOperator(
        lambda s: torch.stack((s[..., 0], s[..., 1] + s[..., 2] ** 2 / 50), -1), errors=errors
    )
    found = pyvda.assimilate(ds, operator=JuliaFunction(path, errors=errors), **common)
    other = pyvda.assimilate(ds, operator=in_torch, engine="torch", **common)
    tolerance = 1e-4 if method == "strong-constraint" else 1e-6  # of where the engines stop
    np.testing.assert_allclose(found.analysis, other.analysis, atol=tolerance)
    alone = pyvda.assimilate(ds, operator=JuliaFunction(path), **common)
    assert float(abs(alone.analysis - found.analysis).max()) > 1e-4


def channels(**changed):
    y = np.zeros((5, 2))
    y[1, 0] = changed.get("gap", 0.0)
    error = np.full(y.shape, 0.5)
    error[3, 1] = changed.get("error", 0.5)
    data = {"y": (("time", "k"), y), "y_error": (("time", "k"), error)}
    return xr.Dataset(data, {"time": np.arange(5.0), "km": ("k", [0.0, 1.0])})


@pytest.mark.parametrize(
    ("ds", "along", "sentence"),
    [
        (channels(gap=np.nan), "km", "need all channels at a time, or none"),
        (channels(error=0.7), "km", "change with time"),
        (channels(), "lon", "no such coordinate over 'k'"),
    ],
)
def test_correlated_errors_of_a_function_that_cannot_be_are_refused(ds, along, sentence):
    operator = FunctionOperator(lambda x: x[..., :2], errors=CorrelatedErrors(1.0, along))
    with pytest.raises(InputError, match=sentence) as refused:
        pyvda.assimilate(ds, model=moving(6), operator=operator, engine="torch")
    assert "\n" not in str(refused.value)


def test_correlated_errors_of_a_mask_that_cannot_be_are_refused(observed):
    with pytest.raises(InputError, match="neither a dimension of each variable of lorenz63 nor"):
        pyvda.assimilate(observed, operator=Mask(CorrelatedErrors(1.0, "km")))
    table = xr.Dataset(
        {"value": ("obs", [1.0, 2.0]), "component": ("obs", [0, 1])},
        {"time": ("obs", [0.0, 0.01])},
    )
    with pytest.raises(InputError, match="the observations are a table"):
        pyvda.assimilate(table, model="lorenz63", operator=Mask(CorrelatedErrors(1.0, "km")))
    at = observed.assign_coords(km=("state", [0.0, 1.0, 2.0]))
    with pytest.raises(InputError, match="single components"):
        pyvda.assimilate(at, operator=Mask(CorrelatedErrors(1.0, "km")), method="annealed")


def test_errors_of_each_datum_of_a_mask_and_of_a_function_are_its_own():
    """A datum with a huge error is as good as none; of a function see also its columns."""
    rng = np.random.default_rng(7)
    y = rng.normal(size=(5, 6))
    error = np.full(y.shape, 0.3)
    error[2, 1] = 1e4
    gap = np.where(error > 1, np.nan, y)
    common = {
        "model": moving(6), "method": "gauss-newton", "form": "statistical", "model_error": 0.1,
        "engine": "torch", "background": Background.full(np.zeros(6), np.eye(6)),
    }  # fmt: skip
    for operator, dim in ((Mask(), "x"), (FunctionOperator(lambda x: x), "k")):
        data = [
            xr.Dataset(
                {"u": (("time", dim), values), "u_error": (("time", dim), error)},
                {"time": np.arange(5.0)},
            )
            for values in (y, gap)
        ]
        found, expected = (pyvda.assimilate(ds, operator=operator, **common) for ds in data)
        name = "u" if "u" in found else "analysis"
        np.testing.assert_allclose(found[name], expected[name], atol=1e-6)
