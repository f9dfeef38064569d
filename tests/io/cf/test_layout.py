"""Named variables to state vectors and back: one round trip, with nothing lost on the way."""

import json

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import pyvda
from pyvda import names
from pyvda.errors import InputError
from pyvda.io.cf.conventions import normalise
from pyvda.io.cf.layout import restacked, restored
from pyvda.state.space import StateSpace, Variable, flat
from pyvda.state.windows import analysis_dataset, cut, merge

TWO_SCALE = StateSpace((Variable("X", ("k",), (4,)), Variable("Y", ("k", "j"), (4, 3))))
FIELD = StateSpace((Variable("sst", ("y", "x"), (2, 3), "sea_surface_temperature"),))
XYZ = flat(3, ("x", "y", "z"))


def three(steps=6, **attrs):
    rng = np.random.default_rng(0)
    return xr.Dataset(
        {n: ("time", rng.normal(size=steps), {"units": "m", **attrs}) for n in "xyz"},
        {"time": ("time", 0.01 * np.arange(steps), {"units": "1", "axis": "T"})},
        {"title": "three"},
    )


def two_scale(order=("window", "time", "k", "j"), seed=1):
    rng = np.random.default_rng(seed)
    shape = {"window": 2, "time": 5, "k": 4, "j": 3}
    own = [d for d in order if d != "j"]
    return xr.Dataset(
        {
            "Y": (order, rng.normal(size=[shape[d] for d in order]), {"units": "K"}),
            "X": (own, rng.normal(size=[shape[d] for d in own]), {"long_name": "slow"}),
        },
        {"k": [10.0, 20, 30, 40], "lat": ("k", np.arange(4.0), {"units": "degrees_north"})},
    )


def analysed(ds, value=None):
    """Return an analysis that equals the normalised observations."""
    series = names.WINDOW not in ds.dims
    windows = cut(ds, ds.sizes["time"]) if series else ds
    x = windows.observation.values if value is None else value
    found = analysis_dataset(windows, np.nan_to_num(x), stdev=np.ones(x.shape))
    return merge(found, ds) if series else found


@given(order=st.permutations(["window", "time", "k", "j"]))
@settings(max_examples=24, deadline=None)
def test_an_analysis_has_the_variables_dimensions_order_and_attributes_of_the_file(order):
    ds = two_scale(tuple(order))
    back = restored(analysed(normalise(ds, None, TWO_SCALE)))
    for name in ("X", "Y"):
        np.testing.assert_array_equal(back[name], ds[name])
        assert back[name].dims == ds[name].dims
        expected = {"long_name": "analysed state", **ds[name].attrs}
        expected["ancillary_variables"] = f"{name}_flag {name}_stdev"
        assert back[name].attrs == expected
        assert back[f"{name}_flag"].dims == back[f"{name}_stdev"].dims == ds[name].dims
        assert back[f"{name}_flag"].attrs["standard_name"] == "status_flag"
        assert (back[f"{name}_flag"] == names.Flag.OBSERVED).all()
        np.testing.assert_array_equal(back[f"{name}_innovation"], 0 * ds[name])
    xr.testing.assert_identical(back.k, ds.k)
    xr.testing.assert_identical(back.lat, ds.lat)
    assert "analysis" not in back
    again = restacked(back)
    np.testing.assert_array_equal(again.analysis, normalise(ds, None, TWO_SCALE).observation)
    assert {"innovation", "flag", "state_stdev"} <= set(again.data_vars)


def test_scalars_make_a_series_and_come_back():
    ds = three()
    normal = normalise(ds, None, XYZ)
    assert normal.observation.dims == ("time", "state")
    np.testing.assert_array_equal(normal.observation, np.stack([ds[n] for n in "xyz"], -1))
    back = restored(analysed(normal))
    for n in "xyz":
        np.testing.assert_array_equal(back[n], ds[n])
        assert back[n].attrs["units"] == "m"
        assert back[f"{n}_stdev"].attrs["units"] == "m"
    xr.testing.assert_identical(back.time, ds.time)
    assert back.attrs["title"] == "three"


@pytest.mark.parametrize("variable", ["x,y,z", "x, y ,z", ["x", "y", "z"], ("x", "y", "z")])
def test_listed_variables_need_no_model(variable):
    found = normalise(three(), variable)
    xr.testing.assert_identical(found, normalise(three(), None, XYZ))


def test_listed_variables_of_other_names_are_taken_in_the_models_order():
    ds = three().rename(x="u", y="v", z="T")
    found = normalise(ds, "v,u,T", XYZ)
    np.testing.assert_array_equal(found.observation[:, 0], ds.v)
    back = restored(analysed(found))
    np.testing.assert_array_equal(back.v, ds.v)
    assert {"v_stdev", "u_flag", "T_innovation"} <= set(back.data_vars)


