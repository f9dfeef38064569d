"""The autoencoder: shapes, information that is lost, precision."""

import math

import pytest
import torch
from dense import jacobian, normal

from pyvda.errors import InputError
from pyvda.priors import (
    AutoEncoderPrior,
    linearise,
)

pytestmark = pytest.mark.usefixtures("kernels")


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({"channels": 3}, (20, 3)),
        ({"channels": 1, "dimension": 2, "periodic": True, "factors": (4, 2)}, (10, 6)),
        ({"channels": 1, "dimension": 3, "factors": (1, 2, 4), "code": 3}, (3, 5, 6)),
    ],
)
def test_the_autoencoder_keeps_the_shape_and_loses_information(arguments, shape):
    torch.manual_seed(0)
    prior = AutoEncoderPrior(**arguments).double()
    x = normal(*shape)
    assert prior(x[None]).shape == (1, *shape)
    cells = math.prod(
        -(-n // f) for n, f in zip(shape[: prior.space.dimension], prior.factors, strict=True)
    )
    code = prior.down.out_channels * cells
    assert 0 < torch.linalg.matrix_rank(jacobian(prior, x)) <= code
    phi, pullback = linearise(prior, x[None])
    r = normal(*phi.shape, seed=1)
    expected = jacobian(prior, x).T @ r.flatten()
    torch.testing.assert_close(pullback(r).flatten(), expected)


@pytest.mark.parametrize("dimension", [1, 2])
def test_an_autoencoder_in_float32_agrees_with_float64(dimension):
    torch.manual_seed(0)
    prior = AutoEncoderPrior(3) if dimension == 1 else AutoEncoderPrior(1, 2, True)
    x, r = normal(2, 2, 20, 6 if dimension == 2 else 3)
    found = {}
    for dtype in (torch.float32, torch.float64):
        phi, pullback = linearise(prior.to(dtype), x.to(dtype))
        assert phi.dtype == pullback(r.to(dtype)).dtype == dtype
        found[dtype] = phi, pullback(r.to(dtype))
    for single, double in zip(*found.values(), strict=True):
        assert 0.0 < (single - double).norm() < 1e-5 * double.norm()


def test_a_code_as_large_as_its_cell_is_refused():
    with pytest.raises(InputError, match="can be the identity"):
        AutoEncoderPrior(3, code=24, factors=8)
    with pytest.raises(InputError, match="multiples"):
        AutoEncoderPrior(1, 2, True, factors=(4, 4))(torch.zeros(1, 8, 6))
