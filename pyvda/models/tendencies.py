"""Tendencies dx/dt in torch: Lorenz-63, Lorenz-96, and their trainable bilinear forms.

Each is an `nn.Module` that maps states `(..., D)` to tendencies of the same shape, in physical
units per unit of model time, and has by hand

    tangent_linear(x, dx)  ->  M(x) dx
    adjoint(x, dy)         ->  M(x)ᵀ dy

with M(x) the Jacobian of the tendency. All three are made of torch operations, so autograd goes
through them too. A tendency of one's own is any callable of that shape; where it has no `adjoint`,
the priors take autograd's.

The known systems keep the order of operations of the Julia engine written without fused
multiply-adds, so that both give the same bits.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pyvda.errors import InputError
from pyvda.models.model import Model


def _constant(value: float) -> Tensor:
    # Float64 without dimensions: takes part at full precision and leaves the result in x's dtype,
    # on x's device.
    return torch.tensor(float(value), dtype=torch.float64)


def _expect_components(x: Tensor, size: int, name: str) -> None:
    if x.shape[-1] != size:
        raise InputError(
            f"{name} has {size} components, found a state of shape {tuple(x.shape)}; "
            "the last dimension must be the state"
        )


class Lorenz63(nn.Module):
    """Lorenz (1963), eq. (15).

    Parameters
    ----------
    sigma, rho, beta : float
        The parameters, kept as buffers.
    """

    state_size = 3
    sigma: Tensor
    rho: Tensor
    beta: Tensor

    def __init__(self, sigma: float = 10.0, rho: float = 28.0, beta: float = 8.0 / 3.0) -> None:
        super().__init__()
        self.register_buffer("sigma", _constant(sigma))
        self.register_buffer("rho", _constant(rho))
        self.register_buffer("beta", _constant(beta))

    def forward(self, x: Tensor) -> Tensor:
        """Return dx/dt at the states x, (..., 3)."""
        _expect_components(x, 3, "Lorenz-63")
        x1, x2, x3 = x.split(1, -1)
        return torch.cat(
            (self.sigma * (x2 - x1), x1 * (self.rho - x3) - x2, x1 * x2 - self.beta * x3), -1
        )

    def tangent_linear(self, x: Tensor, dx: Tensor) -> Tensor:
        """Return M(x) dx, (..., 3)."""
        x1, x2, x3 = x.split(1, -1)
        d1, d2, d3 = dx.split(1, -1)
        return torch.cat(
            (
                self.sigma * (d2 - d1),
                (self.rho - x3) * d1 - d2 - x1 * d3,
                x2 * d1 + x1 * d2 - self.beta * d3,
            ),
            -1,
        )

    def adjoint(self, x: Tensor, dy: Tensor) -> Tensor:
        """Return M(x)ᵀ dy, (..., 3)."""
        x1, x2, x3 = x.split(1, -1)
        v1, v2, v3 = dy.split(1, -1)
        sv1 = self.sigma * v1
        return torch.cat(
            (
                (self.rho - x3) * v2 - sv1 + x2 * v3,
                sv1 - v2 + x1 * v3,
                -(x1 * v2 + self.beta * v3),
            ),
            -1,
        )


class Lorenz96(nn.Module):
    """Lorenz (1996), eq. (16), on a circle of D >= 4 points, D being that of the state.

    Parameters
    ----------
    forcing : float
        F, kept as a buffer.
    """

    forcing: Tensor

    def __init__(self, forcing: float = 8.0) -> None:
        super().__init__()
        self.register_buffer("forcing", _constant(forcing))

    def forward(self, x: Tensor) -> Tensor:
        """Return dx/dt at the states x, (..., D)."""
        if x.shape[-1] < 4:
            raise InputError(
                f"Lorenz-96 needs at least 4 components, found a state of shape {tuple(x.shape)}; "
                "the last dimension must be the state"
            )
        return (_at(x, 1) - _at(x, -2)) * _at(x, -1) + (self.forcing - x)

    def tangent_linear(self, x: Tensor, dx: Tensor) -> Tensor:
        """Return M(x) dx, (..., D)."""
        return (_at(x, 1) - _at(x, -2)) * _at(dx, -1) + _at(x, -1) * (_at(dx, 1) - _at(dx, -2)) - dx

    def adjoint(self, x: Tensor, dy: Tensor) -> Tensor:
        """Return M(x)ᵀ dy, (..., D)."""
        # The three equations in which x_i stands as x_{i-1}, x_{i+1} and x_{i-2}.
        return (
            (_at(x, 2) - _at(x, -1)) * _at(dy, 1)
            + _at(x, -2) * _at(dy, -1)
            - _at(x, 1) * _at(dy, 2)
            - dy
        )


class BilinearLorenz63(nn.Module):
    """Lorenz-63 as a bilinear form with 9 trainable parameters.

    On the circle of the three components,

        dx_k/dt = own_k x_k + neighbour_k x_n(k) + product_k x_{k+1} x_{k+2},    n = (2, 1, 1).

    The true system is own = (−σ, −1, −β), neighbour = (σ, ρ, 0), product = (0, −1, 1).

    Parameters
    ----------
    scale : float
        Standard deviation of the random start of the nine parameters.
    """

    state_size = 3

    def __init__(self, scale: float = 0.1) -> None:
        super().__init__()
        self.own = nn.Parameter(scale * torch.randn(3))
        self.neighbour = nn.Parameter(scale * torch.randn(3))
        self.product = nn.Parameter(scale * torch.randn(3))

    @torch.no_grad()
    def set_to(self, sigma: float, rho: float, beta: float) -> None:
        """Make this the true system with these parameters."""
        self.own.copy_(torch.tensor([-sigma, -1.0, -beta], dtype=torch.float64))
        self.neighbour.copy_(torch.tensor([sigma, rho, 0.0], dtype=torch.float64))
        self.product.copy_(torch.tensor([0.0, -1.0, 1.0], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Return dx/dt at the states x, (..., 3)."""
        _expect_components(x, 3, "Lorenz-63")
        return (
            self.own * x
            + self.neighbour * x[..., [1, 0, 0]]
            + self.product * (_at(x, 1) * _at(x, 2))
        )

    def tangent_linear(self, x: Tensor, dx: Tensor) -> Tensor:
        """Return M(x) dx, (..., 3)."""
        return (
            self.own * dx
            + self.neighbour * dx[..., [1, 0, 0]]
            + self.product * (_at(x, 1) * _at(dx, 2) + _at(dx, 1) * _at(x, 2))
        )

    def adjoint(self, x: Tensor, dy: Tensor) -> Tensor:
        """Return M(x)ᵀ dy, (..., 3)."""
        w = self.product * dy
        v1, v2, v3 = (self.neighbour * dy).split(1, -1)
        from_neighbours = torch.cat((v2 + v3, v1, torch.zeros_like(v1)), -1)
        return self.own * dy + from_neighbours + _at(x, 1) * _at(w, -1) + _at(x, -1) * _at(w, 1)


