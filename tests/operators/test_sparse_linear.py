"""Sparse linear observation operators: every way to give rows makes the same matrix."""

import numpy as np
import pytest
import xarray as xr
from gridded_models import advection, lorenz63, two_variables
from scipy import sparse

import pyvda
from pyvda.errors import InputError
from pyvda.io.tables.point_observations import rows_of
from pyvda.operators import CorrelatedErrors, FunctionOperator, SparseLinear

H = np.array([[1.0, 0, 2], [0, -1, 0]])


def entries(**columns):
    return xr.Dataset({name: ("entry", values) for name, values in columns.items()})


@pytest.mark.parametrize(
    "rows",
    [
        H,
        sparse.coo_matrix(H),
        sparse.csc_array(H),
        entries(row=[0, 0, 1], component=[0, 2, 1], weight=[1.0, 2.0, -1.0]),
        entries(row=[0, 0, 1], variable=["x", "z", "y"], weight=[1.0, 2.0, -1.0]),
        entries(row=[0, 0, 1, 0], component=[0, 2, 1, 2], weight=[1.0, 1.5, -1.0, 0.5]),
    ],
)
def test_rows_in_every_form(rows):
    np.testing.assert_allclose(SparseLinear(rows).matrix(lorenz63()).toarray(), H)


def test_entries_by_variable_and_index():
    table = entries(row=[0, 1], variable=["u", "v"], x=[4, 0], weight=[2.0, 3.0])
    found = SparseLinear(table).matrix(two_variables()).toarray()
    np.testing.assert_allclose(found, [[0, 0, 0, 0, 2, 0, 0], [0, 0, 0, 0, 0, 0, 3]])
    table = entries(row=[0], y=[2], x=[3], weight=[1.0])
    assert SparseLinear(table).matrix(advection()).indices == [2 * 5 + 3]


@pytest.mark.parametrize("windows", [False, True])
def test_values_at_each_step_become_one_datum_each(windows):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, 5, 2))
    values[:, 1] = np.nan
    values[1, 2, 0] = np.nan
    dims = ("window", "time", "obs")
    ds = xr.Dataset({"y": (dims, values)}, {"time": 0.01 * np.arange(5)})
    ds["y"].attrs["ancillary_variables"] = "sd"
    ds["sd"] = ("obs", [0.5, 2.0], {"standard_name": "standard_error"})
    if not windows:
        ds = ds.isel(window=0)
    found = SparseLinear(H).observations(ds.transpose(..., "time"), lorenz63(), "y")
    whole = found if windows else found.expand_dims("window")
    assert whole.observation.shape == ((2 if windows else 1), 5, 3)
    seen = []
    for w in range(whole.sizes["window"]):
        one = whole.isel(window=w)
        there = np.isfinite(one.point_observation.values)
        expected = values[w][np.isfinite(values[w])]
        np.testing.assert_array_equal(one.point_observation.values[there], expected)
        k = [
            int(np.flatnonzero(np.equal(H, row).all(1))[0])
            for row in np.asarray(rows_of(one))[there]
        ]
        np.testing.assert_allclose(one.point_error.values[there], np.array([0.5, 2.0])[k])
        step = np.rint(one.point_time.values[there] / 0.01).astype(int)
        np.testing.assert_array_equal(values[w][step, k], expected)
        seen.append(len(expected))
    assert seen == ([8, 7] if windows else [8])


def test_a_table_has_a_row_for_each_value():
    table = xr.Dataset({"y": ("obs", [1.0, 2.0])}, {"time": ("obs", [0.05, 0.0])})
    found = SparseLinear(H).observations(table, lorenz63())
    np.testing.assert_array_equal(found.point_observation, [2.0, 1.0])
    np.testing.assert_array_equal(rows_of(found), H[::-1])
    np.testing.assert_allclose(found.time, 0.01 * np.arange(6))


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (np.ones((2, 4)), "4 columns, but the state of lorenz63 has 3"),
        (H * np.nan, "NaN or infinite"),
        (H + 1j, "its entries are complex"),
        (sparse.csr_matrix(H + 1j), "its entries are complex"),
        (np.ma.masked_array(H, H > 0), "entries are masked"),
        (H * [[1], [0]], "row 1 .* is zero"),
        ("H", "are not a matrix"),
        (entries(row=[0], component=[3], weight=[1.0]), "integers from 0 to 2"),
        (entries(row=[0.5], component=[0], weight=[1.0]), "'row' of the operator's entries"),
        (entries(row=[0], component=[0]), "no column 'weight'"),
        (entries(row=[0], variable=["q"], weight=[1.0]), "'q' is not a variable of lorenz63"),
    ],
)
def test_matrices_that_do_not_fit_are_refused_in_one_sentence(rows, sentence):
    with pytest.raises(InputError, match=sentence) as refused:
        SparseLinear(rows).matrix(lorenz63())
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("ds", "sentence"),
    [
        ({"y": (("time", "obs"), (5, 3))}, "3 values along 'obs', but the .* has 2 rows"),
        ({"y": (("time", "a", "obs"), (5, 1, 2))}, "one dimension of the observed values"),
        ({"y": ("obs", 3)}, "2 rows, but 'y' has 3 values"),
        ({"y": (("n", "obs"), (5, 2))}, "expected time, one dimension"),
    ],
)
def test_observations_that_do_not_fit_are_refused_in_one_sentence(ds, sentence):
    made = xr.Dataset({n: (dims, np.ones(shape)) for n, (dims, shape) in ds.items()})
    made = made.assign_coords(time=0.01 * np.arange(5)) if "time" in made.dims else made
    with pytest.raises(InputError, match=sentence) as refused:
        SparseLinear(H).observations(made, lorenz63())
    assert "\n" not in str(refused.value)


