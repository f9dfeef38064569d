"""Tables: components by number, by name, by column; errors; what a table must say."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from gridded_models import advection
from scipy.interpolate import RegularGridInterpolator

import pyvda
from pyvda.errors import InputError
from pyvda.io.sources.open import open_observations
from pyvda.io.sources.sources import as_dataset
from pyvda.io.tables.components import Components, in_model_order
from pyvda.io.tables.point_observations import rows_of
from pyvda.io.tables.rows import of_table
from pyvda.notices import Notice

RNG = np.random.default_rng(8)
TIME = np.sort(RNG.uniform(0.0, 0.3, 20))
COLUMNS = pd.DataFrame(RNG.normal(size=(20, 3)), index=pd.Index(TIME, name="time")).set_axis(
    list("xyz"), axis=1
)
LONG = COLUMNS.stack().rename("value").rename_axis(["time", "component"]).reset_index()
MODEL = pyvda.get_model("lorenz63")


def sorted_data(ds: xr.Dataset) -> np.ndarray:
    """Return time, component and value of each datum of point observations, ordered."""
    component = np.asarray(rows_of(ds)).argmax(-1)
    data = np.stack([ds.point_time.values, component, ds.point_observation.values], -1)
    return data[np.lexsort(data.T)]


EXPECTED = sorted_data(
    pyvda.on_grid(LONG.replace({"component": {"x": 0, "y": 1, "z": 2}}), 0.01, 3)
)


@pytest.mark.parametrize("state", [3, "lorenz63", MODEL, ("x", "y", "z")])
@pytest.mark.parametrize(
    "table",
    [
        COLUMNS, COLUMNS.to_xarray(), LONG, LONG.to_xarray(), LONG.rename(columns={"value": "u"}),
        COLUMNS.reset_index().melt("time"), LONG.set_index(["time", "component"]).to_xarray(),
        LONG.astype({"component": "category"}), LONG.replace({"component": dict(x=0., y=1., z=2.)}),
        LONG.replace({"component": dict(x="0", y="1", z="2")}),
        COLUMNS.reset_index().rename(columns={"time": "date"}).to_xarray(),
    ],
)  # fmt: skip
def test_every_form_of_a_table_has_the_same_data(table, state):
    np.testing.assert_allclose(sorted_data(pyvda.on_grid(table, 0.01, state)), EXPECTED)


def test_columns_in_another_order():
    table = COLUMNS[["z", "x", "y"]]
    by_name = pyvda.on_grid(table, 0.01, MODEL)
    np.testing.assert_allclose(sorted_data(by_name), EXPECTED)
    # With their number alone the order is the table's, and the names say so to the model.
    counted = pyvda.on_grid(table, 0.01, 3)
    assert list(counted.state.values) == ["z", "x", "y"]
    how = {"model": MODEL, "method": "gauss-newton", "iterations": 1, "engine": "torch"}
    found = [pyvda.assimilate(ds, **how)["analysis"].values for ds in (by_name, counted)]
    np.testing.assert_allclose(found[0], found[1])


def test_listed_columns_are_taken_in_the_order_of_the_components():
    table = COLUMNS.set_axis(["a", "b", "c"], axis=1)
    for variable in ("a,b,c", ("a", "b", "c")):
        found = pyvda.on_grid(table, 0.01, MODEL, variable=variable)
        np.testing.assert_allclose(sorted_data(found), EXPECTED)
    with pytest.raises(InputError, match=r"variable='a,b,c'"):
        pyvda.on_grid(table, 0.01, MODEL)
    with pytest.raises(InputError, match="2 columns are chosen"):
        pyvda.on_grid(table, 0.01, MODEL, variable="a,b")


@pytest.mark.parametrize("called", ["observation_error", "error", "sigma", "value_std"])
def test_errors_of_rows(called):
    error = RNG.uniform(1, 2, len(LONG))
    found = pyvda.on_grid(LONG.assign(**{called: error}), 0.01, MODEL)
    order = np.argsort(LONG["time"], kind="stable")
    np.testing.assert_array_equal(found.point_error, error[order])


@pytest.mark.parametrize("called", ["value_variance", "value_error_variance", "error_variance"])
def test_variances_of_rows_become_standard_deviations(called):
    error = RNG.uniform(1, 2, len(LONG))
    found = pyvda.on_grid(LONG.assign(**{called: error**2}), 0.01, MODEL)
    order = np.argsort(LONG.time, kind="stable")
    np.testing.assert_allclose(found.point_error, error[order])


def test_variances_of_columns_become_standard_deviations():
    each = {f"{name}_error_variance": 4.0 for name in "xyz"}
    assert (pyvda.on_grid(COLUMNS.assign(**each), 0.01, MODEL).point_error == 2.0).all()


def test_errors_of_columns():
    each = {f"{name}_error": 0.5 + n for n, name in enumerate("xyz")}
    found = pyvda.on_grid(COLUMNS.assign(**each), 0.01, MODEL)
    np.testing.assert_array_equal(found.point_error, 0.5 + np.asarray(rows_of(found)).argmax(-1))
    with pytest.raises(InputError, match="but z not; give all of them errors"):
        pyvda.on_grid(COLUMNS.assign(**each).drop(columns="z_error"), 0.01, MODEL)
    assert (pyvda.on_grid(COLUMNS.assign(error=2.0), 0.01, MODEL).point_error == 2.0).all()
    unobserved = COLUMNS.assign(**each).drop(columns="z_error").assign(z=np.nan)
    found = pyvda.on_grid(unobserved, 0.01, MODEL)
    np.testing.assert_array_equal(found.point_error, 0.5 + np.asarray(rows_of(found)).argmax(-1))


def test_columns_called_like_the_models_variables_come_back_as_these():
    """Numbered components, and columns in the user's order, stay a vector."""
    how = {"model": MODEL, "grid_step": 0.01, "method": "strong-constraint", "iterations": 1,
           "engine": "torch", "observation_variance": 1.0}  # fmt: skip
    named = pyvda.assimilate(COLUMNS, **how)
    vector = pyvda.assimilate(LONG, **how)
    for k, name in enumerate(MODEL.state_space.names):
        np.testing.assert_allclose(named[name], vector["analysis"].isel(state=k), rtol=1e-9)
    assert named["x"].dims == ("time",)
    assert "analysis" not in named


