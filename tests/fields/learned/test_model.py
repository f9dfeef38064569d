import json

import pytest
import torch
from field_models import STACK, TOGETHER, UNET, VARIATIONAL, random_model
from gappy import COVARIANCE, field
from safetensors.torch import load as read_weights

from pyvda.errors import InputError
from pyvda.fields.learned.model import FieldModel

pytestmark = pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")


@pytest.mark.parametrize("network", [UNET, TOGETHER, VARIATIONAL, STACK])
def test_a_network_comes_back_as_it_was_saved(network, tmp_path) -> None:
    model = random_model(field()[0], network)
    model.save(tmp_path)
    again = FieldModel.load(tmp_path)
    assert again.about == model.about
    for name, value in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=0, atol=0)


def test_the_noise_is_that_of_the_covariance_times_a_learned_factor() -> None:
    model = random_model(field()[0])
    model.log_noise.data += 0.5
    torch.testing.assert_close(
        model.noise(), COVARIANCE.nugget * torch.tensor([0.5]).exp(), check_dtype=False
    )


def test_a_damaged_or_foreign_file_is_refused(tmp_path) -> None:
    random_model(field()[0]).save(tmp_path)
    [weights] = tmp_path.glob("*.safetensors")
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + b"x")
    with pytest.raises(InputError, match="damaged"):
        FieldModel.load(tmp_path)
    weights.write_bytes(whole)
    described = json.loads((tmp_path / "field.json").read_text())
    described["network"]["widths"] = [4, 7]
    (tmp_path / "field.json").write_text(json.dumps(described))
    with pytest.raises(InputError, match="do not belong to the architecture"):
        FieldModel.load(tmp_path)
    weights.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        FieldModel.load(tmp_path)


def test_half_the_precision_halves_the_network_and_leaves_statistics(tmp_path) -> None:
    """A mean of 101 325 Pa is beyond the largest number of half precision."""
    model = random_model(field()[0])
    model.mean += 101325.0
    model.save(tmp_path, half=True)
    [weights] = tmp_path.glob("*.safetensors")
    stored = read_weights(weights.read_bytes())
    assert all(stored[name].dtype == torch.float16 for name, _ in model.named_parameters())
    again = FieldModel.load(tmp_path)
    torch.testing.assert_close(again.mean, model.mean, rtol=0, atol=0)
    for name, value in model.state_dict().items():
        found = again.state_dict()[name]
        assert found.dtype == value.dtype
        torch.testing.assert_close(found, value, rtol=1e-3, atol=1e-6)
