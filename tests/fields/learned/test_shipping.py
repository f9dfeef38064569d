"""What is shipped is what was trained, rounded, with the score of a twin experiment."""

import json

import numpy as np
import pytest
from field_models import TOGETHER, random_model
from gappy import field

import pyvda
from pyvda.errors import InputError
from pyvda.fields.learned.model import FieldModel
from pyvda.fields.learned.shipping import Twin, scored, ship

pytestmark = pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")
TWIN = Twin("quasi-geostrophic", "qg-altimetry", {"n": 17}, 2, 6, 5, 7)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a training on the twin's grid, with random weights."""
    folder = tmp_path_factory.mktemp("run")
    truth = pyvda.simulate(TWIN.model, 1, 1, steps=6, parameters=TWIN.parameters)
    random_model(
        truth.isel(window=0), TOGETHER, first_guess="mean", units="1"
    ).save(folder)  # fmt: skip
    (folder / "training.json").write_text(json.dumps({"wall_seconds": 3.0}))
    return folder


@pytest.mark.filterwarnings("ignore::pyvda.learned.patterns.PatternWarning")
def test_the_score_is_that_of_the_shipped_weights_on_each_window(run, tmp_path) -> None:
    found = ship(run, "small", TWIN, tmp_path)
    stored = json.loads((tmp_path / "small/scores.json").read_text())
    assert stored == found
    assert Twin(**stored["twin"]) == TWIN
    assert json.loads((tmp_path / "small/training.json").read_text()) == {"wall_seconds": 3.0}
    assert found["rmse"] == pytest.approx(scored(tmp_path / "small", TWIN)["rmse"])
    squares = np.square(found["rmse_by_window"])
    assert len(squares) == 2
    assert found["rmse"] ** 2 == pytest.approx(squares.mean())
    truth = pyvda.simulate(TWIN.model, 2, 5, steps=6, parameters=TWIN.parameters).isel(window=[1])
    tracks = pyvda.observe(truth, TWIN.preset, 8)
    analysis = pyvda.assimilate(tracks, variable="psi", grid=truth, checkpoint=run)
    error = float(np.sqrt(((analysis.psi - truth.psi[0]) ** 2).mean()))
    assert found["rmse_by_window"][1] == pytest.approx(error, rel=1e-3)  # of weights not rounded


def test_weights_are_those_of_the_run_to_half_precision(run, tmp_path) -> None:
    FieldModel.load(run).save(tmp_path, half=True)
    shipped, trained = (FieldModel.load(one).state_dict() for one in (tmp_path, run))
    for name, value in trained.items():
        np.testing.assert_allclose(shipped[name], value, rtol=1e-3, atol=1e-6)


def test_a_folder_without_a_network_is_refused(tmp_path) -> None:
    field()[0].to_netcdf(tmp_path / "obs.nc")
    with pytest.raises(InputError, match="holds no network for fields"):
        ship(tmp_path, "small", TWIN, tmp_path / "weights")
    assert not (tmp_path / "weights").exists()


@pytest.mark.parametrize(("name", "seed"), [("truth_seed", 5), ("observation_seed", 8)])
def test_a_twin_with_a_seed_of_the_training_is_refused(name, seed, tmp_path) -> None:
    """The second window of the twin is observed with the seed 8."""
    random_model(field()[0], trained={name: seed}).save(tmp_path / "run")
    with pytest.raises(InputError, match=f"trained with the {name} {seed}, which the twin"):
        ship(tmp_path / "run", "small", TWIN, tmp_path / "weights")
    assert not (tmp_path / "weights").exists()
