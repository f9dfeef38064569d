"""Evaluation of a prior for a cost: Φ(x), and its transposed Jacobian times a residual.

A prior that knows its vector-Jacobian product has a method

    linearise(x)  ->  Φ(x), pullback        with  pullback(r) = (∂Φ/∂x)ᵀ r,

written in torch operations: it needs no graph when no second derivative is wanted, and can be
differentiated once more by autograd when one is. Any other module gets both from autograd.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Pullback = Callable[[Tensor], Tensor]


def linearise(prior: nn.Module | Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Pullback]:
    """Return Φ(x) and its pullback, by the prior's own `linearise` or by autograd."""
    own = getattr(prior, "linearise", None)
    return pullback_by_autograd(prior, x) if own is None else own(x)


def pullback_by_autograd(f: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Pullback]:
    """Return f(x) and r -> (∂f/∂x)ᵀ r from a recorded graph.

    When gradients are enabled both can be differentiated again (that graph is the double-backward
    one); under `torch.no_grad` the graph lives only until the pullback is dropped.
    """
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        point = x if again and x.requires_grad else x.detach().requires_grad_()
        value = f(point)

    def pullback(r: Tensor) -> Tensor:
        if not value.requires_grad:
            return torch.zeros_like(x)
        (result,) = torch.autograd.grad(
            value, point, r, retain_graph=True, create_graph=again, materialize_grads=True
        )
        return result

    return (value if again else value.detach()), pullback