def test_correlated_errors_at_each_step_leave_gaps_out():
    """Data that are missing at a step are excluded from its covariance."""
    values = np.array([[1.0, 2.0, 3.0], [4.0, np.nan, 6.0]])
    ds = xr.Dataset(
        {"y": (("time", "obs"), values)}, {"time": [0.0, 0.01], "km": ("obs", [0.0, 1.0, 3.0])}
    )
    errors = CorrelatedErrors(2.0, ("km",))
    found = SparseLinear(np.eye(3), errors=errors).observations(ds, lorenz63())
    x = np.array([0.3, -0.2, 0.7])
    misfit = found.point_observation.values - rows_of(found).matrix() @ x
    assert "point_error" not in found  # nothing says how large the errors are
    expected = 0.0
    for row in values:
        there = np.isfinite(row)
        at = np.array([0.0, 1.0, 3.0])[there]
        covariance = np.exp(-np.abs(at[:, None] - at) / 2.0)
        d = row[there] - x[there]
        expected += d @ np.linalg.inv(covariance) @ d
    assert (misfit**2).sum() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("at_steps", [True, False])
def test_the_variance_that_a_file_states_is_that_of_correlated_errors(at_steps):
    """The same analysis as with the errors written out, and refused without either."""
    errors = CorrelatedErrors(2.0, ("km",))
    km, y = np.array([0.0, 1.0, 3.0]), np.arange(9.0).reshape(3, 3)
    time = 0.01 * np.arange(3)
    if at_steps:
        ds = xr.Dataset({"y": (("time", "obs"), y)}, {"time": time, "km": ("obs", km)})
        operator = SparseLinear(np.eye(3), errors=errors)
    else:
        ds = xr.Dataset(
            {"y": ("obs", y.ravel())},
            {"time": ("obs", np.repeat(time, 3)), "km": ("obs", np.tile(km, 3))},
        )
        operator = SparseLinear(np.tile(np.eye(3), (3, 1)), errors=errors)
    common = {"operator": operator, "model": lorenz63(), "method": "gauss-newton",
              "form": "statistical"}  # fmt: skip
    stated = pyvda.assimilate(ds.assign_attrs(observation_error_variance=0.01), **common)
    written = ds.assign(observation_error=xr.full_like(ds.y, 0.1))
    expected = pyvda.assimilate(written, **common)
    np.testing.assert_allclose(stated.analysis, expected.analysis, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(stated.state_stdev, expected.state_stdev, rtol=1e-6)
    optional = pyvda.assimilate(ds, observation_variance=0.01, **common)
    np.testing.assert_allclose(optional.state_stdev, expected.state_stdev, rtol=1e-6)
    with pytest.raises(InputError, match="how large the observation errors are"):
        pyvda.assimilate(ds, **common)
    for wrong in (np.nan, -0.1, 0.0):
        error = written.observation_error.copy()
        error[(0,) * error.ndim] = wrong
        with pytest.raises(InputError, match=r"error of a datum is .*, expected a positive"):
            pyvda.assimilate(written.assign(observation_error=error), **common)


@pytest.mark.parametrize(
    ("along", "said"),
    [
        ([0.0, np.nan], r"coordinate of the correlated errors \(x\) is NaN"),
        (["a", "b"], "along 'x', whose values have the type <U1"),
    ],
)
@pytest.mark.parametrize("operator", ["rows", "function"])
def test_coordinates_of_correlated_errors_that_are_no_numbers_are_refused(along, said, operator):
    ds = xr.Dataset(
        {"y": (("time", "k"), np.ones((5, 2))), "y_error": ("k", np.ones(2))},
        {"time": 0.01 * np.arange(5), "x": ("k", along)},
    )
    errors = CorrelatedErrors(1.0, ["x"])
    rows = SparseLinear(H, errors=errors)
    function = FunctionOperator(lambda x: x[..., :2], errors=errors)
    made = {
        "rows": lambda: rows.observations(ds, lorenz63(), "y"),
        "function": lambda: function.with_independent_errors(ds, "y"),
    }
    with pytest.raises(InputError, match=said):
        made[operator]()
