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


def test_half_the_precision_takes_half_the_space(tmp_path) -> None:
    model = random_model(field()[0])
    sizes = []
    for half in (False, True):
        model.save(tmp_path / str(half), half=half)
        [weights] = (tmp_path / str(half)).glob("*.safetensors")
        sizes.append(sum(t.nbytes for t in read_weights(weights.read_bytes()).values()))
    again = FieldModel.load(tmp_path / "True")
    assert sizes[1] < 0.52 * sizes[0]
    for name, value in model.state_dict().items():
        found = again.state_dict()[name]
        assert found.dtype == value.dtype
        torch.testing.assert_close(found, value, rtol=1e-3, atol=1e-6)
