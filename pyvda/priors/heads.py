"""The layers after the first of a GENN scale: a quadratic function y of its features r.

The 1×1 convolutions after the first layer's ReLU are linear except for one product, so they are
multiplied out once per solve, before the iterations. This leaves two forms of the same function:

    BilinearHead    (p, q, l) = M r,   y = O (p q) + l
    QuadraticHead   z_n = S_n r + l_n,   y_n = ½ rᵀ (z_n + l_n),   S_n symmetric

The second form computes its own gradient, z_n = ∂y_n/∂r, on the way; it is smaller when there are
few outputs. Columns are positions: r (features, N), y (outputs, N).

Besides y, each head provides the three products that a gradient and its backward pass need. With v
the cotangent of y, dr = (∂y/∂r)ᵀ v; for a direction ṙ of r then ẏ = (∂y/∂r) ṙ, and `second` gives
the gradient of v̄·y + v·ẏ with respect to r, adding that with respect to the weights to `totals`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class BilinearHead(NamedTuple):
    """M (2·latent + outputs, features) and O (outputs, latent)."""

    mix: Tensor
    product: Tensor

    def value(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """Return y and M r, which the other methods take as `m`."""
        m = self.mix @ r
        p, q, linear = self._three(m)
        return torch.addmm(linear, self.product, p * q), m

    def reverse(self, r: Tensor, m: Tensor, v: Tensor) -> Tensor:
        """Return dr."""
        p, q, _ = self._three(m)
        s = self.product.T @ v
        return self.mix.T @ torch.cat((s * q, s * p, v))

    def tangent(self, r: Tensor, m: Tensor, r_dot: Tensor) -> tuple[Tensor, Tensor]:
        """Return ẏ and M ṙ, which `second` takes as `m_dot`."""
        m_dot = self.mix @ r_dot
        p, q, _ = self._three(m)
        p_dot, q_dot, l_dot = self._three(m_dot)
        return torch.addmm(l_dot, self.product, (p_dot * q).addcmul_(q_dot, p)), m_dot

    def second(
        self,
        r: Tensor,
        m: Tensor,
        r_dot: Tensor,
        m_dot: Tensor,
        v: Tensor,
        v_bar: Tensor,
        totals: tuple[Tensor, ...] | None,
    ) -> Tensor:
        """Return the gradient of v̄·y + v·ẏ with respect to r."""
        (p, q, _), (p_dot, q_dot, _) = self._three(m), self._three(m_dot)
        s, s_bar = self.product.T @ v, self.product.T @ v_bar
        latent = len(s)
        dm = v.new_empty(len(m), v.shape[1])
        torch.addcmul(s * q_dot, s_bar, q, out=dm[:latent])
        torch.addcmul(s * p_dot, s_bar, p, out=dm[latent : 2 * latent])
        dm[2 * latent :] = v_bar
        if totals is not None:
            mix, product = totals
            mix.addmm_(dm, r.T).addmm_(torch.cat((s * q, s * p, v)), r_dot.T)
            product.addmm_(v_bar, (p * q).T).addmm_(v, (p_dot * q).addcmul_(q_dot, p).T)
        return self.mix.T @ dm

    def _three(self, m: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        latent = self.product.shape[1]
        return m[:latent], m[latent : 2 * latent], m[2 * latent :]


class QuadraticHead(NamedTuple):
    """S (outputs · features, features), the symmetric S_n stacked, and l (outputs, features)."""

    matrix: Tensor
    linear: Tensor

    def value(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """Return y and z (outputs, features, N), which the other methods take as `z`."""
        z = torch.addmm(self.linear.reshape(-1, 1), self.matrix, r)
        z = z.reshape(*self.linear.shape, -1)
        return 0.5 * ((z * r).sum(1) + self.linear @ r), z

    def reverse(self, r: Tensor, z: Tensor, v: Tensor) -> Tensor:
        """Return dr."""
        return v * z[0] if len(z) == 1 else torch.einsum("nk,nfk->fk", v, z)

    def tangent(self, r: Tensor, z: Tensor, r_dot: Tensor) -> tuple[Tensor, Tensor]:
        """Return ẏ and ṙ, which `second` takes as `tangent`."""
        return (z * r_dot).sum(1), r_dot

    def second(
        self,
        r: Tensor,
        z: Tensor,
        r_dot: Tensor,
        tangent: Tensor,
        v: Tensor,
        v_bar: Tensor,
        totals: tuple[Tensor, ...] | None,
    ) -> Tensor:
        """Return the gradient of v̄·y + v·ẏ with respect to r."""
        z_bar = (v[:, None] * r_dot).flatten(0, 1)
        result = self.reverse(r, z, v_bar).addmm(self.matrix.T, z_bar)
        if totals is not None:
            matrix, linear = totals
            half = (v_bar[:, None] * r).flatten(0, 1).mul_(0.5).add_(z_bar)
            matrix.addmm_(half, r.T)
            # l takes v̄ r from both halves of y and v ṙ from ẏ; `half` has ½ v̄ r + v ṙ.
            linear.add_((2.0 * half.sum(1) - z_bar.sum(1)).reshape(linear.shape))
        return result


Head = BilinearHead | QuadraticHead


def smaller_head(left: Tensor, right: Tensor, linear: Tensor, product: Tensor) -> Head:
    """Return y = product ((left r) (right r)) + linear r in the form with fewer rows.

    Parameters
    ----------
    left, right : (latent, features)
        The two factors.
    linear : (outputs, features)
        The linear part.
    product : (outputs, latent)
        Maps the products to the outputs.
    """
    outputs, features = linear.shape
    if outputs * features > 2 * len(left) + outputs:
        return BilinearHead(torch.cat((left, right, linear)), product)
    form = torch.einsum("nl,lf,lg->nfg", product, left, right)
    return QuadraticHead((form + form.transpose(1, 2)).flatten(0, 1), linear)
