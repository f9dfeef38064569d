"""What the corrections of networks depend on."""

import numpy as np
import torch
from point_networks import SETTINGS, batch, random_network

from pyvda.engine.data import Interpolated
from pyvda.fields.learned_points.neighbours import Neighbours, Units
from pyvda.fields.learned_points.network import NeighbourNetwork, inputs_of


def test_new_weights_correct_nothing_and_others_have_the_sign_of_the_data() -> None:
    given = batch()
    assert not NeighbourNetwork(SETTINGS).eval()(given).any()
    network = random_network()
    found = network(given)
    assert found.shape == (3, 20)
    assert found.abs().min() > 0
    torch.testing.assert_close(network(given._replace(apart=-given.apart)), -found)


def test_members_are_networks_of_their_own() -> None:
    network, given = random_network(), batch()
    network(given)[1].sum().backward()
    for parameter in network.parameters():
        others = parameter.grad[[0, 2]]
        assert not others.any()
    assert network.first.weight.grad[1].any()
    alone = random_network(SETTINGS.model_copy(update={"members": 2}))
    two = {name: one[:2] for name, one in network.state_dict().items()}
    alone.load_state_dict(two)
    torch.testing.assert_close(alone(given), network(given)[:2])


def test_data_beyond_the_reach_change_nothing() -> None:
    """A far datum, and a place in the row without one, leave the correction as it is."""
    network = random_network()
    rng = np.random.default_rng(0)
    found = Interpolated(*(np.abs(rng.normal(size=5)) for _ in range(4)))
    around = Neighbours(
        rng.normal(size=(5, 4, 6)),
        rng.normal(size=(5, 4)),
        np.tile([0.5, 1.0, 3.9, np.inf], (5, 1)),
    )
    corrections = []
    for far in (0.0, 100.0):
        value, features = around.value.copy(), around.features.copy()
        value[:, 3] += far
        features[:, 3] += far
        if far:
            value[:, 2] += far
        one = around._replace(value=value, features=features)
        inputs = inputs_of(found, one, 1.1, Units(50.0, 5.0), 3.5)
        assert inputs.near[:, :2].min() > 0.9
        corrections.append(network(inputs))
    torch.testing.assert_close(*corrections)
