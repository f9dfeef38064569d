"""Operators in files: tables of rows, functions in Python and in Julia, and wrong files."""

import functools
import json
import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from command_line import run

import pyvda
from pyvda.errors import InputError
from pyvda.models.registry import get_model
from pyvda.operators import FunctionOperator, JuliaFunction, SparseLinear
from pyvda.operators.from_file import resolve

H = np.array([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
ENTRIES = {"row": [0, 0, 1], "variable": ["x", "y", "z"], "weight": [0.5, 0.5, 1.0]}
COMMON = (
    "--model", "lorenz63", "--engine", "torch", "--variable", "value", "--method",
    "ensemble-smoother", "--set", "members=40",
)  # fmt: skip
KEYWORDS = {
    "model": "lorenz63", "engine": "torch", "variable": "value", "method": "ensemble-smoother",
    "members": 40,
}  # fmt: skip
IN_PYTHON = """
import numpy as np
import torch
from pyvda.operators import FunctionOperator, SparseLinear

def observe(x):
    return torch.stack((0.5 * (x[..., 0] + x[..., 1]), x[..., 2]), -1)

operator = FunctionOperator(observe)
linear = SparseLinear(np.array([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]))
module = torch.nn.Linear(3, 2, bias=False)
with torch.no_grad():
    module.weight[:] = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
class Own(FunctionOperator):
    pass
number = 3
"""


@functools.cache
def simulated(windows: int, seed: int, steps: int) -> xr.Dataset:
    return pyvda.simulate("lorenz63", windows, seed, steps=steps)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Go to a folder with observations of two linear combinations and files of their operator."""
    monkeypatch.chdir(tmp_path)
    truth = simulated(3, 1, 40)
    values = truth.truth.values @ H.T
    values += 0.5 * np.random.default_rng(0).standard_normal(values.shape)
    values[:, 1::2] = np.nan
    dims = ("window", "time", "channel")
    data = {"value": (dims, values), "value_error": (dims, np.full(values.shape, 0.5))}
    xr.Dataset(data, {"window": truth.window, "time": truth.time}).to_netcdf("obs.nc")
    pd.DataFrame(ENTRIES).to_csv("rows.csv", index=False)
    pd.DataFrame(ENTRIES).to_xarray().to_netcdf("rows.nc")
    (tmp_path / "observe.py").write_text(IN_PYTHON)
    (tmp_path / "observe.jl").write_text("observe((x, y, z)) = ((x + y) / 2, z)\n")
    return tmp_path


@pytest.mark.parametrize("rows", ["rows.csv", "rows.nc"])
def test_a_table_of_entries_is_the_matrix(rows):
    operator = resolve(rows)
    assert isinstance(operator, SparseLinear)
    np.testing.assert_array_equal(operator.matrix(get_model("lorenz63")).toarray(), H)


def test_indices_that_a_file_holds_as_real_numbers(folder):
    """As of integers with a fill value, which xarray decodes."""
    columns = {"row": [0, 0, 1], "component": [0, 1, 2], "weight": [0.5, 0.5, 1.0]}
    ds = xr.Dataset({n: ("entry", v) for n, v in columns.items()})
    fill = {"_FillValue": -1, "dtype": "int32"}
    ds.to_netcdf("filled.nc", encoding={"row": fill, "component": fill})
    found = resolve("filled.nc").matrix(get_model("lorenz63"))
    np.testing.assert_array_equal(found.toarray(), H)


@pytest.mark.parametrize("name", ["observe", "operator", "linear", "module"])
def test_what_a_python_file_may_hold(name):
    operator = resolve(f"observe.py:{name}")
    x = np.random.default_rng(1).standard_normal((4, 3))
    if name == "linear":
        found = x @ operator.matrix(get_model("lorenz63")).toarray().T
    else:
        assert isinstance(operator, FunctionOperator)
        operator.check(3, 2)
        found = operator.values(x, 2)
    np.testing.assert_allclose(found, x @ H.T, rtol=1e-7)


def test_a_julia_file_is_a_julia_function():
    assert isinstance(resolve("observe.jl"), JuliaFunction)


@pytest.mark.parametrize(
    "spec", ["rows.csv", "rows.nc", "observe.py:observe", "observe.py:linear", "observe.py:module"]
)
def test_the_command_makes_the_analysis_of_the_matrix_and_is_repeated(spec, monkeypatch, capsys):
    asked = ("assimilate", "obs.nc", *COMMON, "--operator", spec)
    assert run(monkeypatch, *asked, "-o", "a.nc") == 0, capsys.readouterr().err
    expected = pyvda.assimilate("obs.nc", operator=SparseLinear(H), **KEYWORDS)
    with xr.open_dataset("a.nc") as found:
        np.testing.assert_allclose(found.analysis, expected.analysis, rtol=1e-6, atol=1e-6)
        stated = json.loads(found.attrs["pyvda_configuration"])["run"]
        assert f"--operator {spec}" in found.attrs["history"]
    assert stated["settings"]["operator"] == spec
    assert {"obs.nc", spec.partition(":")[0]} == set(stated["files"])
    monkeypatch.chdir("/")
    analysis = f"{stated['folder']}/a.nc"
    assert run(monkeypatch, "rerun", analysis) == 0
    assert "the same bits as" in capsys.readouterr().out
    with open(f"{stated['folder']}/{spec.partition(':')[0]}", "ab") as file:
        file.write(b"\n")
    assert run(monkeypatch, "rerun", analysis) == 2
    assert "changed since" in capsys.readouterr().err


def test_a_call_with_a_file_is_repeated_too(monkeypatch):
    made = pyvda.assimilate("obs.nc", operator="observe.py:observe", **KEYWORDS)
    assert "observe.py" in json.loads(made.attrs["pyvda_configuration"])["run"]["files"]
    again = pyvda.rerun(made)
    xr.testing.assert_equal(made.analysis, again.analysis)


def test_a_table_of_data_takes_the_step_of_the_command_line(monkeypatch, capsys):
    """Of an operator with a row for each datum."""
    n = 40
    time = 0.005 * np.arange(n)
    pd.DataFrame({"time": time, "value": np.sin(time)}).to_csv("table.csv", index=False)
    rows = {"row": np.arange(n), "component": np.zeros(n, int), "weight": np.ones(n)}
    pd.DataFrame(rows).to_csv("one.csv", index=False)
    asked = ("assimilate", "table.csv", *COMMON, "--set", "observation_variance=1",
             "--operator", "one.csv")  # fmt: skip
    for given, step in (((), 0.01), (("--grid-step", "0.02"), 0.02)):
        assert run(monkeypatch, *asked, *given, "-o", "a.nc") == 0, capsys.readouterr().err
        with xr.open_dataset("a.nc") as found:
            np.testing.assert_allclose(np.diff(found.time), step)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("none.csv", "none.csv does not exist"),
        ("none.py:observe", "there is no file none.py"),
        ("none.jl", "there is no file none.jl"),
        ("observe.py", "may hold several operators; name one, as in observe.py:name"),
        ("observe.py:none", "no operator 'none', found observe, operator, linear, module; name"),
        ("observe.py:number", "no operator but a int 'number'"),
        ("observe.py:Own", "is a class, expected an operator made of it"),
        ("wrong.py:h", "wrong.py, line 2: "),
        ("broken.py:h", "broken.py, line 1: ZeroDivisionError"),
        ("obs.nc", "no column 'row'"),
        ("huge.csv", "row 1 of the observation operator has no entry"),
        ("negative.csv", "'component' of the operator's entries must be integers from 0 to 2"),
        ("words.csv", "'weight' of the operator's entries must be numbers"),
        ("lengths.nc", "have 2, 1 and 2 values, expected as many of each"),
        ("text.csv", "text.csv has no rows"),
        ("three.py:h", "returns|alone"),
    ],
)  # fmt: skip
def test_wrong_files_are_refused_in_one_sentence(folder, monkeypatch, capsys, spec, sentence):
    files = {
        "wrong.py": "x = 1\ndef h(:\n",
        "broken.py": "1 / 0\n",
        "three.py": "def h(x):\n    return x\n",
        "huge.csv": "row,component,weight\n0,0,1.0\n1099511627776,1,1.0\n",
        "negative.csv": "row,component,weight\n0,-1,1.0\n1,1,1.0\n",
        "words.csv": "row,component,weight\n0,1,a\n1,1,b\n",
        "text.csv": "nothing here",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    xr.Dataset(
        {"row": ("a", [0, 1]), "component": ("a", [0, 1]), "weight": ("b", [1.0])}
    ).to_netcdf("lengths.nc")
    code = run(monkeypatch, "assimilate", "obs.nc", *COMMON, "--operator", spec, "-o", "a.nc")
    said = capsys.readouterr().err.strip()
    assert code == 2, said
    assert re.search(sentence, said), said
    assert "\n" not in said
    assert not (folder / "a.nc").exists()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("--truth", "obs.nc"), "--truth would have no effect"),
        (("--grid-step", "0.1", "--operator", "observe.py:observe"), "grid_step would have no"),
        (("--operator", "observe.py:observe", "--method", "letkf"), "only linear"),
    ],
)
def test_what_has_no_effect_is_refused(monkeypatch, capsys, given, sentence):
    asked = ("assimilate", "obs.nc", *COMMON, "--operator", "rows.csv", *given, "-o", "a.nc")
    assert run(monkeypatch, *asked) == 2
    assert sentence in capsys.readouterr().err


def test_a_method_without_a_model_takes_no_operator(monkeypatch, capsys):
    asked = ("assimilate", "obs.nc", "--method", "oi", "--operator", "rows.csv", "-o", "a.nc")
    assert run(monkeypatch, *asked) == 2
    assert "operator would have no effect" in capsys.readouterr().err


def test_anything_but_a_file_or_an_operator_is_refused():
    with pytest.raises(InputError, match="operator") as refused:
        pyvda.assimilate("obs.nc", operator=np.eye(3), **KEYWORDS)
    assert "\n" not in str(refused.value)


@pytest.mark.julia
def test_a_truth_is_observed_by_a_function_in_julia_and_assimilated_and_repeated(
    folder, monkeypatch, capsys
):
    in_place = "observe!(y, x) = (y[1] = (x[1] + x[2]) / 2; y[2] = x[3])\n"
    (folder / "uncounted.jl").write_text(in_place)
    (folder / "in_place.jl").write_text(in_place + "observe_count(D) = 2\n")
    truth = simulated(4, 2, 41)
    truth.to_netcdf("truth.nc")
    asked = ("observe", "truth.nc", "--variance", 0.25, "--seed", 3, "-o", "seen.nc", "--operator")
    assert run(monkeypatch, *asked, "uncounted.jl") == 2
    assert "define observe_count(D)" in capsys.readouterr().err
    expected = pyvda.observe(truth, seed=3, variance=0.25, operator=SparseLinear(H)).observation
    for name in ("in_place.jl", "observe.jl"):
        assert run(monkeypatch, *asked, name, "--overwrite") == 0, capsys.readouterr().err
        with xr.open_dataset("seen.nc") as seen:
            np.testing.assert_allclose(seen.observation, expected, rtol=1e-14)
    seen = pyvda.observe(truth, seed=3, variance=0.25, operator=JuliaFunction("in_place.jl"))
    np.testing.assert_allclose(seen.observation, expected, rtol=1e-14)
    keywords = KEYWORDS | {"engine": "libjulia", "variable": "observation"}
    made = pyvda.assimilate(seen, operator=JuliaFunction("observe.jl"), **keywords)
    linear = pyvda.assimilate(seen, operator=SparseLinear(H), **keywords)
    np.testing.assert_allclose(made.analysis, linear.analysis, rtol=1e-8, atol=1e-8)
    assert "observe.jl" in json.loads(made.attrs["pyvda_configuration"])["run"]["files"]
    xr.testing.assert_equal(pyvda.rerun(made, observations=seen).analysis, made.analysis)
    (folder / "observe.jl").write_text("observe((x, y, z)) = (x, z)\n")
    with pytest.raises(InputError, match="changed since"):
        pyvda.rerun(made, observations=seen)


@pytest.mark.parametrize("spec", ["rows.nc", "observe.py:observe"])
def test_a_truth_is_observed_through_an_operator(monkeypatch, capsys, spec):
    simulated(4, 2, 41).to_netcdf("truth.nc")
    asked = ("observe", "truth.nc", "--operator", spec, "--variance", 0.25, "--every", 2)
    assert run(monkeypatch, *asked, "--seed", 3, "-o", "seen.nc") == 0, capsys.readouterr().err
    with xr.open_dataset("truth.nc") as truth, xr.open_dataset("seen.nc") as seen:
        assert seen.observation.dims == ("window", "time", "channel")
        error = seen.observation.values - truth.truth.values @ H.T
        assert np.isnan(error[:, 1::2]).all()
        assert error[:, ::2].std() == pytest.approx(0.5, rel=0.15)
        assert seen.attrs["observation_error_variance"] == 0.25
    assert run(monkeypatch, "assimilate", "seen.nc", "--engine", "torch", "--method",
               "strong-constraint", "--operator", "rows.csv", "-o", "a.nc") == 0  # fmt: skip
    with xr.open_dataset("truth.nc") as truth, xr.open_dataset("a.nc") as found:
        assert float(((found.analysis - truth.truth) ** 2).mean()) < 0.25


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("--preset", "lorenz63"), "a preset would have no effect"),
        (("--component", "0"), "components would have no effect"),
        ((), "give variance"),
        (("--variance", "1", "--operator", "rows4.csv"), "integers from 0 to 2"),
        (("--variance", "1", "--operator", "three.py:h"), "the observation function returns ()"),
    ],
)
def test_what_cannot_be_observed_is_refused(folder, monkeypatch, capsys, given, sentence):
    simulated(1, 2, 11).to_netcdf("truth.nc")
    (folder / "three.py").write_text("def h(x):\n    return x.sum()\n")
    (folder / "rows4.csv").write_text("row,component,weight\n0,3,1.0\n")
    asked = ("observe", "truth.nc", "--operator", "rows.csv", *given, "-o", "seen.nc")
    assert run(monkeypatch, *asked) == 2
    said = capsys.readouterr().err.strip()
    assert sentence in said
    assert "\n" not in said
