"""Files made by pyvda state their model; for other files a model must be named."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from command_line import run

import pyvda
from pyvda.errors import InputError
from pyvda.io.writing import model_attributes
from pyvda.models.model import Model
from pyvda.models.registry import default_model, get_model
from pyvda.models.registry import names as registered_names
from pyvda.notices import Notice


@pytest.mark.parametrize(
    "model",
    [
        pyvda.get_model("lorenz63"),
        pyvda.get_model("lorenz63", rho=20.0),
        pyvda.get_model("lorenz96", forcing=7.0, state_size=12),
    ],
)
def test_the_model_comes_back(model) -> None:
    ds = xr.Dataset(
        {"observation": (("time", "state"), np.zeros((4, model.state_size)))},
        attrs=model_attributes.attributes(model),
    )
    assert model_attributes.find(ds) == model


def test_the_analysis_is_of_the_model_that_made_the_file() -> None:
    truth = pyvda.simulate("lorenz96", 2, 1)
    observed = pyvda.observe(truth, "lorenz96", 2)
    found = pyvda.assimilate(observed, iterations=1)
    expected = pyvda.assimilate(observed, model="lorenz96", iterations=1)
    np.testing.assert_array_equal(found["analysis"].values, expected["analysis"].values)


def test_the_layout_of_pyvda_with_the_default_model_s_size_needs_no_name() -> None:
    values = np.zeros((4, default_model().state_size))
    ds = xr.Dataset({"observation": (("time", "state"), values)})
    assert model_attributes.find(ds) is None
    assert model_attributes.required(ds) == default_model()


@pytest.mark.parametrize(
    ("name", "dims", "size"),
    [
        ("observation", ("time", "state"), 5),
        ("observation", ("time", "station"), 3),
        ("sst", ("time", "state"), 3),
    ],
)
def test_a_file_of_unknown_origin_needs_a_model(name, dims, size) -> None:
    time = np.arange(4) * default_model().time_step
    ds = xr.Dataset({name: (dims, np.zeros((4, size)))}, {"time": time})
    with pytest.raises(InputError, match=r"no model was named.*\(--model\)"):
        pyvda.assimilate(ds)


@pytest.mark.parametrize(
    ("model", "parameters"),
    [("lorenz", [1.0]), ("lorenz63", []), ("lorenz63", [1.0, 2.0]), ("lorenz63", "none"),
     ("lorenz63", [1.0, 2.0, np.nan]), ("lorenz63", [10**400] * 3), (3, [1.0])],
)  # fmt: skip
def test_attributes_that_name_no_model_are_refused(model, parameters) -> None:
    ds = xr.Dataset(
        {"observation": (("time", "state"), np.zeros((4, 3)))},
        attrs={"model": model, "parameters": parameters},
    )
    with pytest.raises(InputError, match=r"cannot be used \(.*name the model") as refused:
        model_attributes.find(ds)
    assert "\n" not in str(refused.value)


MADE = [name for name in registered_names() if get_model(name).state_space is not None]


def made_by(name: str, path: Path) -> tuple[Model, np.ndarray]:
    """Write windows of a model's named variables, as `pyvda observe` does."""
    model = get_model(name)
    values = np.random.default_rng(1).standard_normal((2, 3, model.state_size))
    assert model.state_space is not None
    xr.Dataset(
        dict(model.state_space.unstack(values)), {"time": np.arange(3) * model.time_step},
        attrs=model_attributes.attributes(model) | {"observation_error_variance": 1.0},
    ).to_netcdf(path)  # fmt: skip
    return model, values


@pytest.mark.parametrize("name", MADE)
def test_a_file_of_named_variables_is_opened_with_the_model_that_made_it(name, tmp_path) -> None:
    model, values = made_by(name, tmp_path / "obs.nc")
    found = pyvda.open_observations(tmp_path / "obs.nc")
    sea = np.broadcast_to(model.sea, values.shape)
    np.testing.assert_array_equal(found.observation.values[sea], values[sea])
    assert model_attributes.required(found) == model


