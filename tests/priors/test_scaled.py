"""A prior in other units."""

import pytest
import torch
from dense import normal

from pyvda.models.in_torch import known
from pyvda.priors import (
    RK4Prior,
    ScaledPrior,
)

pytestmark = pytest.mark.usefixtures("kernels")


def test_a_scaled_prior_is_the_prior_in_other_units():
    prior, x = RK4Prior(known("lorenz63"), 0.01), 10.0 * normal(2, 5, 3)
    mean, std = torch.tensor([1.0, 2.0, 25.0]).double(), torch.tensor([8.0, 9.0, 8.5]).double()
    scaled = ScaledPrior(prior, mean.tolist(), std.tolist())
    z = (x - mean) / std
    torch.testing.assert_close(scaled(z) * std + mean, prior(x))
    assert scaled.first_predicted == 1
