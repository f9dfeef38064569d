"""Broken files and odd attributes: one sentence, or the numbers of the file that is not broken.

A file cut short or with bytes changed is opened as observations, and what opens is assimilated; an
analysis with odd attributes is scored and continued.
"""

import json
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import xarray as xr
from fuzzing import fuzzed, outcome
from hypothesis import strategies as st

import pyvda
from pyvda.io.sources.open import open_dataset

ODD = [
    None, True, 0, -1, 3, 2**70, 0.5, float("nan"), float("inf"), "", "a", "two\nlines", [], [1],
    ["a", 3], {}, {"a": 1}, [[1.0, 2.0]], "lorenz63", "lorenz96", "gauss-newton", 1e308,
    [10.0, 28.0, float("nan")], ["10", "28", "3"],
]  # fmt: skip
ODD_ATTRIBUTES: list[Any] = [
    *(value for value in ODD if not isinstance(value, dict)), {}, b"x", b"\xff", 1j, np.zeros(3),
    np.zeros((2, 2)), np.float32(2), np.int64(3), np.datetime64("NaT"), np.array("a"), object(),
    xr.DataArray(3.0), "{", "{}", "[]", "null", '{"model": 3}',
]  # fmt: skip


@pytest.fixture(scope="module")
def observed() -> xr.Dataset:
    truth = pyvda.simulate("lorenz63", 2, 1, steps=12)
    return pyvda.observe(truth, "lorenz63", 2)


@pytest.fixture(scope="module")
def analysis(observed: xr.Dataset) -> xr.Dataset:
    return pyvda.assimilate(observed, model="lorenz63", method="fsgd", iterations=2)


@pytest.fixture(scope="module")
def files(observed: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("files")
    small = observed[["observation"]]
    small.to_netcdf(folder / "3.nc", format="NETCDF3_64BIT", engine="scipy")
    pyvda.save_analysis(small, folder / "4.nc")
    return [folder / "3.nc", folder / "4.nc"]


def used(path: Path) -> None:
    ds = outcome(pyvda.open_observations, path)
    outcome(open_dataset, path)
    if ds is not None and ds["observation"].size < 1e4:
        outcome(pyvda.assimilate, ds, model="lorenz63", method="fsgd", iterations=1)


@fuzzed
@hypothesis.given(data=st.data())
def test_broken_files(files: list[Path], data: st.DataObject, tmp_path: Path) -> None:
    content = data.draw(st.sampled_from(files)).read_bytes()
    what = data.draw(st.sampled_from(["random", "cut", "bytes", "more"]))
    if what == "random":
        start = data.draw(st.sampled_from([b"", b"CDF\x01", b"CDF\x02", b"\x89HDF\r\n\x1a\n"]))
        content = start + data.draw(st.binary(max_size=200))
    elif what == "cut":
        content = content[: data.draw(st.integers(0, len(content)))]
    elif what == "more":
        content += data.draw(st.binary(max_size=50))
    else:
        # Changes among the first bytes are in the description of what follows.
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, min(len(content) - 1, 3000)))
            content = (
                content[:at] + data.draw(st.binary(min_size=1, max_size=1)) + content[at + 1 :]
            )
    path = tmp_path / data.draw(st.sampled_from(["a.nc", "a", "a.h5", "a.zarr"]))
    path.write_bytes(content)
    used(path)


def changed(data: st.DataObject, tree: dict[str, Any]) -> None:
    """Remove or change an entry at some depth."""
    key = data.draw(st.sampled_from(sorted(tree)))
    if isinstance(tree[key], dict) and tree[key] and data.draw(st.booleans()):
        changed(data, tree[key])
    elif data.draw(st.integers(0, 4)) == 0:
        del tree[key]
    else:
        tree[key] = data.draw(st.sampled_from(ODD))


@fuzzed
@hypothesis.given(data=st.data())
def test_odd_attributes(observed: xr.Dataset, analysis: xr.Dataset, data: st.DataObject) -> None:
    ds = analysis.copy()
    if data.draw(st.booleans()):
        tree = json.loads(ds.attrs["pyvda_configuration"])
        changed(data, tree)
        ds.attrs["pyvda_configuration"] = json.dumps(tree)
    else:
        name = data.draw(st.sampled_from([*ds.attrs, "pyvda_state", "pyvda_parameters", "units"]))
        ds.attrs[name] = data.draw(st.sampled_from(ODD_ATTRIBUTES))
    if data.draw(st.booleans()):
        one = data.draw(st.sampled_from([*map(str, ds.data_vars), "time"]))
        attribute = data.draw(
            st.sampled_from(
                ["units", "standard_name", "axis", "_FillValue", "calendar", "valid_range"]
            )
        )
        ds[one].attrs[attribute] = data.draw(st.sampled_from(ODD_ATTRIBUTES))
    scores = outcome(pyvda.evaluate, ds, observed)
    forecast = outcome(pyvda.forecast, ds, 2)
    for values in (scores or {}).values():
        assert np.isfinite(values).all()
    if forecast is not None:
        assert np.isfinite(forecast["forecast"].values).all()


@fuzzed
@hypothesis.given(data=st.data())
def test_odd_attributes_of_observations(observed: xr.Dataset, data: st.DataObject) -> None:
    ds = observed.copy()
    for _ in range(data.draw(st.integers(1, 2))):
        where = data.draw(st.sampled_from(["", *map(str, ds.variables)]))
        target = ds.attrs if not where else ds[where].attrs
        attribute = data.draw(st.sampled_from([
            "units", "standard_name", "axis", "ancillary_variables", "model", "parameters",
            "observation_error_variance", "pyvda_state", "pyvda_configuration", "pyvda_parameters",
            "coordinates", "cell_methods", "positive", *map(str, target),
        ]))  # fmt: skip
        target[attribute] = data.draw(st.sampled_from(ODD_ATTRIBUTES))
    found = outcome(pyvda.assimilate, ds, method="fsgd", iterations=1)
    if found is not None and "analysis" in found:
        assert np.isfinite(found["analysis"].values).all()
