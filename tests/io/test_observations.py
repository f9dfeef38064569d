"""Large files are read twice, and a sample of their windows where statistics are estimated."""

from collections import Counter

import numpy as np
import pytest
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

import pyvda
from pyvda.errors import InputError
from pyvda.io.observations import prepared
from pyvda.io.quality.validation import statistics
from pyvda.io.writing.save import save_analysis
from pyvda.models.registry import get_model
from pyvda.notices import Notice
from pyvda.state import windows

READS: Counter = Counter()


class Counting(BackendArray):
    """An array in a simulated file that counts how often each of its values is read."""

    def __init__(self, values, name):
        self.values, self.name = values, name
        self.shape, self.dtype = values.shape, values.dtype

    def __getitem__(self, key):
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )

    def _read(self, key):
        found = self.values[key]
        READS[self.name] += np.size(found)
        return found


def on_disk(errors, series):
    """Observations of Lorenz-63 whose reads are counted."""
    READS.clear()
    truth = pyvda.simulate("lorenz63", 8, 1)
    values = pyvda.observe(truth, "lorenz63", 2).observation.values
    dims = ("window", "time", "state")
    if series:
        values, dims = values.reshape(-1, 3), dims[1:]
    arrays = {"observation": values} | ({"observation_error": 1 + values**2} if errors else {})
    lazy = {
        name: (dims, indexing.LazilyIndexedArray(Counting(array, name)))
        for name, array in arrays.items()
    }
    ds = xr.Dataset(lazy, {"time": 0.01 * np.arange(values.shape[-2])})
    return ds, values.size


@pytest.mark.parametrize("series", [False, True])
@pytest.mark.parametrize("errors", [False, True])
def test_a_chunked_file_is_read_twice(errors, series):
    ds, size = on_disk(errors, series)
    chunks, options = ({"time": 400}, {"window": 200}) if series else ({"window": 2}, {})
    analysis = pyvda.assimilate(ds.chunk(chunks), model="lorenz63", iterations=3, **options)
    assert set(READS.values()) == {size}
    analysis.compute()
    assert set(READS.values()) == {2 * size}


@pytest.mark.parametrize("errors", [False, True])
def test_opened_observations_are_not_validated_again(tmp_path, errors, monkeypatch):
    ds, size = on_disk(errors, False)
    ds.to_netcdf(tmp_path / "obs.nc")
    monkeypatch.setattr(
        "pyvda.io.sources.locations.opened", lambda path, group=None: on_disk(errors, False)[0]
    )
    opened = pyvda.open_observations(tmp_path / "obs.nc", chunks={"window": 2})
    assert set(READS.values()) == {size}
    pyvda.assimilate(opened, model="lorenz63", iterations=3).compute()
    assert set(READS.values()) == {2 * size}


def test_statistics_belong_to_their_values():
    ds, _ = on_disk(True, False)
    ds = ds.load().chunk(window=2)
    before = statistics(ds)
    assert statistics(ds) is before
    other = ds.assign(observation=ds.observation.where(ds.window > 0))
    assert statistics(other).observed < before.observed
    with pytest.raises(InputError, match="infinite"):
        prepared(ds.assign(observation=ds.observation * np.inf), None, get_model("lorenz63"))


@pytest.mark.parametrize("overlap", [0, 30])
@pytest.mark.parametrize("length", [50, 70, 1600])
def test_the_reference_variance_counts_a_step_in_each_of_its_windows(length, overlap):
    ds, _ = on_disk(True, True)
    ds = ds.load()
    expected = windows.reference_variance(windows.in_windows(ds, length, overlap)[0])
    lazy = ds.chunk(time=333)
    found = windows.reference_variance(
        windows.in_windows(lazy, length, overlap)[0], statistics(lazy)
    )
    assert found == pytest.approx(expected, rel=1e-13)


def test_coordinates_called_like_variables_of_the_analysis_are_left_out(tmp_path) -> None:
    time = 0.01 * np.arange(6)
    rows = np.random.default_rng(0).normal(size=(6, 3))
    taken = {"cost": ("time", time), "flag": (("time", "state"), rows), "fit": 1.0,
             "iteration": 2, "window_start": ("time", time)}  # fmt: skip
    ds = xr.Dataset({"observation": (("time", "state"), rows)}, {"time": time, "place": 7, **taken})
    named = xr.Dataset(
        {name: ("time", rows[:, k]) for k, name in enumerate("xyz")},
        {"time": time, "x_flag": ("time", time), "status": ("time", time), "place": 7},
    )
    how = {"model": "lorenz63", "engine": "torch", "iterations": 2, "step": 1.0}
    for given, left_out in ((ds, [*taken]), (named, ["x_flag", "status"])):
        for lazily in ({}, {"window": 3, "block": 1}):
            with pytest.warns(Notice, match="the analysis is without the coordinates") as told:
                found = pyvda.assimilate(given, **how, **lazily)
            assert all(name in str(told[0].message) for name in left_out)
            bare = pyvda.assimilate(given.drop_vars(left_out), **how, **lazily)
            xr.testing.assert_equal(found, bare)
            assert found.place == 7
            save_analysis(found, tmp_path / "a.nc")


@pytest.mark.parametrize(
    ("method", "own"), [("strong-constraint", "state1"), ("ensemble-smoother", "member")]
)
@pytest.mark.parametrize("lazily", [{}, {"window": 3, "block": 1}])
@pytest.mark.julia
def test_coordinates_called_like_dimensions_of_what_is_asked_for(method, own, lazily) -> None:
    rows = np.random.default_rng(0).normal(size=(6, 3))
    coords = {"time": 0.01 * np.arange(6), "member": 3, "state1": 1}
    ds = xr.Dataset({"observation": (("time", "state"), rows)}, coords)
    more = {"final_ensemble": True} if own == "member" else {"final_covariance": True}
    found = pyvda.assimilate(
        ds, model="lorenz63", method=method, observation_variance=2.0, **more, **lazily
    )
    assert own not in found.coords


@pytest.mark.parametrize("named", [("cost", "u", "v"), ("u", "analysis", "v"), ("flag", "a", "b")])
def test_observed_variables_called_like_others_of_the_analysis(named) -> None:
    rows = np.random.default_rng(0).normal(size=(6, 3))
    ds = xr.Dataset({name: ("time", rows[:, k]) for k, name in enumerate(named)},
                    {"time": 0.01 * np.arange(6)})  # fmt: skip
    taken = next(name for name in named if len(name) > 1)
    how = {"model": "lorenz63", "engine": "torch", "iterations": 2, "step": 1.0}
    with pytest.raises(InputError, match=f"variable '{taken}' has the name of another") as told:
        pyvda.assimilate(ds, variable=",".join(named), **how)
    assert f"ds.rename({taken}='{taken}_observed')" in str(told.value)
    renamed = ds.rename({taken: f"{taken}_observed"})
    found = pyvda.assimilate(renamed, variable=[*renamed], **how)
    assert f"{taken}_observed" in found
