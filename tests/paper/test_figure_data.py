"""What a figure draws is stored, and drawn again as it was."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread
from scipy.integrate import trapezoid

from pyvda.paper.figure_data import of_errors_and_examples, of_maps, write
from pyvda.paper.figures import Drawn, Reconstruction
from pyvda.paper.illustrate import drawn
from pyvda.plotting.style import save_figure

FIGURES = Path(__file__).parents[2] / "docs/figures"


def stored(figure: str) -> tuple[xr.Dataset, dict]:
    with xr.open_dataset(FIGURES / f"{figure}.nc") as data:
        return data.load(), json.loads((FIGURES / f"{figure}.json").read_text())


@pytest.mark.parametrize("of", [of_errors_and_examples, of_maps])
def test_data_come_back_from_their_file(of, tmp_path) -> None:
    rng = np.random.default_rng(1)
    truth = 20 * rng.normal(size=(5, 30, 3))
    observation = np.where(rng.random(truth.shape) < 0.2, truth, np.nan)
    found = [
        Reconstruction(Drawn(name, "k"), truth + rng.normal(size=truth.shape)) for name in "ab"
    ]
    data = of(found, truth, observation, time_step=0.5)
    write(data, tmp_path / "a.nc")
    with xr.open_dataset(tmp_path / "a.nc") as back:
        assert back.load().sizes == data.sizes
    for name, variable in data.variables.items():
        if variable.dtype.kind == "f":
            np.testing.assert_allclose(back[name], variable, rtol=1e-6, atol=2e-2)
    np.testing.assert_array_equal(back["observation"].isnull(), data["observation"].isnull())
    assert (tmp_path / "a.nc").stat().st_size < 70_000


def test_the_stored_densities_have_the_quantiles_of_the_errors() -> None:
    data, numbers = stored("figure3")
    assert list(data["solver"].values) == list(numbers["solvers"])
    for label, solver in numbers["solvers"].items():
        for component, (median, *_) in enumerate(solver["absolute_error"]):
            at, density = (data[n].sel(solver=label)[component] if n == "density"
                           else data[n][component] for n in ("error", "density"))  # fmt: skip
            inside = trapezoid(np.where(abs(at) <= median, density, 0.0), at)
            assert inside == pytest.approx(0.5, abs=0.08), (label, component)


def test_the_stored_maps_have_the_scores_of_their_solvers() -> None:
    data, numbers = stored("figure4")
    error = ((data["analysis"] - data["truth"]) ** 2).mean(("time", "component"))
    known = {label: one["r_score"] for label, one in numbers["solvers"].items()}
    assert list(data["solver"].values) == list(known)
    np.testing.assert_allclose(error, list(known.values()), rtol=2e-3)


def test_the_image_of_the_readme_is_what_the_code_draws(tmp_path) -> None:
    save_figure(drawn("figure3", stored("figure3")[0]), tmp_path / "a.png")
    here, committed = (
        imread(path)[..., :3] for path in (tmp_path / "a.png", FIGURES / "figure3.png")
    )
    assert here.shape == committed.shape
    assert np.abs(here - committed).mean() < 0.005
    assert committed.std() > 0.02


@pytest.mark.parametrize("figure", ["figure3", "figure4"])
def test_a_stored_figure_is_drawn(figure) -> None:
    data, numbers = stored(figure)
    canvas = FigureCanvasAgg(drawn(figure, data))
    assert {str(label) for label in data["solver"].values} == set(numbers["solvers"])
    assert len(canvas.figure.get_axes()) > 10
