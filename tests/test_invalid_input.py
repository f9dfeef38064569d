"""Unusable input of the command line and `assimilate`: one sentence, exit code 2, no output."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import pyvda
from pyvda.cli.main import main
from pyvda.errors import InputError
from pyvda.io import netcdf
from pyvda.io.netcdf import open_dataset
from pyvda.learned.patterns import PatternWarning
from pyvda.methods import METHODS
from pyvda.settings import chosen_method, configured, settled
from pyvda.state import chunking
from pyvda.validation_errors import validated

SHIPPED = "lorenz63-blanked-shooting"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    truth = pyvda.simulate("lorenz63", 5, 1)
    pyvda.save_analysis(truth, folder / "truth.nc")
    observed = pyvda.observe(truth, "lorenz63", 2)
    pyvda.save_analysis(observed, folder / "obs.nc")
    series = xr.Dataset(
        {"observation": (("time", "state"), observed["observation"].values.reshape(1000, 3))},
        {"time": np.arange(1000) * 0.01},
    )
    pyvda.save_analysis(series, folder / "series.nc")
    return folder


def run(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["pyvda", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def refused(monkeypatch, capsys, tmp_path, message, *arguments) -> None:
    out = tmp_path / "out" / "analysis.nc"
    out.parent.mkdir(exist_ok=True)
    assert run(monkeypatch, "assimilate", *arguments, "-o", out) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error, error
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--set", "report=3"], "report is not an option"),
        (["--set", "observations=3"], "observations is not an option"),
        (["--set", "resume_file=a"], "resume_file is now called state"),
        (["--set", "lambda1=abc"], "lambda1 is 'abc'"),
        (["--set", "lambda1=-1"], "lambda1 is -1"),
        (["--set", "lambda1=.nan"], "lambda1 is nan"),
        (["--set", "lambda2=.inf"], "lambda2 is inf"),
        (["--set", "lambda1=0", "--set", "lambda2=0"], "both 0"),
        (["--set", "time_step=abc"], "time_step is 'abc'"),
        (["--set", "model=[a]"], "model is ['a']"),
        (["--set", "model=[a"], "cannot be read"),
        (["--set", "checkpoint=3"], "checkpoint is 3"),
        (["--time-step", "inf"], "time_step is inf"),
        (["--time-step", "1e-300"], "time_step is 1e-300"),
        (["--overlap", "40"], "give window (--window)"),
        (["--window", "1"], "window is 1"),
        (["--set", "step=.inf"], "step is inf"),
        (["--set", "tolerance=.nan"], "tolerance is nan"),
        (["--method", "posterior-mean", "--set", "bandwidth=.inf"], "bandwidth is inf"),
        (["--method", "posterior-mean", "--set", "bandwidth=1e-300"], "bandwidth is '1e-300'"),
        (["--method", "posterior-mean", "--set", "seed=-1"], "seed is -1"),
        (["--method", "annealed", "--set", "model_error=1e-320"], "model_error: found 1e-320"),
        (["--method", "annealed", "--set", "seed=99999999999999999999"], "seed is 9999"),
        (["--method", "ensemble-smoother", "--set", "inflation=.inf"], "inflation is inf"),
        (["--method", "ensemble-smoother", "--set", "seed=-1"], "seed is -1"),
        (["--method", "gauss-newton", "--state", "st.npz"], "keeps no state in a file"),
        (["--method", "gauss-newton", "--checkpoint", SHIPPED], "takes the place of a method"),
        (["--checkpoint", "lorenz63-gen-conv.2"], "models lorenz63-genn-conv"),
        (["--checkpoint", "lorenz63-gen-conv.2", "--iterations", "5"], "there is no learned model"),
        (["--method", "fsgd", "--memory", "2"], "memory"),
        (["--method", "letkf", "--memory", "2"], "memory"),
        (["--method", "oi", "--memory", "2"], "memory"),
        (["--checkpoint", SHIPPED, "--memory", "2"], "memory"),
        (["--method", "incremental", "--memory", "1e-9"], "give as much (--memory "),
        (["--warm-start", "qg-altimetry"], "is a network for fields"),
        (["--method", "annealed", "--set", "lambda1=0.5"], "lambda1 would have no effect"),
        (["--method", "strong-constraint", "--lambda2", "2"], "lambda2 would have no effect"),
        (["--checkpoint", SHIPPED, "--lambda1", "0.01"], "lambda1 would have no effect"),
        (["--method", "gauss-newton", "--set", "form=statistical", "--lambda1", "0.01"],
         "lambda1 would have no effect"),
        (["--warm-start", __file__], "is a file, and a learned model is a folder"),
        (["--checkpoint", "lorenz63-shooting", "--set", "device=mps"], "no such device here)"),
        (["--checkpoint", "lorenz63-shooting", "--set", "device=meta"], "no such device here)"),
    ],
)  # fmt: skip
def test_a_wrong_setting(more, message, folder, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    refused(monkeypatch, capsys, tmp_path, message, folder / "obs.nc", *more)
    assert not (tmp_path / "st.npz").exists()


@pytest.mark.parametrize("weight", ["lambda1", "lambda2"])
@pytest.mark.parametrize(
    "options",
    [
        {"method": "annealed"},
        {"method": "ensemble-smoother"},
        {"method": "gauss-newton", "form": "statistical"},
        {"method": "incremental"},
        {"method": "letkf"},
        {"method": "posterior-mean"},
        {"method": "strong-constraint"},
    ],
    ids=lambda options: options["method"],
)
def test_a_method_without_the_cost_4_refuses_its_weights(options: dict, weight: str) -> None:
    with pytest.raises(
        InputError, match=f"^{weight} would have no effect: .*; leave .*, or choose"
    ):
        chosen_method(*settled({**options, weight: 0.5}))


def test_a_wrong_setting_in_a_file(folder, tmp_path, monkeypatch, capsys) -> None:
    config = tmp_path / "options.yaml"
    for text, message in (
        ("method: [fsgd]\n", "method is ['fsgd']"),
        ("method:\n", "method is None"),
        ("report: 3\n", "report is not an option"),
        ("variable: 3\n", "variable is 3"),
        ("block: 0\n", "block is 0"),
        (f"block: {2**70}\n", "block is 1180591620717411303424"),
    ):
        config.write_text(text)
        refused(monkeypatch, capsys, tmp_path, message, folder / "obs.nc", "--config", config)


@pytest.mark.parametrize("method", METHODS)
def test_options_refuse_infinities_nan_and_negative_seeds(method: str) -> None:
    """For every method: infinities, NaN, or a negative seed."""
    needed = {"checkpoint": SHIPPED} if method == "learned" else {}
    kind = METHODS[method].options
    for name, field in kind.model_fields.items():
        if "float" in str(field.annotation):
            for value in (np.inf, -np.inf, np.nan):
                with pytest.raises(InputError, match=name):
                    configured(method, {**needed, name: value})
        if name == "seed":
            for value in (-1, 2**64):
                with pytest.raises(InputError, match="seed is"):
                    configured(method, {**needed, name: value})


def test_settings_are_told_from_options() -> None:
    values = {"lambda1": np.float32(0.5), "window": np.int64(200), "iterations": 3}
    settings, options = settled(values)
    assert (settings.lambda1, settings.window, settings.method) == (0.5, 200, "fsgd")
    assert options == {"iterations": 3}
    with pytest.raises(InputError, match=r"^x.yaml: unknown key a; .*\(checkpoint, "):
        validated(METHODS["learned"].options, {"a": 1, "checkpoint": "b"}, "x.yaml")


@pytest.mark.parametrize("given", ["two", [1.0, 2.0], np.nan, -1.0])
def test_an_invalid_variance(given, folder) -> None:
    observed = open_dataset(folder / "obs.nc")
    observed.attrs["observation_error_variance"] = given
    with pytest.raises(InputError, match="the attribute observation_error_variance is"):
        pyvda.assimilate(observed, iterations=1)


def test_a_valid_variance() -> None:
    for given in (2, 2.0, np.float32(2.0), np.array([2.0])):
        ds = xr.Dataset(attrs={"observation_error_variance": given})
        assert netcdf.stated_variance(ds) == 2.0
    assert netcdf.stated_variance(xr.Dataset()) is None


@pytest.mark.julia
def test_the_remedy_for_an_unknown_variance_works(folder, tmp_path, monkeypatch, capsys) -> None:
    observed = open_dataset(folder / "obs.nc").isel(window=slice(2))
    del observed.attrs["observation_error_variance"]
    pyvda.save_analysis(observed, tmp_path / "o.nc")
    for method in ("ensemble-smoother", "gauss-newton"):
        common = [tmp_path / "o.nc", "--method", method, "-q"]
        if method == "gauss-newton":
            common += ["--set", "form=statistical", "--set", "every=8"]
        refused(monkeypatch, capsys, tmp_path, "--set observation_variance=2", *common)
        common += ["--set", "observation_variance=2", "-o", tmp_path / "a.nc"]
        assert run(monkeypatch, "assimilate", *common) == 0, capsys.readouterr().err


def test_seeds_and_variances_of_a_twin(folder, tmp_path, monkeypatch, capsys) -> None:
    out = tmp_path / "t.nc"
    simulate = ["simulate", "lorenz63", "--windows", 1, "-o", out]
    assert run(monkeypatch, *simulate, "--seed", 99999999999999999999) == 2
    assert "seed" in capsys.readouterr().err
    for variance in ("nan", "inf", "-1"):
        observe = ["observe", folder / "truth.nc", "--preset", "lorenz63", "-o", out]
        assert run(monkeypatch, *observe, "--variance", variance) == 2
        error = capsys.readouterr().err.strip()
        assert f"the error variance is {float(variance)}" in error
        assert "\n" not in error
    assert not out.exists()
    for seed in (-1, 2**63):
        with pytest.raises(InputError, match="the seed is"):
            pyvda.simulate("lorenz63", 1, seed)
        with pytest.raises(InputError, match="the seed is"):
            pyvda.observe(open_dataset(folder / "truth.nc"), "lorenz63", seed)


def test_scores_refuse_bad_options_before_computing(folder, tmp_path, monkeypatch, capsys) -> None:
    analysis = tmp_path / "a.nc"
    pyvda.save_analysis(pyvda.assimilate(open_dataset(folder / "obs.nc"), iterations=1), analysis)
    half = open_dataset(analysis).drop_vars("innovation")
    pyvda.save_analysis(half, tmp_path / "half.nc")

    def worked(*_: object, **__: object) -> None:
        pytest.fail("scored before all input was checked")

    monkeypatch.setattr(importlib.import_module("pyvda.evaluate"), "evaluate", worked)
    common = ["score", analysis, "--truth", folder / "truth.nc"]
    for arguments, message in (
        ([*common, folder / "obs.nc"], "'analysis'"),
        ([*common, tmp_path / "half.nc"], "'innovation'"),
        ([*common, tmp_path / "missing.nc"], "does not exist"),
        ([*common, "--json", tmp_path / "no" / "s.json"], "create it first"),
    ):
        assert run(monkeypatch, *arguments) == 2
        assert message in capsys.readouterr().err


def small_blocks(monkeypatch) -> None:
    """Let two windows of 200 steps of Lorenz-63 be a block."""
    monkeypatch.setattr(chunking, "ONE_BLOCK_BYTES", 1000)
    monkeypatch.setattr(chunking, "block_size", lambda size, count: max(1, 9600 // size))


def test_a_series_in_blocks(folder, tmp_path, monkeypatch) -> None:
    common = ["assimilate", folder / "series.nc", "--model", "lorenz63", "--window", 200,
              "--overlap", 40,
              "--iterations", 50, "-q"]  # fmt: skip
    assert run(monkeypatch, *common, "-o", tmp_path / "whole.nc") == 0
    state = ["--state", tmp_path / "state"]
    assert run(monkeypatch, *common, *state, "--block", 2, "-o", tmp_path / "blocks.nc") == 0
    assert sorted(p.name for p in tmp_path.glob("state*")) == ["state", "state.2", "state.4"]
    small_blocks(monkeypatch)
    assert run(monkeypatch, *common, "-o", tmp_path / "large.nc") == 0
    whole = open_dataset(tmp_path / "whole.nc")
    for name in ("blocks.nc", "large.nc"):
        found = open_dataset(tmp_path / name)
        np.testing.assert_array_equal(found["analysis"].values, whole["analysis"].values)
        assert "history_cost" not in found
    assert "history_cost" in whole


def test_a_large_zarr_store_is_read_in_blocks(folder, tmp_path, monkeypatch) -> None:
    observed = open_dataset(folder / "obs.nc")
    pyvda.save_analysis(observed, tmp_path / "obs.zarr")
    sizes: list[int] = []
    method = METHODS["fsgd"]

    def spy(problem, options, **more):
        sizes.append(len(problem.batch))
        return method.solve(problem, options, **more)

    monkeypatch.setitem(METHODS, "fsgd", method._replace(solve=spy))
    common = ["assimilate", tmp_path / "obs.zarr", "--iterations", 1, "-q", "-o", tmp_path / "a.nc"]
    assert run(monkeypatch, *common) == 0
    assert sizes == [5]
    sizes.clear()
    small_blocks(monkeypatch)
    assert run(monkeypatch, *common) == 0
    assert sorted(sizes) == [1, 2, 2]


@pytest.mark.parametrize("small", [False, True])
def test_blocks_with_a_truth(small, folder, tmp_path, monkeypatch) -> None:
    if small:
        small_blocks(monkeypatch)
    for name, file in (("obs.nc", "truth.nc"), ("series.nc", "long.nc")):
        more: list[object] = []
        if name == "series.nc":
            truth = open_dataset(folder / "truth.nc")["truth"].values.reshape(1000, 3)
            long = xr.Dataset({"truth": (("time", "state"), truth)})
            pyvda.save_analysis(long, tmp_path / file)
            more = ["--model", "lorenz63", "--window", 200]
        path = tmp_path / file if more else folder / file
        common = ["assimilate", folder / name, *more, "--iterations", 1, "-q"]
        common += ["--truth", path, "--block", 2, "-o", tmp_path / "a.nc"]
        assert run(monkeypatch, *common) == 0
        plain = pyvda.assimilate(
            open_dataset(folder / name), model="lorenz63", window=200 if more else None,
            iterations=1,
        )  # fmt: skip
        found = open_dataset(tmp_path / "a.nc")
        np.testing.assert_array_equal(found["analysis"].values, plain["analysis"].values)


def test_a_descent_of_which_every_window_diverges_has_a_history(folder, recwarn) -> None:
    observed = open_dataset(folder / "obs.nc")
    analysis = pyvda.assimilate(observed, iterations=1000, step=1e9)
    assert (analysis["status"] == pyvda.names.Status.DIVERGED).all()
    assert np.isnan(analysis["history_cost"].values[-1])
    assert not [str(one.message) for one in recwarn if "empty" in str(one.message)]


def test_a_plot_without_a_descent_gives_the_reason(folder, tmp_path, monkeypatch, capsys) -> None:
    observed = pyvda.open_observations(folder / "obs.nc")
    other = {"method": "gauss-newton", "model": "lorenz63"}
    for options, said in (({}, False), ({"block": 2}, True), (other, False)):
        analysis = pyvda.assimilate(observed, iterations=1, **options)
        pyvda.save_analysis(analysis, tmp_path / "a.nc")
        assert run(monkeypatch, "plot", tmp_path / "a.nc", "-o", tmp_path / "a.png") == 0
        assert ("without a descent" in capsys.readouterr().out) is said


def test_weights_to_start_from_are_checked_too(folder) -> None:
    observed = open_dataset(folder / "obs.nc").isel(window=slice(2))
    other = observed.assign(observation=observed["observation"].where(observed.time % 0.16 < 0.01))
    with pytest.warns(PatternWarning, match="trained on") as warned:
        found = pyvda.assimilate(other, warm_start=SHIPPED, iterations=1)
    assert len([one for one in warned if one.category is PatternWarning]) == 1
    assert warned[0].filename == __file__
    assert "trained on" in found.attrs["pyvda_pattern_difference"]
    assert json.loads(found.attrs["pyvda_configuration"])["method"] == "fsgd"
