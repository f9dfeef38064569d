"""The section `data`: keys decide whether windows are simulated or read, mixtures are refused."""

import pytest
from pydantic import TypeAdapter, ValidationError

from pyvda.models.registry import get_preset
from pyvda.training.data_settings import AnyData, Data, Files

any_data = TypeAdapter(AnyData)


def test_keys_decide() -> None:
    assert any_data.validate_python({}) == Data()
    assert any_data.validate_python({"preset": "lorenz96", "windows": 3}) == Data(
        preset="lorenz96", windows=3
    )
    files = any_data.validate_python({"truth": "x.nc"})
    assert files == Files(truth="x.nc")
    for given in (Data(windows=3), files):  # as read from a stored configuration
        assert any_data.validate_python(given.model_dump(mode="json", exclude_unset=True)) == given


def test_a_preset_with_another_length() -> None:
    assert Data(preset="lorenz63").setting() == get_preset("lorenz63")
    short = Data(preset="lorenz63", steps=12)
    assert short.setting().steps == 12
    assert short.dynamics() == get_preset("lorenz63").model
    assert (short.name(), short.has_truth(), short.has_observations()) == ("lorenz63", True, True)


def test_what_files_have() -> None:
    found = Files(observations="data/obs.nc")
    assert (found.name(), found.has_truth(), found.has_observations()) == ("obs.nc", False, True)
    assert not found.has_files_to_select_by()
    assert not found.is_of_file()
    of_file = Files(truth="t.nc", model="models.py:wave", validation_truth="v.nc")
    assert of_file.is_of_file()
    assert of_file.has_files_to_select_by()
    assert (
        Files(truth="t.nc", model="lorenz63", parameters={"rho": 20}).dynamics().parameters[1] == 20
    )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"preset": "lorenz64"}, "the presets are "),
        ({"seed": 2}, "validates on training data"),
        ({"missing": 1.0}, "less than 1"),
        ({"preset": "lorenz63", "truth": "x.nc"}, r"both preset and keys of files \(truth\)"),
        ({"truth": "x.nc", "steps": 5}, "steps: only windows that a preset's model simulates"),
        ({"observations": None}, "neither observations nor truth"),
        ({"truth": "x.nc", "model": "wave"}, "model is 'wave', the models are"),
        ({"truth": "x.nc", "overlap": 4}, "expected a longer window"),
        ({"truth": "x.nc", "overlap": 4, "window": 4}, "expected a longer window"),
        (
            {"truth": "x.nc", "observations": "y.nc", "validation_truth": "v.nc"},
            "expected a file for both or for none",
        ),
        ({"truth": "x.nc", "validation_truth": "v.nc", "validation": 3}, "remove one of the two"),
    ],
)
def test_contradictions_are_refused(values: dict, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        any_data.validate_python(values)