def test_the_command_line_assimilates_fields_with_the_model_that_made_them(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model, _ = made_by("lorenz96-two-scale", tmp_path / "obs.nc")
    D = model.state_size
    np.savez("climatology.npz", mean=np.zeros(D), covariance=np.eye(D))
    line = (
        "assimilate obs.nc --climatology climatology.npz --iterations 2 --set step=1 "
        "--engine torch -o"
    )
    assert run(monkeypatch, *line.split(), "found.nc") == 0
    assert run(monkeypatch, *line.split(), "named.nc", "--model", model.name) == 0
    with xr.open_dataset("found.nc") as found, xr.open_dataset("named.nc") as named:
        for variable in ("X", "Y"):
            np.testing.assert_array_equal(found[variable].values, named[variable].values)


@pytest.mark.parametrize("attributes", [{"model": "GFS"}, {"model": "lorenz63", "parameters": "a"}])
def test_attributes_with_another_meaning_do_not_hinder_a_named_model(attributes, tmp_path) -> None:
    time = {"time": 0.01 * np.arange(4)}
    ds = xr.Dataset(
        {"y": (("time", "state"), np.ones((4, 3)))}, time, {"parameters": "t2m", **attributes}
    )
    ds.to_netcdf(tmp_path / "obs.nc")
    found = pyvda.open_observations(tmp_path / "obs.nc")
    assert found.observation.shape == (4, 3)
    with pytest.raises(InputError, match="cannot be used"):
        model_attributes.required(found)


def test_attributes_of_the_named_model_that_cannot_be_read_are_said() -> None:
    file = xr.Dataset(attrs={"model": "lorenz63", "parameters": [10.0, "many"]})
    with pytest.warns(Notice, match="lorenz63 made it, but its attributes parameters and"):
        model_attributes.compare(file, get_model("lorenz63"), by_name=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model_attributes.compare(file, get_model("lorenz84"), by_name=True)


def test_a_model_named_with_other_parameters_or_sizes_than_the_file() -> None:
    file = xr.Dataset(attrs=model_attributes.attributes(get_model("lorenz63", rho=20.0)))
    with pytest.warns(Notice, match="with rho=20; it is assimilated with rho=28. Leave out model"):
        model_attributes.compare(file, get_model("lorenz63"), by_name=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model_attributes.compare(file, get_model("lorenz63", rho=21.0), by_name=False)
        model_attributes.compare(file, get_model("lorenz63", rho=20.0), by_name=True)
        model_attributes.compare(file, get_model("lorenz96"), by_name=True)
    ocean = xr.Dataset(attrs=model_attributes.attributes(get_model("qg", n=33)))
    model_attributes.compare(ocean, get_model("qg", n=33), by_name=False)
    with pytest.raises(InputError, match=r"with n=33, and the model has n=129; .*parameter n=33"):
        model_attributes.compare(ocean, get_model("qg"), by_name=True)


def test_points_of_another_grid_are_refused(tmp_path, monkeypatch, capsys) -> None:
    truth = pyvda.simulate(get_model("qg", n=17), windows=1, steps=4, seed=1)
    pyvda.save_analysis(pyvda.observe(truth, "qg-altimetry", seed=2), tmp_path / "obs.nc")
    how = ("--method", "incremental", "-o", tmp_path / "analysis.nc")
    assert run(monkeypatch, "assimilate", tmp_path / "obs.nc", "--model", "qg", *how) == 2
    said = capsys.readouterr().err
    assert "leave out model (--model), or give it these sizes (--parameter n=17)" in said


@pytest.mark.parametrize(
    "command",
    [("forecast", "--steps", 2, "-o", "f.nc"), ("diagnose",), ("score", "--truth", "a.nc")],
)
def test_an_analysis_of_a_field_has_no_model(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(0).normal(size=(4, 5, 6))
    coords = {"time": np.arange(4.0), "lat": np.arange(5.0), "lon": np.arange(6.0)}
    field = xr.Dataset({"sst": (tuple(coords), values)}, coords)
    field["lat"].attrs["units"], field["lon"].attrs["units"] = "degrees_north", "degrees_east"
    analysis = pyvda.assimilate(field, method="oi")
    pyvda.save_analysis(analysis, "a.nc")
    assert run(monkeypatch, command[0], "a.nc", *command[1:]) == 2
    assert "is an analysis of a field by oi, without a model" in capsys.readouterr().err


def test_a_model_of_ones_own_is_not_compared() -> None:
    """Its file is not in the attributes, so that only its name could be."""
    own = pyvda.torch_model(lambda x: -x, variables=("x", "y", "z"), time_step=0.1)
    file = xr.Dataset(attrs=model_attributes.attributes(own))
    with warnings.catch_warnings():
        warnings.simplefilter("error", Notice)
        model_attributes.compare(file, own, by_name=False)
