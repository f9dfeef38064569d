"""The solver's convolutions against torch's own."""

import pytest
import torch

from pyvda.priors.spacetime import SpaceTime
from pyvda.solvers import convolution

pytestmark = pytest.mark.usefixtures("kernels")


@pytest.mark.parametrize("channels", [(2, 4), (4, 2)])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("block", [1, 1 << 30])
@pytest.mark.parametrize(
    ("space", "axes"),
    [(SpaceTime(3), (9,)), (SpaceTime(1, 2, True), (5, 6)), (SpaceTime(1, 3), (3, 4, 5))],
)
def test_a_convolution_is_torch_s_own(space, axes, block, relu, channels, monkeypatch):
    monkeypatch.setattr(convolution, "_BLOCK_BYTES", block)
    torch.manual_seed(0)
    layer = convolution.Convolution(space, *channels, 3, bias=True, relu=relu).double()
    grid = torch.randn(channels[0], 3, *axes, dtype=torch.float64, requires_grad=True)
    native = (torch.nn.functional.conv1d, torch.nn.functional.conv2d, torch.nn.functional.conv3d)
    padded = space.pad(grid, (1,) * space.dimension).transpose(0, 1)
    expected = native[space.dimension - 1](padded, layer.weight, layer.bias).transpose(0, 1)
    if relu:
        expected = expected.relu()
    got, inputs = layer(grid), [grid, layer.weight, layer.bias]
    torch.testing.assert_close(got, expected)
    cotangent = torch.randn_like(got)
    for value, reference in zip(
        torch.autograd.grad(got, inputs, cotangent),
        torch.autograd.grad(expected, inputs, cotangent),
        strict=True,
    ):
        torch.testing.assert_close(value, reference)
