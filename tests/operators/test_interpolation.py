"""Interpolation between the model's coordinates, against scipy."""

import warnings

import numpy as np
import pytest
import xarray as xr
from gridded_models import advection, lorenz63, two_variables
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import RegularGridInterpolator

from pyvda.errors import InputError
from pyvda.io.tables.point_observations import rows_of
from pyvda.notices import Notice
from pyvda.operators import Interpolation

FIELD = advection()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), decreasing=st.booleans())
def test_rows_are_those_of_scipy(seed, decreasing):
    rng = np.random.default_rng(seed)
    y = np.cumsum(rng.uniform(0.1, 2, 4))
    x = np.cumsum(rng.uniform(0.1, 2, 5))
    at = {"y": rng.uniform(y[0], y[-1], 7), "x": rng.uniform(x[0], x[-1], 7)}
    at["y"][0], at["x"][1] = y[-1], x[0]  # the edges, too
    field = rng.normal(size=(4, 5))
    expected = RegularGridInterpolator((y, x), field)(np.stack([at["y"], at["x"]], -1))
    if decreasing:
        y, field = y[::-1], field[::-1]
    rows = Interpolation({"y": y, "x": x}).matrix(FIELD, at)[0]
    np.testing.assert_allclose(rows @ field.ravel(), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(rows.sum(1), 1.0)


def test_a_circle_is_interpolated_across_its_end():
    x = np.array([0.0, 90, 180, 270, 300])
    operator = Interpolation({"x": x}, periodic={"x": 360.0})
    rows = operator.matrix(
        FIELD, {"y": np.array([1.0, 0.5, 0.0]), "x": np.array([330.0, -10, 720])}
    )[0]
    field = np.arange(20.0).reshape(4, 5)
    expected = [(field[1, 4] + field[1, 0]) / 2]
    edge = (field[0:2, 4] * 10 + field[0:2, 0] * 50) / 60
    expected += [edge.mean(), field[0, 0]]
    np.testing.assert_allclose(rows @ field.ravel(), expected)


def test_each_datum_is_of_its_variable():
    columns = {"variable": np.array(["v", "u", "u"]), "x": np.array([np.nan, 2.5, 5.0])}
    rows = Interpolation().matrix(two_variables(), columns)[0]
    state = np.array([0.0, 1, 4, 9, 16, 25, 100])
    np.testing.assert_allclose(rows @ state, [100, 6.5, 25])


def test_a_table_becomes_point_observations():
    table = xr.Dataset(
        {"sst": ("obs", [1.0, 2.0, np.nan, 4.0], {"units": "K"})},
        {
            "time": ("obs", [2.0, 0.0, 1.0, 1.25]),
            "y": ("obs", [0.5, 1.0, 0.0, 3.0]),
            "x": ("obs", [0.0, 4.0, 0.0, 1.5]),
        },
    )
    ds = Interpolation(step=0.5).observations(table, FIELD)
    np.testing.assert_array_equal(ds.point_observation, [2.0, 4.0, 1.0])
    np.testing.assert_allclose(ds.time, [0, 0.5, 1, 1.5, 2])
    np.testing.assert_allclose(np.asarray(rows_of(ds))[2].nonzero()[0], [0, 5])
    assert ds.observation.attrs["units"] == "K"


def test_data_outside_the_chosen_times_are_said() -> None:
    where = {
        "time": ("obs", [0.0, 1.0, 2.0, 3.0, np.nan]),
        "y": ("obs", np.ones(5)), "x": ("obs", np.ones(5)),
    }  # fmt: skip
    table = xr.Dataset({"sst": ("obs", [1.0, 2.0, 3.0, 4.0, 5.0])}, where)
    for operator, said, kept in (
        (Interpolation(start=1.0, stop=2.0), "2 of 4 data of 'sst' lie before 1.0 or after 2.0", 2),
        (Interpolation(stop=2.0), "1 of 4 data of 'sst' lie after 2.0, outside", 3),
    ):
        with pytest.warns(Notice, match=said):
            assert operator.observations(table, FIELD).sizes["datum"] == kept
    windows = table.isel(obs=slice(0, 4)).assign(window=("obs", [0, 0, 1, 1]))
    windows["time"] = ("obs", [0.0, 1.0, 0.0, 3.0])
    with pytest.warns(Notice, match="1 of 4 data of 'sst' lie after 1.0, outside"):
        Interpolation(stop=1.0).observations(windows, FIELD)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Interpolation().observations(table, FIELD).sizes["datum"] == 4


@pytest.mark.parametrize(
    ("operator", "columns", "sentence"),
    [
        (Interpolation(), {"y": [1.0], "x": [4.1]}, "outside .* 'x' from 0 to 4, one at 4.1"),
        (Interpolation(), {"y": [np.nan], "x": [1.0]}, "outside the model's coordinate 'y'"),
        (Interpolation(), {"y": [1.0]}, "no column 'x'"),
        (Interpolation({"z": [1.0]}), {"y": [1.0], "x": [1.0]}, "no dimension 'z', it has y, x"),
        (Interpolation({"x": [1, 2, 2, 3, 4]}), {"y": [1.0], "x": [1.0]}, "5 increasing"),
        (Interpolation({"x": [1, 2, 3]}), {"y": [1.0], "x": [1.0]}, "5 increasing"),
        (Interpolation(periodic={"x": 4.0}), {"y": [1.0], "x": [1.0]}, "circumference of 'x'"),
        (Interpolation(), {"variable": ["q"], "y": [1.0], "x": [1.0]}, "'q' is not a variable"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(operator, columns, sentence):
    with pytest.raises(InputError, match=sentence) as refused:
        operator.matrix(FIELD, {n: np.array(v) for n, v in columns.items()})
    assert "\n" not in str(refused.value)


def test_the_variable_must_be_named_where_there_are_several():
    with pytest.raises(InputError, match="variables x, y, z; name the one of each datum"):
        Interpolation().matrix(lorenz63(), {"x": np.array([1.0])})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"coordinates": {"x": ["a", "b"]}}, "'x' is not a vector of real numbers"),
        ({"coordinates": {"x": [0, 1j]}}, "'x' is not a vector of real numbers"),
        ({"coordinates": [0, 1, 2]}, "coordinates is .* expected values by dimension"),
        ({"periodic": {"x": "a"}}, "circumference of 'x' is 'a', expected a number"),
        ({"periodic": {"x": np.inf}}, "circumference of 'x' is inf, expected a finite number"),
        ({"periodic": ["x"]}, "periodic is .* expected values by dimension"),
        ({"errors": 3}, "errors is of type int, expected CorrelatedErrors"),
    ],
)
def test_arguments_of_other_types_are_refused(given, said) -> None:
    with pytest.raises(InputError, match=said):
        Interpolation(**given)
