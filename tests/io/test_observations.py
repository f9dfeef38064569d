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
from pyvda.models.registry import get_model
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
