"""Turns: each is its own inverse, and their mean has the symmetry."""

import pytest
import torch
from field_models import TOGETHER, UNET, inputs, random_model
from gappy import field

from pyvda.fields.learned.turns import mean_of_turns, turned


def test_twice_the_same_turn_is_none_and_signs_are_those_of_values() -> None:
    batch = inputs(2)._asdict() | {"number": torch.arange(2)}
    for turn in (("sign", "y"), ("time",), ("x",), ("sign", "time", "y", "x")):
        found = turned(batch, turn)
        again = turned(found, turn)
        for name, one in batch.items():
            torch.testing.assert_close(again[name], one, rtol=0, atol=0)
        assert not torch.equal(found["values"], batch["values"])
        assert torch.equal(found["number"], batch["number"])
        assert (found["mask"] >= 0).all()
        assert (found["spread"] > 0).all()


def test_the_mean_of_turns_turns_with_the_field() -> None:
    for network in (UNET, TOGETHER):
        given = inputs(days=network.days, shape=(4, 5))
        model = random_model(field()[0], network).double()
        turn = ("sign", "y")
        alone, _, _ = model(given)
        one, variance = mean_of_turns(model, given, [turn])
        other = given._replace(**turned(given._asdict(), turn))
        found, again = mean_of_turns(model, other, [turn])
        torch.testing.assert_close(found, -one.flip(-2))
        torch.testing.assert_close(again, variance.flip(-2))
        assert not torch.allclose(model(other)[0], -alone.flip(-2))
        torch.testing.assert_close(mean_of_turns(model, given, [])[0], alone)


@pytest.mark.parametrize("turn", [("sign", "y"), ("time", "x"), ("y", "x"), ("y",)])
def test_coordinates_are_those_of_mirror_images(turn) -> None:
    """Of a whole grid they stay as they are; of a tile those are seen of its mirror image."""
    x, y = torch.meshgrid(torch.linspace(-1, 1, 6), torch.linspace(1, -1, 5), indexing="xy")
    whole = torch.stack((torch.rand(5, 6), x, x, x, y))[None]
    mirrored = turned({"static": whole}, turn)["static"]
    if len(turn) == 1:  # the axis runs the other way, and points keep their coordinates
        torch.testing.assert_close(mirrored, whole.flip(-2), rtol=0, atol=0)
        return
    torch.testing.assert_close(mirrored[:, 3:], whole[:, 3:])
    axes = [axis for axis, name in ((-2, "y"), (-1, "x")) if name in turn]
    torch.testing.assert_close(mirrored[:, 0], whole[:, 0].flip(axes), rtol=0, atol=0)
    near, far = slice(None, 2), slice(-2, None)
    image = whole[:, 3:, far if "y" in turn else near, far if "x" in turn else near]
    found = turned({"static": whole[..., near, near]}, turn)["static"]
    torch.testing.assert_close(found[:, 3:], image)