def test_gaps_are_left_out():
    table = COLUMNS.copy()
    table.iloc[3, 1] = np.nan
    assert pyvda.on_grid(table, 0.01, MODEL).sizes["datum"] == 59
    table = LONG.copy()
    table.loc[4, "time"] = np.nan
    assert pyvda.on_grid(table, 0.01, MODEL).sizes["datum"] == 59


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
@pytest.mark.parametrize("table", [LONG, COLUMNS.reset_index(), COLUMNS.to_xarray()])
def test_an_infinite_datum_is_refused_not_dropped(table, bad):
    name = "value" if "value" in table else "y"
    table = table.assign(**{name: table[name].where(np.arange(len(table[name])) != 3, bad)})
    with pytest.raises(InputError, match=r"has 1 infinite value; mark missing data by NaN"):
        pyvda.on_grid(table, 0.01, MODEL)


def test_a_regular_table_is_an_array_without_a_step():
    regular = COLUMNS.set_index(pd.Index(0.02 * np.arange(20), name="time"))
    table = regular.reset_index().melt("time", var_name="component")
    found = open_observations(table.sample(frac=0.7, random_state=3), model=MODEL)
    assert found.observation.dims == ("time", "state")
    there = found.observation.notnull()
    assert int(there.sum()) == 42
    expected = xr.DataArray(regular.to_numpy(), dims=("time", "state"))
    expected = expected.assign_coords(time=regular.index).sel(time=found.time, method="nearest")
    np.testing.assert_array_equal(found.observation, expected.where(there.values))
    with pytest.raises(InputError, match=r"not equally spaced.*grid_step \(--grid-step\), such as"):
        open_observations(LONG, model=MODEL)
    assert open_observations(LONG, model=MODEL, grid_step="0.01").sizes["datum"] == 60


def test_windows_of_a_table():
    table = pd.concat([LONG.assign(window=k, value=LONG["value"] + k) for k in (4, 2)])
    found = open_observations(table.iloc[:-5], model=MODEL, grid_step=0.05)
    steps = found.sizes["time"]
    assert found.sizes == {"window": 2, "time": steps, "state": 3, "datum": 60, "term": 1}
    assert list(found.window.values) == [2, 4]
    assert int(found.point_observation.isel(window=0).notnull().sum()) == 55
    one = pyvda.assimilate(
        LONG.assign(value=LONG["value"] + 4), model=MODEL, grid_step=0.05, method="gauss-newton",
        iterations=2, engine="torch",
    )  # fmt: skip
    both = pyvda.assimilate(
        table, model=MODEL, grid_step=0.05, method="gauss-newton", iterations=2, engine="torch"
    )
    np.testing.assert_allclose(both["analysis"].sel(window=4), one["analysis"], rtol=1e-6)


def test_names_of_components_along_a_dimension():
    names = [f"x[{n}]" for n in range(40)]
    values = xr.DataArray(RNG.normal(size=(5, 40)), dims=("time", "site"))
    values = values.assign_coords(time=0.05 * np.arange(5), site=names)
    table = values.to_series().rename("value").reset_index().rename(columns={"site": "component"})
    found = open_observations(
        table.sample(frac=1, random_state=2), model=pyvda.get_model("lorenz96")
    )
    np.testing.assert_array_equal(found.observation, values)


