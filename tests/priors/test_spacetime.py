"""Windows as grids: every entry has its place, and padding is what adds back transposed."""

import pytest
import torch
from dense import normal

from pyvda.errors import InputError
from pyvda.priors.spacetime import SpaceTime


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        (SpaceTime(4), (2, 6, 4)),
        (SpaceTime(1, 2), (2, 6, 4)),
        (SpaceTime(1, 3), (2, 6, 4, 5)),
    ],
)
def test_a_grid_has_every_entry_once(layout: SpaceTime, shape, every: int) -> None:
    layout = SpaceTime(layout.channels, layout.dimension, every=every)
    x = normal(*shape)
    grid = layout.split(x)
    assert grid.shape[:3] == (2, layout.grid_channels, 6 // every)
    torch.testing.assert_close(layout.join(grid), x)
    step = 4  # the component or the row 1 at this step
    group, inside = divmod(step, every)
    if layout.dimension == 1:
        assert torch.equal(grid[:, inside * 4 + 1, group], x[:, step, 1])
    else:
        assert torch.equal(grid[:, inside, group, 1], x[:, step, 1])


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize(("dimension", "half"), [(1, (2,)), (2, (1, 2)), (3, (1, 2, 3))])
def test_padding_and_its_transpose(dimension, half, periodic) -> None:
    layout = SpaceTime(1, dimension, periodic)
    axes = (5, 4, 3)[:dimension]
    grid = normal(2, *axes)
    padded = layout.pad(grid, half)
    assert padded.shape[1:] == tuple(n + 2 * h for n, h in zip(axes, half, strict=True))
    other = normal(*padded.shape, seed=1)
    torch.testing.assert_close((padded * other).sum(), (grid * layout.unpad(other, half)).sum())
    edge = padded[:, : half[0]]
    assert not edge.any()  # in time there is nothing before a window
    if dimension == 2:
        beyond = padded[:, 1:-1, :2]
        assert torch.equal(beyond, grid[:, :, -2:]) if periodic else not beyond.any()


def test_layouts_that_do_not_fit_are_refused() -> None:
    for arguments, said in (
        ((1, 4), "dimension is 4"),
        ((0,), "channels is 0"),
        ((3, 2), "channels is 3 with dimension 2, expected 1"),
        ((1, 1, False, 0), "every is 0"),
    ):
        with pytest.raises(InputError, match=said):
            SpaceTime(*arguments)
    with pytest.raises(InputError, match=r"shape \(2, 6, 5\), expected \(window, time, 4\)"):
        SpaceTime(4).split(normal(2, 6, 5))
    with pytest.raises(InputError, match="6 steps, expected a multiple of 4"):
        SpaceTime(4, every=4).split(normal(2, 6, 4))
    with pytest.raises(InputError, match="reaches 5 points around a circle of 4"):
        SpaceTime(1, 2, True).pad(normal(2, 6, 4), (0, 5))
