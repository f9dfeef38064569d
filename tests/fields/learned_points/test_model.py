"""A network on the disk, and its corrections of an interpolation."""

import numpy as np
import pytest
import torch
from gappy import COVARIANCE, drawn_passes
from point_networks import SETTINGS, random_model

from pyvda.engine.data import Interpolated
from pyvda.errors import InputError
from pyvda.fields.learned_points import model as module
from pyvda.fields.learned_points.description import read_description
from pyvda.fields.learned_points.model import PointModel
from pyvda.fields.learned_points.neighbours import Units, neighbours_of
from pyvda.fields.learned_points.network import inputs_of


def test_a_stored_model_is_read_back(tmp_path) -> None:
    model = random_model()
    model.save(tmp_path / "run")
    again = PointModel.load(tmp_path / "run")
    assert again.about == model.about
    for name, one in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], one, rtol=0, atol=0)
    weights = tmp_path / "run" / read_description(tmp_path / "run").weights
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match=r"is damaged: its SHA-256 is not the one in points\.json"):
        PointModel.load(tmp_path / "run")


def test_the_correction_is_the_mean_of_the_members(monkeypatch) -> None:
    model, rows = random_model(), drawn_passes(count=10, each=6)
    monkeypatch.setattr(module, "_BATCH", 7)
    asked = rows.at(np.arange(0, 60, 3))
    rng = np.random.default_rng(0)
    first = Interpolated(*(rng.uniform(0.1, 1.0, 20) for _ in range(4)))
    found = model.corrected(rows, asked.places, asked.days, first)
    units = Units(50.0, 5.0)
    around = neighbours_of(rows, asked.places, asked.days, COVARIANCE, units, SETTINGS.data)
    inputs = inputs_of(first, around, 1.1, units, 4.0)
    with torch.no_grad():
        change = (model.network(inputs) * inputs.unit).numpy().mean(0)
    assert np.abs(change).max() > 0.01
    np.testing.assert_allclose(found.value - first.value, change, atol=1e-6)
    np.testing.assert_array_equal(found.variance, first.variance)