def test_dates_of_another_calendar():
    dates = xr.date_range("2001-02-27", periods=5, freq="D", calendar="360_day", use_cftime=True)
    values = RNG.normal(size=(5, 3))
    table = pd.DataFrame(values, index=dates, columns=list("xyz")).rename_axis("time")
    long = table.reset_index().melt("time")
    np.testing.assert_array_equal(open_observations(long, model=MODEL).observation, values)
    fine = open_observations(long, model=MODEL, grid_step="12h")
    np.testing.assert_array_equal(fine.observation[::2], values)
    apart = open_observations(long, model=MODEL, grid_step="16h")
    assert apart.sizes["datum"] == 15


def test_a_variable_called_t_beside_times_is_a_value():
    table = pd.DataFrame({"time": [0.0, 0.01], "t": [280.0, 281.0], "component": ["x", "x"]})
    np.testing.assert_array_equal(pyvda.on_grid(table, 0.01, MODEL).point_observation, [280, 281])


def test_names_beside_the_dimension_of_components():
    values = xr.DataArray(RNG.normal(size=(4, 3)), dims=("time", "site"))
    named = values.assign_coords(component=("site", ["z", "y", "x"]), time=0.01 * np.arange(4))
    ds = in_model_order(open_observations(named, model=MODEL), MODEL)
    np.testing.assert_array_equal(ds.observation, values[:, ::-1])
    assert list(ds.state.values) == ["x", "y", "z"]


def test_one_component_without_a_name_is_read_as_the_message_says():
    series = xr.DataArray(RNG.normal(size=4), {"time": 0.01 * np.arange(4)}, ("time",))
    with pytest.raises(InputError, match="rename it to the component of the state"):
        open_observations(series, model=MODEL)
    found = open_observations(series.rename("z"), model=MODEL)
    np.testing.assert_array_equal(found.observation[:, 2], series)
    assert found.observation[:, :2].isnull().all()


def test_uneven_times_are_assimilated_as_the_message_says():
    array = xr.DataArray(COLUMNS.to_numpy(), {"time": TIME}, ("time", "state"), "observation")
    for given in (COLUMNS, array):
        with pytest.raises(InputError, match=r"not uniform.*with grid_step \(--grid-step\)"):
            open_observations(given, model=MODEL)
        found = open_observations(given, model=MODEL, grid_step=0.01)
        np.testing.assert_allclose(sorted_data(found), EXPECTED)


def test_in_model_order_leaves_labels_of_others_alone():
    ds = xr.Dataset({"observation": (("time", "state"), RNG.normal(size=(4, 3)))})
    for labels in (["north", "south", "x"], [0, 1, 2], ["x", "y", "y"]):
        labelled = ds.assign_coords(state=labels)
        xr.testing.assert_identical(in_model_order(labelled, MODEL), labelled)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (LONG.replace({"component": {"x": "T"}}), "'T', but the components are x, y, z"),
        (LONG.assign(component=3), "integers from 0 to 2, found 3 to 3"),
        (LONG.drop(columns="component"), "does not say what was observed"),
        (LONG.drop(columns="time"), "needs 'time'"),
        (LONG.assign(other=1.0).rename(columns={"value": "u"}), "found u, other; choose one"),
    ],
)
def test_what_a_table_must_say(table, message):
    with pytest.raises(InputError, match=message):
        pyvda.on_grid(table, 0.01, MODEL)


@pytest.mark.parametrize("state", [0, True, -1, "nothing", [], ["a", "a"], None, 2.5])
def test_what_a_state_may_be(state):
    with pytest.raises(InputError):
        Components.of(state)


def test_fewer_names_than_components_need_the_model():
    table = LONG[LONG["component"] != "y"]
    with pytest.raises(InputError, match=r"on_grid\(table, step, model\)"):
        pyvda.on_grid(table, 0.01, 3)
    assert pyvda.on_grid(table, 0.01, MODEL).sizes["datum"] == 40


def test_several_fields_at_points():
    model = pyvda.torch_model(
        lambda x: -x, variables=["u", "v"], dimensions={"i": 4}, name="decay", time_step=0.1
    )
    table = pd.DataFrame({"time": [0.0, 0.1], "i": [0.5, 2.0], "u": [1.0, 2.0], "v": [3.0, np.nan]})
    found = of_table(as_dataset(table), Components.of(model))
    value = found.table[found.name].values
    np.testing.assert_array_equal(value, [1, 2, 3])
    expected = [[0.5, 0.5, 0, 0], [0, 0, 1, 0]]
    np.testing.assert_array_equal(found.operator.toarray()[:2, :4], expected)
    np.testing.assert_array_equal(found.operator.toarray()[2, 4:], [0.5, 0.5, 0, 0])