def test_as_many_scalars_as_components_make_a_state_of_one_variable():
    ds = xr.Dataset({f"x{i}": ("time", np.arange(5.0) + i) for i in range(4)})
    found = normalise(ds, ",".join(ds.data_vars), flat(4))
    np.testing.assert_array_equal(found.observation[0], np.arange(4.0))


def test_standard_names_and_axes_are_recognised():
    ds = xr.Dataset(
        {
            "t": (
                ("lon", "ti", "lat"),
                np.random.default_rng(1).normal(size=(3, 5, 2)),
                {"standard_name": "sea_surface_temperature", "units": "K"},
            )
        },
        {
            "ti": ("ti", np.arange(5), {"units": "days since 2000-01-01"}),
            "lat": ("lat", [1.0, 2], {"units": "degrees_north"}),
            "lon": ("lon", [1.0, 2, 3], {"axis": "X"}),
        },
    )
    normal = normalise(ds, None, FIELD)
    expected = ds.t.transpose("ti", "lat", "lon").values.reshape(5, 6)
    np.testing.assert_array_equal(normal.observation, expected)
    back = restored(analysed(normal))
    assert back.t.dims == ("lon", "ti", "lat")
    np.testing.assert_array_equal(back.t, ds.t)
    for name in ("ti", "lat", "lon"):
        xr.testing.assert_identical(back[name], ds[name])
    assert back.t_stdev.attrs["standard_name"] == "sea_surface_temperature standard_error"


def test_time_keeps_the_names_of_its_dimension_and_its_coordinate():
    ds = three().rename_dims(time="n").rename_vars(time="when").reset_index("when", drop=False)
    back = restored(analysed(normalise(ds, "x,y,z")))
    assert back.x.dims == ("n",)
    np.testing.assert_array_equal(back.when, ds.when)
    assert back.when.dims == ("n",)


def test_observation_on_a_grid_keeps_pyvdas_names():
    ds = xr.Dataset({"observation": (("time", "x", "y"), np.ones((5, 3, 2)))})
    back = restored(analysed(normalise(ds, None, FIELD)))
    assert back.analysis.dims == back.innovation.dims == back.flag.dims == ("time", "x", "y")
    assert back.analysis.attrs["ancillary_variables"] == "flag state_stdev"


def test_a_variable_that_the_file_lacks_is_unobserved_and_analysed():
    ds = three().drop_vars("y")
    normal = normalise(ds, None, XYZ)
    assert np.isnan(normal.observation[:, 1]).all()
    back = restored(analysed(normal))
    assert (back.y_flag == names.Flag.GAP).all()
    assert back.y.dims == ("time",)


def test_land_is_nan_and_flagged():
    land = np.array([[True, False, False], [False, False, False]])
    space = StateSpace(FIELD.variables, land)
    ds = xr.Dataset({"sst": (("time", "y", "x"), np.ones((5, 2, 3)))})
    normal = normalise(ds, None, space)
    assert np.isnan(normal.observation[:, 0]).all()
    back = restored(analysed(normal))
    np.testing.assert_array_equal(np.isnan(back.sst[0]), land)
    np.testing.assert_array_equal(back.sst_flag[0] == names.Flag.LAND, land)
    assert back.sst_flag.dtype == np.int8


def test_errors_of_each_variable():
    ds = three()
    for i, n in enumerate("xyz"):
        ds[n].attrs["ancillary_variables"] = f"of_{n}"
        ds[f"of_{n}"] = ((), 1.0 + i, {"standard_name": "standard_error"})
    found = normalise(ds, None, XYZ)
    np.testing.assert_array_equal(found.observation_error, np.tile([1.0, 2.0, 3.0], (6, 1)))
    del ds.y.attrs["ancillary_variables"]
    with pytest.raises(InputError, match="but y has none; give all observed variables"):
        normalise(ds, None, XYZ)
    ds["y"] = ds.y * np.nan  # without data no error is needed
    found = normalise(ds, None, XYZ)
    assert found.observation_error.isnull().any("time").values.tolist() == [False, True, False]
    pyvda.assimilate(ds, model="lorenz63", iterations=1, engine="torch")


def test_truth_of_each_variable():
    ds = three()
    ds = ds.assign({f"{n}_truth": ds[n] + 1 for n in "xyz"})
    found = normalise(ds, None, XYZ)
    np.testing.assert_array_equal(found.truth, found.observation + 1)
    truth = restacked(three(), restored(analysed(found)))
    np.testing.assert_array_equal(truth.truth, found.observation)


