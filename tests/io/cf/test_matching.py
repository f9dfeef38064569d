"""Finding the variables of the state; errors name remedies that work."""

import json
import re

import numpy as np
import pytest
import xarray as xr
from command_line import run

import pyvda
from pyvda.errors import InputError
from pyvda.io.cf.conventions import normalise
from pyvda.io.cf.matching import of_model
from pyvda.state.space import StateSpace, Variable, flat

XYZ = flat(3, ("x", "y", "z"))
SITES = flat(40)
TWO_SCALE = StateSpace((Variable("X", ("k",), (4,)), Variable("Y", ("k", "j"), (4, 3))))


def field(y=5, x=3, names=("y", "x"), steps=6):
    return xr.Dataset({"sst": (("time", *names), np.ones((steps, y, x)))})


@pytest.mark.parametrize("space", [None, XYZ, SITES, TWO_SCALE])
@pytest.mark.parametrize("names", [("y", "x"), ("lat", "lon"), ("x", "y"), ("row", "lon")])
@pytest.mark.parametrize("chosen", [None, "sst"])
def test_a_field_is_never_taken_for_windows(space, names, chosen):
    with pytest.raises(InputError, match="a field on a grid") as refused:
        normalise(field(names=names), chosen, space)
    said = str(refused.value)
    assert "\n" not in said
    assert f"(time=6, {names[0]}=5, {names[1]}=3)" in said
    if space is not None:
        assert "but the model has the variable" in said


def test_an_observation_on_a_grid_is_refused_by_assimilate():
    ds = field().rename(sst="observation").assign_coords(time=0.01 * np.arange(6))
    with pytest.raises(InputError, match=r"\(time=6, y=5, x=3\), a field on a grid"):
        pyvda.assimilate(ds, model="lorenz63", iterations=1)


@pytest.mark.parametrize(
    ("size", "space"), [((5, 3), XYZ), ((5, 40), SITES), ((5, 8), SITES), ((3, 3), XYZ)]
)
def test_the_remedies_work(size, space):
    ds = field(*size)
    with pytest.raises(InputError) as refused:
        normalise(ds, None, space)
    said = str(refused.value)
    remedies = re.findall(r"ds\.[a-z]+\([^;]*?\)\)|ds\.[a-z]+\([^()]*\)", said)
    assert remedies
    for remedy in remedies:
        mended = eval(remedy.removesuffix(")") if remedy.count(")") > remedy.count("(") else remedy)
        assert normalise(mended, None, space).sizes["state"] == space.size
    for dim in re.findall(r"rename '(\w+)' to 'window'", said):
        found = normalise(ds.rename({dim: "window"}), None, space)
        assert found.observation.shape == (size[0 if dim == "y" else 1], 6, space.size)


MODEL_OF_THE_GRID = """
import torch
import pyvda

NAME = pyvda.torch_model(
    step=lambda u: torch.roll(u, 1, -1), variables=("sst",), dimensions={"y": 5, "x": 3},
    time_step=0.01, name="advection",
)
"""