class BilinearLorenz96(nn.Module):
    """Lorenz-96 as a bilinear form with 9 trainable parameters.

        dx/dt = (first ⋆ x) (second ⋆ x) − x + forcing,

    with ⋆ the periodic convolutions over the components with 5 taps (x_{i-2} … x_{i+2}) and 3 taps
    (x_{i-1} … x_{i+1}). The true system is first = (−1, 0, 0, 1, 0), second = (1, 0, 0). The two
    filters are known up to a factor only, which can move from one to the other.

    Parameters
    ----------
    scale : float
        Standard deviation of the random start of the nine parameters.
    """

    def __init__(self, scale: float = 0.1) -> None:
        super().__init__()
        self.first = nn.Parameter(scale * torch.randn(5))
        self.second = nn.Parameter(scale * torch.randn(3))
        self.forcing = nn.Parameter(scale * torch.randn(()))

    @torch.no_grad()
    def set_to(self, forcing: float) -> None:
        """Make this the true system with this forcing."""
        self.first.copy_(torch.tensor([-1.0, 0.0, 0.0, 1.0, 0.0]))
        self.second.copy_(torch.tensor([1.0, 0.0, 0.0]))
        self.forcing.fill_(forcing)

    def forward(self, x: Tensor) -> Tensor:
        """Return dx/dt at the states x, (..., D)."""
        return _taps(self.first, x) * _taps(self.second, x) - x + self.forcing

    def tangent_linear(self, x: Tensor, dx: Tensor) -> Tensor:
        """Return M(x) dx, (..., D)."""
        return (
            _taps(self.first, x) * _taps(self.second, dx)
            + _taps(self.first, dx) * _taps(self.second, x)
            - dx
        )

    def adjoint(self, x: Tensor, dy: Tensor) -> Tensor:
        """Return M(x)ᵀ dy, (..., D)."""
        # The transpose of a periodic convolution is the convolution with the taps reversed.
        return (
            _taps(self.second.flip(0), _taps(self.first, x) * dy)
            + _taps(self.first.flip(0), _taps(self.second, x) * dy)
            - dy
        )


def from_model(model: Model) -> nn.Module:
    """Return the known tendency of `model`."""
    if model.name == "lorenz63":
        return Lorenz63(*model.parameters)
    if model.name == "lorenz96":
        return Lorenz96(*model.parameters)
    raise InputError(
        f"no tendency in torch for the model {model.name!r}; pyvda has lorenz63 and lorenz96, and "
        "the priors take any function x -> dx/dt"
    )


def bilinear(name: str, scale: float = 0.1) -> nn.Module:
    """Return the bilinear form with 9 trainable parameters of the model called `name`."""
    if name == "lorenz63":
        return BilinearLorenz63(scale)
    if name == "lorenz96":
        return BilinearLorenz96(scale)
    raise InputError(f"no bilinear form of the model {name!r}; choose lorenz63 or lorenz96")


def _at(x: Tensor, offset: int) -> Tensor:
    """Return the field whose component i is x_{i + offset} on the circle."""
    return torch.roll(x, -offset, -1)


def _taps(weight: Tensor, x: Tensor) -> Tensor:
    """Return Σ_j weight_j x_{i + j} with the taps centred on i, on the circle."""
    half = weight.shape[0] // 2
    return sum(
        (weight[j] * _at(x, j - half) for j in range(1, weight.shape[0])),
        start=weight[0] * _at(x, -half),
    )
