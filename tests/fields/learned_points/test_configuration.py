"""The configuration of a training on data at points."""

from pathlib import Path

import pytest

from pyvda.errors import InputError
from pyvda.fields.learned_points.configuration import PointConfiguration
from pyvda.training.configuration import read_yaml
from pyvda.validation_errors import validated

EXPERIMENTS = sorted((Path(__file__).parents[3] / "experiments/points").glob("*.yaml"))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_experiments_are_configurations(path) -> None:
    validated(PointConfiguration, read_yaml(path, "configuration", "sections"), str(path))


def test_only_observations_are_needed_and_unknown_keys_are_refused() -> None:
    least = validated(PointConfiguration, {"points": {"observations": "a.nc"}}, "here")
    assert least.points.files() == ["a.nc"]
    assert least.network.members == 5
    both = {"points": {"observations": ["a.nc", "b.nc"]}}
    assert validated(PointConfiguration, both, "here").points.files() == ["a.nc", "b.nc"]
    with pytest.raises(InputError, match="observation"):
        validated(PointConfiguration, {"points": {"observation": "a.nc"}}, "here")
    with pytest.raises(InputError, match="kind"):
        validated(PointConfiguration, least.model_dump() | {"network": {"kind": "unet"}}, "here")