def test_the_command_line_takes_the_model_that_the_remedy_names(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    times = {"time": 0.01 * np.arange(6)}
    field().assign_coords(times).to_netcdf("sst.nc")
    (tmp_path / "models.py").write_text(MODEL_OF_THE_GRID)
    command = ("assimilate", "sst.nc", "--iterations", 2, "--engine", "torch", "-o", "analysis.nc")
    assert run(monkeypatch, *command) == 2
    said = capsys.readouterr().err
    (remedy,) = re.findall(r"choose a model of fields over y=5, x=3, .*, (--model .*)\)", said)
    words = remedy.split()
    climatology = ("--climatology", "climatology.npz")
    np.savez("climatology.npz", mean=np.ones(15), covariance=np.eye(15))
    assert run(monkeypatch, *command, *words, *climatology) == 0, capsys.readouterr().err
    with xr.open_dataset("analysis.nc") as found:
        assert found["sst"].sizes == {"time": 6, "y": 5, "x": 3}


def test_stations_are_not_components():
    ds = xr.Dataset(
        {"t": (("station", "time"), np.ones((3, 6)))},
        {"name": ("station", ["a", "b", "c"], {"cf_role": "timeseries_id"})},
    )
    with pytest.raises(InputError, match=r"CF's kind timeseries.*rename 'station' to 'state'"):
        normalise(ds, None, XYZ)
    assert normalise(ds.rename(station="state"), None, XYZ).observation.shape == (6, 3)


def test_one_variable_with_a_state_dimension_is_read_as_before():
    ds = xr.Dataset({"x": (("time", "state"), np.ones((6, 40)))})
    assert "pyvda_state" not in normalise(ds, None, SITES).attrs
    ds = xr.Dataset({"height": (("time", "site"), np.ones((6, 40)))})
    assert "pyvda_state" not in normalise(ds, None, SITES).attrs
    ds = xr.Dataset({"obs": (("time", "n"), np.ones((6, 3))), "z": ("time", np.ones(6))})
    assert normalise(ds, None, XYZ).observation.shape == (6, 3)
    assert "pyvda_state" not in normalise(ds, None, XYZ).attrs


def test_one_variable_with_the_models_names_is_the_models():
    values = np.arange(240.0).reshape(40, 6)
    ds = xr.Dataset({"x": (("site", "time"), values), "other": ("time", np.zeros(6))})
    found = normalise(ds, None, SITES)
    assert found.observation.dims == ("time", "state")
    np.testing.assert_array_equal(found.observation, values.T)
    assert json.loads(found.attrs["pyvda_state"])["space"][0]["name"] == "x"


@pytest.mark.parametrize(
    ("ds", "variable", "space", "sentence"),
    [
        ({"x": ("time", 6), "y": ("n", 6)}, "x,y", None, "differ in their dimensions"),
        ({"x": ("n", 6), "y": ("n", 6)}, "x,y", None, "none is recognised as time"),
        ({"x": ("time", 6), "y": ("time", 6)}, "x,q", None, "no variable has the name"),
        ({"x": ("time", 6), "y": ("time", 6)}, "x,x", None, "different names"),
        ({"x": ("time", 6), "y": ("time", 6)}, "x,,y", None, "different names"),
        ({"a": ("time", 6), "b": ("time", 6)}, "a,b", XYZ, "2 variables are chosen .*x, y, z"),
        ({"a": ("time", 6), "b": ("time", 6)}, None, XYZ, r"variable='a,b', --variable a,b"),
        (
            {"X": (("time", "k"), (6, 4)), "Y": (("time", "k", "j"), (6, 4, 2))},
            "X,Y",
            TWO_SCALE,
            r"'Y' has dimensions \(time=6, k=4, j=2\), but the model has .*Y\(k=4, j=3\)",
        ),
        (
            {"X": (("time", "k"), (6, 4)), "Y": (("t", "k", "j"), (6, 4, 3))},
            None,
            TWO_SCALE,
            "differ in their dimensions of time",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(ds, variable, space, sentence):
    made = xr.Dataset({n: (dims, np.ones(shape)) for n, (dims, shape) in ds.items()})
    with pytest.raises(InputError, match=sentence) as refused:
        normalise(made, variable, space)
    assert "\n" not in str(refused.value)


def test_text_is_not_a_state():
    ds = xr.Dataset({n: ("time", ["a", "b"]) for n in "xyz"})
    with pytest.raises(InputError, match="expected real numbers"):
        normalise(ds, "x,y,z", XYZ)


def test_known_names_in_another_order_are_matched_by_name():
    ds = xr.Dataset({name: ("time", np.full(6, k)) for k, name in enumerate("xyz")},
                    {"time": 0.01 * np.arange(6)})  # fmt: skip
    found = normalise(ds, "z,x,y", flat(3, ("x", "y", "z")))
    np.testing.assert_array_equal(found.observation[0], [0.0, 1.0, 2.0])


@pytest.mark.parametrize("chosen", ["y,x,w", "x,y,w", "w,v,z"])
def test_names_of_which_only_some_are_the_models_are_refused(chosen):
    ds = xr.Dataset({name: ("time", np.ones(6)) for name in "vwxyz"},
                    {"time": 0.01 * np.arange(6)})  # fmt: skip
    with pytest.raises(
        InputError, match=r"assignment is ambiguous; rename .*\(x, y, z\)"
    ) as refused:
        normalise(ds, chosen, flat(3, ("x", "y", "z")))
    assert "\n" not in str(refused.value)


def test_a_variable_of_the_model_that_is_text_is_not_left_out():
    """The others alone would be a state with a component that nobody observed."""
    time = 0.01 * np.arange(5)
    ds = xr.Dataset({name: ("time", np.ones(5)) for name in "yz"}, {"time": time})
    assert of_model(ds, XYZ).files == {"y": "y", "z": "z"}
    with pytest.raises(InputError, match="variable 'x' is one of the model's, but holds <U1"):
        of_model(ds.assign(x=("time", list("abcde"))), XYZ)
