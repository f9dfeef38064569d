import pytest
import torch

from pyvda.fields.learned.unet import UNet


def random(widths=(4, 5, 6)):
    torch.manual_seed(0)
    net = UNet(3, 2, widths)
    torch.nn.init.normal_(net.last.weight)
    return net.double().eval()


def test_it_starts_at_zero() -> None:
    assert not UNet(3, 2, (4, 5))(torch.randn(1, 3, 8, 8)).any()


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (8, 12), (13, 9)])
def test_a_domain_of_any_size(shape) -> None:
    assert random()(torch.randn(2, 3, *shape).double()).shape == (2, 2, *shape)


@pytest.mark.parametrize("widths", [(4,), (4, 5), (4, 5, 6)])
def test_nothing_beyond_the_reach_matters_and_something_near_it_does(widths) -> None:
    net = random(widths)
    x = torch.randn(1, 3, 96, 96).double().requires_grad_()
    net(x)[0, :, 48, 48].sum().backward()
    at = x.grad.abs().amax((0, 1)).nonzero()
    farthest = int((at - 48).abs().max())
    assert net.reach / 2 <= farthest <= net.reach