def test_values_are_not_read():
    def fail(block):
        raise AssertionError("values were read")

    values = da.zeros((5, 4, 3), chunks=1).map_blocks(fail, dtype=float, meta=np.zeros((0,) * 3))
    ds = xr.Dataset(
        {"X": (("time", "k"), values[..., 0]), "Y": (("time", "j", "k"), values.transpose(0, 2, 1))}
    )
    assert normalise(ds, None, TWO_SCALE).observation.chunks is not None


def test_lazy_analyses_are_restored_lazily():
    normal = normalise(two_scale(), None, TWO_SCALE)
    eager, lazy = analysed(normal), analysed(normal).chunk(window=1)
    found = restored(lazy)
    assert found.Y.chunks is not None
    xr.testing.assert_identical(found.compute(), restored(eager))


def test_attributes_survive_netcdf_types():
    ds = three(valid_range=np.array([0, 5], np.int16), scale=np.float32(2.0))
    attrs = restored(analysed(normalise(ds, "x,y,z"))).x.attrs
    assert attrs["scale"] == np.float32(2.0)
    assert attrs["valid_range"].dtype == np.int16
    json.loads(normalise(ds, "x,y,z").attrs["pyvda_state"])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"space": 1}', "3"])
def test_a_spoilt_attribute_is_refused_in_one_sentence(text):
    ds = analysed(normalise(three(), "x,y,z")).assign_attrs(pyvda_state=text)
    with pytest.raises(InputError, match="pyvda_state is not what pyvda wrote"):
        restored(ds)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("how", ["listed", "opened"])
def test_three_variables_are_assimilated_like_one(tmp_path, lazy, how):
    truth = pyvda.simulate("lorenz63", 1, 1)
    one = pyvda.observe(truth, "lorenz63", 2).isel(window=0, drop=True)
    ds = xr.Dataset({n: one.observation.isel(state=i, drop=True) for i, n in enumerate("xyz")})
    ds.x.attrs["units"] = "K"
    common = {"model": "lorenz63", "iterations": 20, "window": 100, "overlap": 20}
    expected = pyvda.assimilate(one, **common)
    if how == "listed":
        found = pyvda.assimilate(ds.chunk(time=60) if lazy else ds, variable="x,y,z", **common)
    else:
        ds.to_netcdf(tmp_path / "obs.nc")
        chunks = {"time": 60} if lazy else None
        opened = pyvda.open_observations(tmp_path / "obs.nc", "x,y,z", chunks=chunks)
        found = pyvda.assimilate(opened, **common)
    assert (found.x.chunks is not None) == lazy
    for i, n in enumerate("xyz"):
        np.testing.assert_array_equal(found[n], expected.analysis[:, i])
        np.testing.assert_array_equal(found[f"{n}_flag"], expected.flag[:, i])
        assert found[n].dims == ("time",)
    assert found.x.attrs["units"] == "K"
    np.testing.assert_array_equal(found.cost, expected.cost)
    pyvda.save_analysis(found, tmp_path / "analysis.nc")
    again = restacked(xr.open_dataset(tmp_path / "analysis.nc"))
    np.testing.assert_array_equal(again.analysis, expected.analysis)


@pytest.mark.parametrize("dtype", ["O", "<U100000000", "V8", "M8[s]", "no type"])
def test_an_attribute_of_another_type_than_a_number_is_refused(dtype):
    """A type in an attribute must not decide how much memory is taken, or what is executed."""
    ds = normalise(three(), "x,y,z", XYZ)
    layout = json.loads(ds.attrs["pyvda_state"])
    layout["variables"]["x"]["attrs"]["valid_range"] = {"dtype": dtype, "value": [0, 1]}
    changed = analysed(ds).assign_attrs(pyvda_state=json.dumps(layout))
    if dtype.startswith("<U"):  # the list as it is, without an array of that type
        assert restored(changed).x.attrs["valid_range"] == [0, 1]
        return
    with pytest.raises(InputError, match="not what pyvda wrote"):
        restored(changed)


def test_attributes_that_are_arrays_come_back():
    attrs = {"valid_range": np.array([0, 9], "i2"), "scale": np.float32(0.1), "of": np.array(["a"])}
    found = restored(analysed(normalise(three(**attrs), "x,y,z", XYZ))).x.attrs
    np.testing.assert_array_equal(found["valid_range"], attrs["valid_range"])
    assert found["valid_range"].dtype == "i2"
    assert found["scale"] == attrs["scale"]
    assert found["scale"].dtype == "f4"
    assert found["of"] == ["a"]