@pytest.mark.parametrize("labelled", [False, True])
def test_the_remedies_for_data_at_points_work(labelled):
    """An operator with a model of the field, or a column that says which component it is."""
    at = {"y": np.array([0.5, 1.5, 2.0]), "x": np.array([1.0, 3.5, 0.25])}
    along = {"time": ("obs", [0.0, 1.0, 2.0]), "lat": ("obs", 10 + 2 * at["y"]),
             "lon": ("obs", 5 * at["x"])}  # fmt: skip
    for name, axis in (("lat", "north"), ("lon", "east")):
        along[name] = (*along[name], {"units": f"degrees_{axis}"})
    values = [1.0, 2.0, 3.0]
    ds = xr.Dataset({"sst": ("obs", values)}, along, {"observation_error_variance": 0.5})
    if labelled:
        with pytest.raises(InputError, match=r"'component'"):
            pyvda.assimilate(ds, model="lorenz63", iterations=1)
        found = pyvda.on_grid(ds.assign(component=("obs", [0, 1, 2])), 1.0, 3)
        assert sorted(np.asarray(rows_of(found)).argmax(-1).ravel()) == [0, 1, 2]
        return
    model = advection()
    named = r"operator=pyvda\.operators\.Interpolation\(coordinates={...}\)"
    with pytest.raises(InputError, match=named):
        pyvda.assimilate(ds, model=model, iterations=1)
    operator = pyvda.operators.Interpolation(
        coordinates={"y": 10 + 2.0 * np.arange(4), "x": 5.0 * np.arange(5)}
    )
    analysis = pyvda.assimilate(
        ds, model=model, operator=operator, method="gauss-newton", form="weighted",
        climatology=(np.zeros(20), np.eye(20)), engine="torch", iterations=3,
    )  # fmt: skip
    # Each datum minus the analysis there is its innovation.
    for k in range(3):
        field = RegularGridInterpolator((np.arange(4), np.arange(5)), analysis["u"].values[k])
        expected = values[k] - field([at["y"][k], at["x"][k]])
        np.testing.assert_allclose(
            analysis["point_innovation"].values.ravel()[k], expected[0], atol=1e-10
        )


@pytest.mark.parametrize("name", ["value_se", "value_variance", "error", "stdev", "error_variance"])
def test_every_name_of_errors_is_one_in_a_table(name):
    table = LONG.assign(**{name: 0.25})
    found = pyvda.on_grid(table, 0.01, MODEL).point_error.values
    deviation = 0.5 if name.endswith("variance") else 0.25
    np.testing.assert_allclose(found[np.isfinite(found)], deviation)


@pytest.mark.parametrize("variable", [None, "value"])
def test_truth_values_are_no_values_of_a_table(variable):
    with pytest.raises(InputError, match="'value' has type bool, expected real numbers"):
        pyvda.on_grid(LONG.assign(value=LONG["value"] > 0), 0.01, MODEL, variable=variable)


@pytest.mark.parametrize("labels", [[2, 1, 0], [3, 1, 2], [1.0, 2.0, 0.0]])
def test_numbers_of_components_are_put_into_order(labels):
    order = np.argsort(labels)
    values = RNG.normal(size=(4, 3))
    time = 0.01 * np.arange(4)
    array = xr.DataArray(
        values, {"time": time, "component": labels}, ("time", "component"), "observation"
    )
    given = [open_observations(array, model=MODEL)]
    if isinstance(labels[0], int):
        given.append(as_dataset(pd.DataFrame(values, pd.Index(time, name="time"), labels)))
    for ds in given:
        with pytest.warns(Notice, match="components of the state are not in order; they are sort"):
            found = in_model_order(ds, MODEL)
        np.testing.assert_array_equal(found.observation, values[:, order])
        np.testing.assert_array_equal(found.state, np.sort(labels))


@pytest.mark.parametrize("labels", [[0, 2, 4], [30, 20, 10], [1, 1, 0], [0.5, 1.5, -0.5]])
def test_other_numbers_are_labels(labels):
    ds = xr.Dataset({"observation": (("time", "state"), RNG.normal(size=(4, 3)))})
    labelled = ds.assign_coords(state=labels)
    xr.testing.assert_identical(in_model_order(labelled, MODEL), labelled)


@pytest.mark.parametrize("variable", [None, "Z,Y,X"])
def test_columns_in_capitals_are_the_models_variables(variable):
    """Listed ones too: they are not taken in the order of the list."""
    values = np.arange(18.0).reshape(6, 3)
    table = pd.DataFrame(values, columns=list("XYZ"), index=0.01 * np.arange(6))
    model = pyvda.get_model("lorenz63")
    for given in (table, table[["Z", "Y", "X"]], table.rename_axis("time").to_xarray()):
        found = pyvda.open_observations(given, variable, model=model)
        np.testing.assert_array_equal(found.observation, values)
