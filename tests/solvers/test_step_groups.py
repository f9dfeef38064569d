"""Groups of steps: the way to a grid and back, and a network that starts as nothing."""

import pytest
import torch

from pyvda.errors import InputError
from pyvda.solvers.step_groups import POSITION_CHANNELS, StepGroupNetwork, StepGroups


@pytest.mark.parametrize("dimension", [1, 2])
@pytest.mark.parametrize("steps", [6, 7])
def test_windows_come_back_from_their_grid(dimension: int, steps: int) -> None:
    groups = StepGroups(3, dimension)
    x = torch.randn(2, steps, 4)
    split = groups.split(x)
    count = -(-steps // 3)
    assert split.shape == (2, count, 3, 4)
    assert not split.flatten(1, 2)[:, steps:].any()
    grid = groups.grid(split)
    assert grid.shape == ((2, 12, count) if dimension == 1 else (2, 3, count, 4))
    assert grid.shape[1] == groups.channels(4)
    assert grid[0, 0].numel() == groups.grid_points(steps, 4)
    assert torch.equal(groups.join(groups.ungrid(grid, 4), steps), x)
    step, place = 4, (1, 1)  # the second step of the second group
    at = grid[:, place[1] * 4 + 2, place[0]] if dimension == 1 else grid[:, place[1], place[0], 2]
    assert torch.equal(at, x[:, step, 2])


def test_positions_tell_all_groups_apart() -> None:
    groups = StepGroups(3, 1)
    found = groups.position(torch.zeros(2, 12, 9, dtype=torch.float64))
    assert found.shape == (2, POSITION_CHANNELS, 9)
    torch.testing.assert_close(found[0, 0], torch.sin(torch.pi * torch.arange(9) / 8).double())
    distances = torch.cdist(found[0].T, found[0].T) + torch.eye(9)
    assert distances.min() > 0.3
    assert StepGroups(3, 2).position(torch.zeros(2, 3, 1, 4)).isfinite().all()  # one group


@pytest.mark.parametrize("dimension", [1, 2])
def test_an_untrained_network_changes_nothing_and_reaches_as_far_as_it_says(dimension) -> None:
    torch.manual_seed(0)
    network = StepGroupNetwork(2, 3, 8, (1, 2), dimension).double()
    shape = (1, 2, 15) if dimension == 1 else (1, 2, 15, 6)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    assert not network(x).any()
    torch.nn.init.normal_(network.last.weight)
    y = network(x)
    assert y.shape == (1, 3, *shape[2:])
    middle = y[0, 0, 7] if dimension == 1 else y[0, 0, 7, 2]
    (gradient,) = torch.autograd.grad(middle, x)
    seen = gradient[0].abs().sum(0).reshape(15, -1).sum(1).nonzero()[:, 0].tolist()
    assert seen == list(range(7 - 4, 7 + 5))  # 1 + 1 + 2 on both sides
    if dimension == 2:  # the second axis is a circle: shifted in, shifted out
        turned = network(x.roll(2, -1))
        torch.testing.assert_close(turned, y.roll(2, -1))


def test_impossible_groups_are_refused() -> None:
    for every, dimension in ((0, 1), (3, 3)):
        with pytest.raises(InputError, match="expected at least 1 step and 1 or 2"):
            StepGroups(every, dimension)
