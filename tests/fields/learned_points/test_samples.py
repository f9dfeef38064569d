"""Targets of a training: what they are made of, and files that are refused."""

import numpy as np
import pytest
import torch
import xarray as xr
from gappy import field
from point_networks import configuration, left_out, passes

from pyvda.engine import get_engine
from pyvda.errors import InputError
from pyvda.fields.learned_points.samples import PointSamples

pytestmark = pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")


def samples(ds, tmp_path, **points):
    path = tmp_path / "tracks.nc"
    ds.to_netcdf(path)
    settings = configuration(path, **points)
    return PointSamples(settings.points, settings.network, get_engine("torch"))


def test_no_target_sees_the_values_of_its_own_pass(tmp_path) -> None:
    ds = passes(count=15, each=6)
    mine = ds.pass_id.values == 4
    changed = ds.copy(deep=True)
    values = ds.sst.values.copy()
    values[mine] += np.resize([3.0, -3.0], mine.sum())  # the average stays
    changed["sst"] = ("obs", values, ds.sst.attrs)
    one, other = (samples(some, tmp_path).checks() for some in (ds, changed))
    of_pass = one.track == 4
    assert of_pass.sum() == 6
    for before, after in zip(one.inputs, other.inputs, strict=True):
        torch.testing.assert_close(before[of_pass], after[of_pass])
    torch.testing.assert_close(
        (other.error - one.error)[of_pass].abs(), torch.full((6,), 3.0), atol=1e-4, rtol=0
    )
    assert not torch.equal(one.inputs.apart[~of_pass], other.inputs.apart[~of_pass])


def test_a_draw_has_each_value_once_and_a_pass_one_member(tmp_path) -> None:
    ds = passes(count=12, each=5)
    found = samples(ds, tmp_path, draws=2)
    first = found.checks()
    np.testing.assert_array_equal(np.bincount(first.track), np.full(12, 5))
    for track in range(12):
        assert len(set(first.fold[first.track == track].tolist())) == 1
    assert set(first.fold.tolist()) == {0, 1, 2}
    order = [found.epoch(epoch) for epoch in (0, 1, 2)]
    torch.testing.assert_close(*(o.error.sort().values for o in (order[0], order[2])))
    assert not torch.equal(order[0].error, order[2].error)
    assert not torch.allclose(order[0].error.sort().values, order[1].error.sort().values)


def test_what_is_withheld_is_used_for_nothing(tmp_path) -> None:
    ds = passes(count=15, each=5)
    out = left_out(ds)
    ds = ds.assign(out=("obs", out.astype(np.int8)))
    other = ds.assign(sst=ds.sst + 100.0 * out)
    one, two = (samples(some, tmp_path, withhold="out", variable="sst") for some in (ds, other))
    assert one.passes == 12
    assert not np.isin(one.checks().track, np.unique(ds.pass_id.values[out])).any()
    torch.testing.assert_close(one.checks().error, two.checks().error)
    assert one.digests["values_sha256"] != two.digests["values_sha256"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"withhold": "no"}, "withhold is 'no', which is no variable of the file"),
        ({"variable": "sst,chl"}, "points.variable is sst, chl, but a network is trained for one"),
        ({"fit_by": "passes"}, "fit_by is passes, but the covariance is given and not fitted"),
    ],
)
def test_settings_that_do_not_go_with_the_file(change, said, tmp_path) -> None:
    ds = passes(count=12, each=3)
    with pytest.raises(InputError, match=said):
        samples(ds.assign(chl=ds.sst), tmp_path, **{"variable": "sst"} | change)


def test_files_that_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="there are 9, expected at least 10; give more data"):
        samples(passes(count=9, each=3), tmp_path)
    with pytest.raises(InputError, match="with the section field in place of points"):
        samples(field()[0], tmp_path)
    with xr.open_dataset(tmp_path / "tracks.nc") as ds:
        assert "lat" in ds.dims
