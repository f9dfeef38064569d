"""Turns: each is its own inverse, and their mean has the symmetry."""

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
