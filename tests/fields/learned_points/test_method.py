"""Data that a network for data at points refuses."""

import numpy as np
import pytest
import xarray as xr
from gappy import COVARIANCE, field, tracks
from point_networks import passes, random_model

import pyvda
from pyvda.errors import InputError
from pyvda.fields.combination import others

GRID = "0:400:200,0:400:200"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("network")
    random_model().save(made)
    return made


def test_data_that_do_not_go_with_the_training(folder) -> None:
    ds = passes(count=10, each=3)

    def analysis(some, **more):
        return pyvda.assimilate(some, checkpoint=folder, grid=GRID, engine="torch", **more)

    with pytest.raises(InputError, match="trained for sst, but the variables are chl"):
        analysis(ds.rename(sst="chl"), variable="chl")
    with pytest.raises(InputError, match="trained for sst in 'degC', but sst is in 'm'"):
        analysis(ds.assign(sst=ds.sst.assign_attrs(units="m")), variable="sst")
    with pytest.raises(InputError, match="trained with transform none, but transform is log10"):
        analysis(ds, variable="sst", transform="log10")
    mean = xr.Dataset({"sst": (("lat", "lon"), np.zeros((2, 2)))}, {"lat": [0, 1], "lon": [0, 1]})
    with pytest.raises(InputError, match="the network was trained without one; leave it out"):
        analysis(ds, variable="sst", mean=mean)
    with pytest.raises(InputError, match="trained on data at points, but the observations are"):
        pyvda.assimilate(field()[0], checkpoint=folder, engine="torch")


def test_a_map_that_the_training_had_is_needed(tmp_path) -> None:
    random_model(around_map=True).save(tmp_path)
    ds = passes(count=10, each=3)
    with pytest.raises(InputError, match=r"but none is given; give it \(--set mean=FILE\)"):
        pyvda.assimilate(ds, variable="sst", checkpoint=tmp_path, grid=GRID, engine="torch")


def test_a_local_variance_is_that_of_the_maps_that_are_given(tmp_path) -> None:
    ds = tracks()
    maps = xr.Dataset(
        {"sst": (("time", "lat", "lon"), np.stack([-np.eye(4), np.eye(4)]))},
        {"lat": ("lat", np.arange(39, 43.0), {"units": "degrees_north"}),
         "lon": ("lon", np.arange(4, 8.0), {"units": "degrees_east"})},
    )  # fmt: skip
    given = {"variable": "sst", "grid": "5:6:0.5,40:41:0.5", "mean": maps, "engine": "torch"}
    units = ds.sst.attrs.get("units", "")
    random_model(
        around_map=True, local_variance=True, corrects=False, units=units
    ).save(tmp_path)  # fmt: skip
    found = pyvda.assimilate(ds, checkpoint=tmp_path, **given)
    plain = pyvda.assimilate(
        ds, method="oi", covariance={"variables": {"sst": COVARIANCE.as_dict()}}, nearest=6,
        nearest_other=2, within_days=10.0, group_days=5.0, local_variance=True, **given,
    )  # fmt: skip
    np.testing.assert_array_equal(found.sst, plain.sst)
    with pytest.raises(InputError, match=r"does not vary in time.*give maps over time \(mean\)"):
        pyvda.assimilate(ds, checkpoint=tmp_path, **given | {"mean": maps.isel(time=0)})


def test_other_interpolations_correct_it_as_in_the_training(tmp_path) -> None:
    random_model(combination=(0.3, 0.0, 0.0, 0.0, 0.0), corrects=False).save(tmp_path)
    ds, given = passes(count=10, each=4), {"variable": "sst", "grid": GRID, "times": "5/6/1"}

    def interpolated(covariance):
        return pyvda.assimilate(
            ds, method="oi", covariance={"variables": {"sst": covariance.as_dict()}}, nearest=6,
            nearest_other=2, within_days=10.0, group_days=5.0, engine="torch", **given,
        ).sst  # fmt: skip

    first, other = interpolated(COVARIANCE), interpolated(others(COVARIANCE)[0])
    assert float(abs(first - other).max()) > 0.01
    found = pyvda.assimilate(ds, checkpoint=tmp_path, engine="torch", **given)
    np.testing.assert_allclose(found.sst, first + 0.3 * (other - first), atol=1e-9)


def test_a_folder_without_a_network_is_no_method(tmp_path) -> None:
    with pytest.raises(InputError, match="with the section field or points"):
        pyvda.crossvalidate(passes(count=10, each=3), [str(tmp_path)], variable="sst")
