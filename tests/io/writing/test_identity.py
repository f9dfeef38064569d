"""The identity of a run: equal for the same numbers, another for whatever would change them."""

import os
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import xarray as xr

from pyvda.io.writing.identity import identity


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "obs.nc"
    path.write_bytes(b"numbers")
    return path


def analysis(**attributes: object) -> xr.Dataset:
    ds = xr.Dataset(
        {"analysis": (("window", "time"), np.zeros((4, 3))), "error": ("time", [1.0, 2.0, 3.0])},
        attrs={"pyvda_configuration": "{}", "history": "today", **attributes},
    )
    ds["analysis"] = ds["analysis"].chunk(window=2)
    return ds


def test_when_and_where_it_ran_do_not_count(file: Path) -> None:
    usual = identity(analysis(), {"observations": [str(file)]})
    assert (
        identity(analysis(history="tomorrow", source="there"), {"observations": [str(file)]})
        == usual
    )
    assert identity(analysis(pyvda_engine="torch"), {"observations": [str(file)]}) == usual


def test_whatever_changes_the_numbers_counts(file: Path) -> None:
    usual = identity(analysis(), {"observations": [str(file)]})
    found = {
        "configuration": identity(
            analysis(pyvda_configuration='{"iterations": 3}'), {"observations": [str(file)]}
        ),
        "chunks": identity(analysis().chunk(window=1), {"observations": [str(file)]}),
        "values in memory": identity(
            analysis().assign(error=("time", [1.0, 2, 4])), {"observations": [str(file)]}
        ),
        "windows": identity(analysis().isel(window=slice(0, 3)), {"observations": [str(file)]}),
        "another location": identity(analysis(), {"observations": [str(file) + "2"]}),
    }
    os.utime(file, ns=(1, 1))
    found["another time of the file"] = identity(analysis(), {"observations": [str(file)]})
    file.write_bytes(b"other numbers")
    os.utime(file, ns=(1, 1))
    found["another size of the file"] = identity(analysis(), {"observations": [str(file)]})
    assert len({usual, *found.values()}) == 1 + len(found)


def test_keywords_and_their_files_count(tmp_path: Path) -> None:
    model = tmp_path / "models.py"
    model.write_text("own = 1")
    found = [identity(analysis(), {"model": f"{model}:own", "tolerance": t}) for t in (None, 0.1)]
    model.write_text("own = 11")
    found.append(identity(analysis(), {"model": f"{model}:own", "tolerance": None}))
    assert len(set(found)) == 3


def test_a_folder_is_known_by_its_files(tmp_path: Path) -> None:
    store = tmp_path / "obs.zarr"
    (store / "c").mkdir(parents=True)
    (store / "c" / "0").write_bytes(b"chunk")
    before = identity(analysis(), {"observations": [str(store)]})
    assert identity(analysis(), {"observations": [str(store)]}) == before
    (store / "c" / "1").write_bytes(b"chunk")
    assert identity(analysis(), {"observations": [str(store)]}) != before


def test_lazy_values_are_not_computed() -> None:
    def fail(block: np.ndarray) -> np.ndarray:
        raise AssertionError("an identity is known before the numbers are")

    lazy = da.zeros((4, 3), chunks=2).map_blocks(fail, dtype=float, meta=np.empty((0, 0)))
    assert identity(xr.Dataset({"analysis": (("window", "time"), lazy)}), {})
