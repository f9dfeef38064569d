"""Networks on random inputs: what a point depends on."""

import pytest
import torch
from field_models import STACK, TOGETHER, UNET, VARIATIONAL, inputs

from pyvda.fields.learned.guesses import OTHERS
from pyvda.fields.learned.network import Inputs, build


def made(settings, variables=1):
    torch.manual_seed(1)
    net = build(settings, variables).double().eval()
    for name, parameter in net.named_parameters():
        if "last" in name:
            torch.nn.init.normal_(parameter)
    return net


@pytest.mark.parametrize("settings", [UNET, STACK])
def test_a_new_network_gives_the_first_guess(settings) -> None:
    given = inputs(2)
    mean, variance, _ = build(settings, 2).double()(given)
    torch.testing.assert_close(mean, given.guess)
    torch.testing.assert_close(variance, given.spread**2)


@pytest.mark.parametrize("settings", [UNET, VARIATIONAL])
def test_without_data_in_reach_the_first_guess_stands(settings) -> None:
    net = made(settings)
    given = inputs(shape=(40, 50), cover=0.0)
    given.mask[0, 0, 1, 3, 4], given.values[0, 0, 1, 3, 4] = 1.0, 2.0
    mean, variance, near = net(given)
    far = torch.ones(2, 1, 40, 50, dtype=bool)
    far[0, 0, : 4 + net.reach, : 5 + net.reach] = False
    assert far.any()
    assert not far.all()
    assert bool((mean == given.guess)[far].all())
    torch.testing.assert_close(variance[far], given.spread[far] ** 2)
    assert not near[far].any()
    assert near[~far].all()
    assert not (mean == given.guess)[~far].all()


def test_the_prior_over_three_axes_does_not_use_the_point_it_predicts() -> None:
    prior = made(VARIATIONAL).cost.prior
    x = torch.randn(1, 3, 6, 7, dtype=torch.float64)
    for where in ((0, 0, 0), (1, 2, 3), (2, 5, 6)):
        z = x.clone().requires_grad_()
        prior(z)[(0, *where)].backward()
        assert z.grad[(0, *where)] == 0.0
        assert z.grad.abs().max() > 0


def test_a_stack_can_give_any_of_its_interpolations() -> None:
    """The weights of the others are the first outputs of each variable."""
    given = inputs(2)
    net = build(STACK, 2).double()
    for chosen in range(OTHERS):
        net.last.bias.data.zero_()
        net.last.bias.data.unflatten(0, (2, -1))[1, chosen] = 1.0
        mean, variance, near = net(given)
        torch.testing.assert_close(mean[:, 0], given.guess[:, 0])
        torch.testing.assert_close(mean[:, 1], given.others[:, 1, chosen])
        torch.testing.assert_close(variance, given.spread**2)
        assert near.all()


def test_a_point_of_a_stack_depends_on_itself_alone_and_has_a_first_guess() -> None:
    net, given = made(STACK), inputs()
    given.spread[0, 0, 2, 3] = 0.0
    mean, variance, near = net(given)
    assert mean[0, 0, 2, 3] == variance[0, 0, 2, 3] == 0.0
    assert not near[0, 0, 2, 3]
    given.others[1, 0, :, 4, 5] += 1.0
    changed = (net(given)[0] != mean).nonzero().tolist()
    assert changed == [[1, 0, 4, 5]]


def test_variables_of_the_variational_form_share_their_prior() -> None:
    """Two variables are solved as two windows: exchanging them exchanges the analyses."""
    net = made(VARIATIONAL, 2)
    given = inputs(2)
    turned = Inputs(*(one.flip(1) for one in given[:5]), given.static)
    for head in (net.head.last.weight, net.head.last.bias):
        torch.nn.init.zeros_(head)
    torch.testing.assert_close(net(turned)[0], net(given)[0].flip(1))


@pytest.mark.parametrize("settings", [UNET, VARIATIONAL, STACK])
def test_every_weight_is_trained(settings) -> None:
    net = made(settings, 2).train()
    mean, variance, _ = net(inputs(2))
    (mean.square().sum() + variance.sum()).backward()
    assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_all_times_together_start_from_the_mean_and_see_all_data() -> None:
    given = inputs(2, days=2)
    mean, variance, near = build(TOGETHER, 2).double()(given)
    assert mean.shape == variance.shape == near.shape == given.mask.shape
    torch.testing.assert_close(mean, given.guess[:, :, None].expand_as(mean))
    torch.testing.assert_close(variance, (given.spread**2)[:, :, None].expand_as(variance))
    net = made(TOGETHER, 2)
    values = given.values.clone().requires_grad_()
    net(given._replace(values=values))[0][0, 1, 4].sum().backward()
    assert (values.grad[0].abs().amax((-2, -1)) > 0).all()
    assert not values.grad[1].any()
