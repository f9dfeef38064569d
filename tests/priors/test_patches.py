"""Patches, pooling and padding against convolutions, and their transposes."""

import math

import pytest
import torch
import torch.nn.functional as F
from dense import normal

from pyvda.priors.patches import fold, gather, pool, pool_transpose, spread, unfold
from pyvda.priors.spacetime import SpaceTime

pytestmark = pytest.mark.usefixtures("kernels")


@pytest.mark.parametrize(("taps", "axes"), [((5,), (9,)), ((3, 5), (7, 6)), ((3, 1, 3), (4, 3, 5))])
def test_patches_make_a_convolution_and_have_their_transpose(taps, axes):
    padded = normal(2, 3, *(n + k - 1 for n, k in zip(axes, taps, strict=True)))
    kernel = normal(4, 2, *taps, seed=1)
    convolve = (F.conv1d, F.conv2d, F.conv3d)[len(axes) - 1]
    expected = convolve(padded.transpose(0, 1), kernel).transpose(0, 1)
    columns = unfold(padded, taps)
    torch.testing.assert_close((kernel.flatten(1) @ columns).reshape(4, 3, *axes), expected)
    other = normal(*columns.shape, seed=2)
    torch.testing.assert_close(
        (columns * other).sum(), (padded * fold(other, taps, padded.shape)).sum()
    )


@pytest.mark.parametrize(
    ("factors", "axes"), [((4,), (8,)), ((4,), (9,)), ((3, 1), (7, 5)), ((2, 3, 2), (5, 4, 4))]
)
def test_pooling_and_spreading_have_their_transposes(factors, axes):
    grid = normal(2, 3, *axes)
    coarse = pool(grid, factors)
    other = normal(*coarse.shape, seed=1)
    torch.testing.assert_close(
        (coarse * other).sum(), (grid * pool_transpose(other, factors, axes)).sum()
    )
    # A mean of equal numbers is that number, in an incomplete cell too.
    torch.testing.assert_close(pool(torch.ones_like(grid), factors), torch.ones_like(coarse))
    values = normal(2 * math.prod(factors), coarse[0].numel(), seed=2)
    torch.testing.assert_close(
        (spread(values, factors, grid.shape) * grid).sum(), (values * gather(grid, factors)).sum()
    )


def test_a_periodic_pad_wraps_around_and_has_its_transpose():
    space, grid = SpaceTime(1, 2, periodic=True), normal(1, 2, 4, 5)
    padded = space.pad(grid, (1, 2))
    assert torch.equal(padded[..., 1:-1, :2], grid[..., -2:])
    assert torch.equal(padded[..., 1:-1, -2:], grid[..., :2])
    assert not padded[..., 0, :].any()
    other = normal(*padded.shape, seed=1)
    torch.testing.assert_close((padded * other).sum(), (grid * space.unpad(other, (1, 2))).sum())
