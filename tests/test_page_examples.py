"""The page whose example takes minutes: its commands exist, and what it shows is of these."""

import importlib.util
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import pyvda
from pyvda.cli.main import command_of

ROOT = Path(__file__).parents[1]
FIELDS = ROOT / "docs/results/large-states.nc"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("examples", ROOT / "scripts/page_examples.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def printed() -> dict[str, str]:
    return json.loads((ROOT / "docs/results/large-states.json").read_text("utf-8"))["printed"]


def test_its_commands_have_the_options_that_they_use(script) -> None:
    found = script.commands()
    assert [arguments[1] for arguments in found][:2] == ["simulate", "observe"]
    for _, name, *arguments in found:
        command_of(name).make_context(name, list(arguments))


def test_what_is_shown_is_of_the_commands_on_the_page(script) -> None:
    shown = [shlex.join(one) for one in script.commands() if one[1] in script.SHOWN]
    assert list(printed()) == shown, "run python scripts/page_examples.py"


def test_the_fields_drawn_have_the_score_that_was_printed() -> None:
    analysis, truth, tracks = (
        xr.load_dataset(FIELDS, group=name) for name in ("analysis", "truth", "observations")
    )
    (scores,) = (text for command, text in printed().items() if " score " in command)
    r_score = float(scores.split()[1])  # over all times
    found = float(((analysis["psi"] - truth["psi"]) ** 2).mean())
    assert found == pytest.approx(r_score, rel=0.1)
    maps = pyvda.plot(analysis, truth, observations=tracks)
    assert [axis.get_title() for axis in maps] == [
        "truth", "observations", "analysis", "error", "spread"
    ]  # fmt: skip


def test_what_is_kept_are_the_fields_of_some_times(script, tmp_path) -> None:
    rng = np.random.default_rng(1)
    grid = {"time": 5.0 * np.arange(21), "y": [0.0, 0.5, 1.0], "x": [0.0, 1.0]}
    field = xr.DataArray(rng.normal(size=(1, 21, 3, 2)), dims=("window", *grid), coords=grid)
    whole = xr.Dataset({"psi": field, "psi_stdev": abs(field), "psi_innovation": 0 * field})
    whole.to_netcdf(tmp_path / "analysis.nc")
    whole[["psi"]].to_netcdf(tmp_path / "truth.nc")
    obs = xr.Dataset({"psi": ("obs", [1.0, 2.0, 3.0])}, {"time": ("obs", [0.0, 97.0, 98.0])})
    obs.to_netcdf(tmp_path / "obs.nc")
    script.keep_fields(tmp_path, tmp_path / "kept.nc")
    kept = xr.load_dataset(tmp_path / "kept.nc", group="analysis")
    np.testing.assert_allclose(kept["psi"], field.isel(time=list(script.TIMES)), atol=5e-3)
    tracks = xr.load_dataset(tmp_path / "kept.nc", group="observations")
    np.testing.assert_allclose(tracks["psi"], [3.0], rtol=2e-3)
