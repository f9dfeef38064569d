"""Files that networks for fields are trained on: a truth that fits them, and one that does not."""

import numpy as np
import pytest
from field_models import configuration
from gappy import field, tracks

from pyvda.errors import InputError
from pyvda.fields.learned.configuration import FieldSource
from pyvda.fields.learned.sample_source import complete_fields, opened_source


def source(tmp_path, truth=None) -> FieldSource:
    section = configuration(tmp_path / "obs.nc")["field"]
    if truth is not None:
        truth.to_netcdf(tmp_path / "truth.nc")
        section["truth"] = str(tmp_path / "truth.nc")
    return FieldSource(**section)


def test_several_windows_need_their_truth(tmp_path) -> None:
    ds = tracks().drop_vars(["row_size", "number"])
    ds.assign(window=("obs", np.arange(ds.sizes["obs"]) % 2)).to_netcdf(tmp_path / "obs.nc")
    with pytest.raises(InputError, match="has several windows, whose complete fields are needed"):
        opened_source(source(tmp_path))
    truth = field(times=6, land=False, cloud=0.0)[0]
    with pytest.raises(InputError, match=r"has several windows, but .*truth\.nc has none"):
        opened_source(source(tmp_path, truth))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda ds: ds.isel(lat=slice(1, None)), "give both on the same times and grid"),
        (lambda ds: ds.rename(sst="chl"), "has no sst over"),
        (lambda ds: ds.where(ds.lat > 40.1), "is missing at"),
    ],
)
def test_a_truth_that_does_not_fit_is_refused(change, said, tmp_path) -> None:
    ds, truth = field(times=12, seed=4)
    ds.to_netcdf(tmp_path / "obs.nc")
    complete = ds.assign(sst=(ds.sst.dims, truth))
    settings = source(tmp_path, complete)
    found, _, _ = opened_source(settings)
    np.testing.assert_array_equal(
        complete_fields(settings.truth, settings.observations, found)["sst"], truth[:, found.sea]
    )
    settings = source(tmp_path, change(complete))
    with pytest.raises(InputError, match=said):
        complete_fields(settings.truth, settings.observations, found)
