import pytest
import torch

from pyvda.fields.learned.unet import UNet


def random(widths=(4, 5, 6), gappy=0):
    torch.manual_seed(0)
    net = UNet(3, 2, widths, gappy=gappy)
    torch.nn.init.normal_(net.last.weight)
    return net.double().eval()


def test_it_starts_at_zero() -> None:
    assert not UNet(3, 2, (4, 5))(torch.randn(1, 3, 8, 8)).any()


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (8, 12), (13, 9)])
def test_a_domain_of_any_size(shape) -> None:
    assert random()(torch.randn(2, 3, *shape).double()).shape == (2, 2, *shape)


@pytest.mark.parametrize("gappy", [0, 1])
@pytest.mark.parametrize("widths", [(4,), (4, 5), (4, 5, 6)])
def test_nothing_beyond_the_reach_matters_and_something_near_it_does(widths, gappy) -> None:
    net = random(widths, gappy)
    x = torch.rand(1, 3, 96, 96).double().requires_grad_()
    net(x)[0, :, 48, 48].sum().backward()
    at = x.grad.abs().amax((0, 1)).nonzero()
    farthest = int((at - 48).abs().max())
    assert net.reach / 2 <= farthest <= net.reach


def test_coarser_resolutions_see_the_means_of_what_there_is() -> None:
    """A cell with a single value has that as its mean, however many of its points are missing."""
    net = UNet(2, 1, (2, 2), gappy=1).double()
    seen = []
    net.down[1].register_forward_hook(lambda module, given, found: seen.append(given[0]))
    values, mask = torch.zeros(1, 1, 4, 4).double(), torch.zeros(1, 1, 4, 4).double()
    values[..., 1, 0], mask[..., 1, 0] = 3.0, 1.0
    values[..., 2, 2:], mask[..., 2, 2:] = torch.tensor([1.0, 2.0]).double(), 1.0
    net(torch.cat((values, mask), 1))
    means, cover = seen[0][0, 2], seen[0][0, 3]
    torch.testing.assert_close(means, torch.tensor([[3.0, 0.0], [0.0, 1.5]]).double())
    torch.testing.assert_close(cover, torch.tensor([[0.25, 0.0], [0.0, 0.5]]).double())
