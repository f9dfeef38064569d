"""Random tensors and dense Jacobians, which derivatives are compared with."""

import torch


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def jacobian(prior, x):
    """Return the dense Jacobian of a prior at one window x of any shape."""
    dense = torch.autograd.functional.jacobian(lambda w: prior(w[None])[0], x)
    return dense.reshape(x.numel(), x.numel())
