"""The command line without a home, a temporary folder or a known user, in its own process."""

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import xarray as xr

from pyvda.cli.main import _HeldBack, _show_notices
from pyvda.io.netcdf import save_analysis
from pyvda.notices import notice

# A user without an entry in the list of users, as in many containers.
UNKNOWN_USER = """
import pwd, sys
def getpwuid(number):
    raise KeyError(f"getpwuid(): uid not found: {number}")
def getpwnam(name):
    raise KeyError(f"getpwnam(): name not found: {name}")
pwd.getpwuid, pwd.getpwnam = getpwuid, getpwnam
from pyvda.cli import main
main()
"""
KEPT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write observations and a climatology, which spares the commands a simulation."""
    folder = tmp_path_factory.mktemp("data")
    values = np.random.default_rng(0).normal(size=(2, 20, 3))
    ds = xr.Dataset({"observation": (("window", "time", "state"), values)})
    save_analysis(ds.assign_coords(time=0.01 * np.arange(20)), folder / "obs.nc")
    np.savez(folder / "climatology.npz", mean=np.zeros(3), covariance=np.eye(3))
    return folder


def started(folder, output, environment, *arguments):
    words = [
        "assimilate", folder / "obs.nc", "--model", "lorenz63", "--climatology",
        folder / "climatology.npz", "--iterations", 2, "--set", "step=1.0", "-o", output,
        *arguments,
    ]  # fmt: skip
    plain = {name: os.environ[name] for name in KEPT if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-c", UNKNOWN_USER, *map(str, words)],
        env={**plain, "PYVDA_ENGINE": "torch", "OMP_NUM_THREADS": "1", **environment},
        cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


PLACES = {
    "no home": {},
    "home not readable": {"HOME": "/proc/1/root/home"},
    "home missing": {"HOME": "/nonexistent"},
    "no temporary folder": {"TMPDIR": "/nonexistent", "HOME": "/nonexistent"},
    "cache not writable": {"PYVDA_CACHE": "/proc/cache", "MPLCONFIGDIR": "/proc/matplotlib"},
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_an_analysis_is_made_anywhere(folder, tmp_path, place):
    run = started(folder, tmp_path / "a.nc", place)
    out, err = run.communicate(timeout=240)
    assert run.returncode == 0, err
    assert "2 windows" in out
    assert "Traceback" not in err
    assert all(line.startswith("pyvda: ") for line in err.splitlines()), err
    assert os.listdir(tmp_path) == ["a.nc"]


def test_a_folder_that_cannot_be_written_to(folder):
    run = started(folder, "/proc/a.nc", {})
    _, err = run.communicate(timeout=240)
    assert run.returncode == 2
    assert err.startswith("pyvda: cannot write /proc/a.nc")
    assert err.count("\n") == 1


def test_two_analyses_at_once(folder, tmp_path):
    cache = {"PYVDA_CACHE": str(tmp_path / "cache")}
    (tmp_path / "out").mkdir()
    same = [started(folder, tmp_path / "out" / "a.nc", cache) for _ in range(2)]
    for run in same:
        _, err = run.communicate(timeout=240)
        assert run.returncode == 0, err
    assert os.listdir(tmp_path / "out") == ["a.nc"]
    with xr.open_dataset(tmp_path / "out" / "a.nc") as found:
        assert found.sizes["window"] == 2


def test_warnings_of_libraries_are_shown_if_they_speak_of_the_file(capsys):
    def warned(quiet=()):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            said = _HeldBack()
            said.release()
            _show_notices(said, quiet=quiet)
            warnings.warn("of a library", UserWarning, stacklevel=1)
            warnings.warn("of numbers", RuntimeWarning, stacklevel=1)
            warnings.warn("the file\n  is odd.", xr.SerializationWarning, stacklevel=1)
            notice("3 values were masked")
        return capsys.readouterr().err.splitlines()

    shown = warnings.showwarning
    try:
        if not sys.warnoptions:
            assert warned() == ["pyvda: the file is odd", "pyvda: 3 values were masked"]
        assert warned({"-q"}) == [] or sys.warnoptions
    finally:
        warnings.showwarning = shown
