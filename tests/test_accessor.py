"""The accessor `vda`: registered in either order of imports, and the same as the functions."""

import inspect
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

import pyvda
from pyvda.accessor import DatasetAccessor
from pyvda.errors import InputError

FEW = {"model": "lorenz63", "engine": "torch", "iterations": 3}


@pytest.fixture(scope="module")
def truth() -> xr.Dataset:
    return pyvda.simulate("lorenz63", windows=2, steps=30, seed=1)


@pytest.mark.parametrize(
    "imports",
    ["import pyvda, xarray", "import xarray, pyvda", "import pyvda, xarray.backends, xarray"],
)
def test_either_import_may_come_first(imports: str) -> None:
    program = f"{imports}; print(type(xarray.Dataset().vda).__name__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "DatasetAccessor", done.stderr


def test_importing_pyvda_does_not_load_xarray() -> None:
    program = "import sys, pyvda; print('xarray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


def test_methods_are_the_functions(truth: xr.Dataset, tmp_path) -> None:
    observed = truth.vda.observe("lorenz63", seed=2)
    xr.testing.assert_identical(observed, pyvda.observe(truth, "lorenz63", seed=2))
    analysis = observed.vda.assimilate(**FEW)
    expected = pyvda.assimilate(observed, **FEW)
    xr.testing.assert_equal(analysis, expected)
    scores, known = analysis.vda.score(truth), pyvda.evaluate(expected, truth)
    assert scores.keys() == known.keys()
    np.testing.assert_array_equal(scores["r_score"], known["r_score"])
    xr.testing.assert_equal(analysis.vda.forecast(2), pyvda.forecast(expected, 2))
    analysis.vda.save(tmp_path / "a.nc")
    with xr.open_dataset(tmp_path / "a.nc") as written:
        np.testing.assert_array_equal(written["analysis"], analysis["analysis"])


def test_an_array_of_observations(truth: xr.Dataset) -> None:
    array = truth.vda.observe("lorenz63", seed=2)["observation"]
    analysis = array.vda.assimilate(**FEW)
    xr.testing.assert_equal(analysis, pyvda.assimilate(array, **FEW))


@pytest.mark.parametrize(
    ("method", "function"), [("assimilate", "assimilate"), ("score", "evaluate")]
)
def test_documentation_and_keywords_are_the_function_s(method: str, function: str) -> None:
    bound, known = getattr(xr.Dataset().vda, method), getattr(pyvda, function)
    assert bound.__doc__ == known.__doc__
    keywords = [p for p in inspect.signature(known).parameters.values()][1:]
    assert list(inspect.signature(bound).parameters.values()) == keywords
    assert getattr(DatasetAccessor, method) is known


def test_plot_draws_the_chosen_windows(truth: xr.Dataset) -> None:
    analysis = truth.vda.observe("lorenz63", seed=2).vda.assimilate(**FEW)
    one, two = (analysis.vda.plot(truth, windows=chosen) for chosen in ([0], [0, 1]))
    assert one.shape == (3, 1)
    assert two.shape == (3, 2)
    with pytest.raises(InputError, match="window"):
        analysis.vda.plot(windows=[7])


def test_an_array_is_scored_and_drawn_as_its_dataset(truth: xr.Dataset) -> None:
    analysis = truth.vda.observe("lorenz63", seed=2).vda.assimilate(**FEW)
    known = analysis.vda.score(truth)["r_score"]
    for true in (truth, truth["truth"]):
        found = analysis["analysis"].vda.score(true)
        assert found.keys() == {"r_score"}
        np.testing.assert_allclose(found["r_score"], known)
    x, one = analysis["analysis"], truth["truth"].isel(state=0, drop=True).rename("x")
    assert x.vda.plot(truth["truth"], windows=[0]).shape == (3, 1)
    axis = Figure().subplots()
    assert one.vda.plot(one, windows=[1], ax=axis) is axis
    np.testing.assert_array_equal(axis.lines[-1].get_ydata(), one[1])
    assert axis.get_ylabel() == "x"
    with pytest.raises(InputError, match="no variable 'analysis' or 'truth', but observation"):
        x.vda.score(truth.rename(truth="observation"))
    with pytest.raises(InputError, match="give the truth of the same windows"):
        x.vda.score(truth.isel(window=[1]))


def test_an_array_of_a_field_is_a_map_without_its_land() -> None:
    truth = xr.DataArray(np.arange(24.0).reshape(2, 3, 4), dims=("time", "y", "x"), name="psi")
    field = (truth + 2.0).where(truth != 5.0)
    np.testing.assert_array_equal(field.vda.score(truth)["r_score"], [4.0])
    axis = Figure().subplots()
    field.vda.plot(step=1, ax=axis)
    assert axis.get_title() == "analysis"
    assert {"assimilate", "on_grid", "plot", "score"} <= set(dir(field.vda))
    assert not hasattr(field.vda, "diagnose")
