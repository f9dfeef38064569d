"""Points of a file in another order than the model's are put where the model has them."""

import warnings

import numpy as np
import pytest
import xarray as xr

import pyvda
from pyvda.climate.climatology import with_climatology
from pyvda.errors import InputError
from pyvda.io.cf.conventions import normalise
from pyvda.io.cf.orientation import in_model_order
from pyvda.notices import Notice
from pyvda.state.space import StateSpace, Variable

RNG = np.random.default_rng(4)
SIZES = {"lat": 3, "lon": 8}


def space(**coordinates):
    variable = Variable("sst", tuple(SIZES), tuple(SIZES.values()))
    return StateSpace((variable,), coordinates=tuple(coordinates.items()))


NORTH, EAST = (10.0, 20.0, 40.0), tuple(45.0 * np.arange(8))
SAME = {dim: dim for dim in SIZES}
BOTH = space(lat=NORTH, lon=EAST)


def field(lat=NORTH, lon=EAST, chunks=None):
    ds = xr.Dataset(
        {"sst": (("time", *SIZES), RNG.normal(size=(4, *SIZES.values())))},
        {"time": 0.01 * np.arange(4), "lat": ("lat", list(lat), {"units": "degrees_north"}),
         "lon": ("lon", list(lon), {"units": "degrees_east"})},
    )  # fmt: skip
    ds["sst_error"] = abs(ds.sst) + 0.1
    return ds if chunks is None else ds.chunk(chunks)


@pytest.mark.parametrize("chunks", [None, {"time": 2, "lat": 2}])
@pytest.mark.parametrize(
    ("lat", "lon", "dims"),
    [
        (NORTH[::-1], EAST, "lat"),
        (NORTH, EAST[::-1], "lon"),
        ((20.0, 40.0, 10.0), EAST, "lat"),
        (np.float32(NORTH[::-1]), np.float32(EAST), "lat"),
        (NORTH, (np.array(EAST) + 180) % 360 - 180, "lon"),  # from Greenwich, but -180 ... 135
        (NORTH, np.sort((np.array(EAST) + 180) % 360 - 180), "lon"),
    ],
)
def test_points_are_put_where_the_model_has_them(lat, lon, dims, chunks):
    ds = field(lat, lon, chunks)
    expected = ds.assign_coords(lon=ds.lon % 360).sel(lat=list(NORTH), lon=list(EAST))
    unmoved = (np.asarray(expected.sst) == np.asarray(ds.sst)).all()
    if unmoved:
        found = normalise(ds, None, BOTH)
    else:
        with pytest.warns(Notice, match=f"the coordinate {dims} has another order than that of"):
            found = normalise(ds, None, BOTH)
    flat = (4, len(NORTH) * len(EAST))
    np.testing.assert_array_equal(found.observation, expected.sst.values.reshape(flat))
    np.testing.assert_array_equal(found.observation_error, expected.sst_error.values.reshape(flat))


def test_decreasing_coordinates_of_another_unit_are_turned_round():
    ds = field(lat=(4000.0, 2000.0, 1000.0))
    with pytest.warns(Notice, match="the coordinate lat has another order"):
        found = normalise(ds, None, BOTH)
    np.testing.assert_array_equal(found.observation, ds.sst[:, ::-1].values.reshape(4, -1))
    increasing = field(lat=(1000.0, 2000.0, 4000.0))
    assert in_model_order(increasing, SAME, BOTH) is increasing


@pytest.mark.parametrize(
    ("lat", "said"),
    [((10.0, 20.0, 41.0), "41 at the point 2 from 0, where the model has 40"),
     ((11.0, 21.0, 41.0), "11 at the point 0"), ((10.0, np.nan, 40.0), "nan at the point 1"),
     ((10.0, 20.001, 40.0), None), ((0.1, 0.2, 0.4), None)],
)  # fmt: skip
def test_points_that_are_not_the_models_are_said(lat, said):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if said is None:
            assert in_model_order(field(lat), SAME, BOTH).lat.values.tolist() == list(lat)
            return
        with pytest.raises(Notice, match=f"the coordinate lat is {said}"):
            in_model_order(field(lat), SAME, BOTH)


def test_a_model_with_a_number_of_points_has_those_of_the_file():
    ds = field(lat=NORTH[::-1])
    assert in_model_order(ds, SAME, space(lon=EAST)) is ds
    counted = field(lat=(2, 1, 0))
    with pytest.warns(Notice, match="coordinate lat has another order"):
        found = in_model_order(counted, SAME, space(lon=EAST))
    assert found.lat.values.tolist() == [0, 1, 2]


def test_coordinates_in_no_order_are_refused_and_the_remedy_works():
    ds = field(lat=(4000.0, 1000.0, 2000.0))
    with pytest.raises(InputError, match=r"neither increases nor decreases.*ds.sortby\('lat'\)"):
        normalise(ds, None, BOTH)
    found = normalise(ds.sortby("lat"), None, BOTH)
    np.testing.assert_array_equal(found.observation, ds.sortby("lat").sst.values.reshape(4, -1))


def test_the_analysis_of_a_turned_field_is_that_of_the_field():
    truth = pyvda.simulate("advection-diffusion", 1, steps=4).isel(window=0, drop=True)
    kept = {"engine": "torch", "iterations": 2, "step": 1.0}
    expected = pyvda.assimilate(truth, **kept)
    with pytest.warns(Notice, match="the coordinate y has another order"):
        found = pyvda.assimilate(truth.isel(y=slice(None, None, -1)), **kept)
    for name in ("a", "b"):
        assert np.isnan(expected[name]).any()  # land
        xr.testing.assert_equal(found[name], expected[name])


def test_a_climatology_of_turned_fields_is_that_of_the_fields():
    model = pyvda.get_model("advection-diffusion")
    truth = pyvda.simulate(model, 1, steps=9).isel(window=0, drop=True)
    expected = with_climatology(model, truth).climatology
    with pytest.warns(Notice, match="the coordinate x has another order"):
        found = with_climatology(model, truth.isel(x=slice(None, None, -1))).climatology
    assert np.ptp(expected.mean) > 0
    np.testing.assert_array_equal(found.mean, expected.mean)
