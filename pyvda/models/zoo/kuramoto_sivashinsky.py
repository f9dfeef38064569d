"""The Kuramoto-Sivashinsky equation on a circle: u_t = −u u_x − u_xx − u_xxxx.

Kuramoto, Y. & Tsuzuki, T. (1976), Prog. Theor. Phys. 55, 356; Sivashinsky, G. I. (1977), Acta
Astronautica 4, 1177. Pseudo-spectral in space and ETDRK4 in time, as Kassam, A.-K. & Trefethen,
L. N. (2005): Fourth-order time-stepping for stiff PDEs. SIAM J. Sci. Comput. 26, 1214-1233, with
their contour of 32 points for the coefficients.

A step model: the state holds u at N equidistant points, the step is 0.25. With the length 22 the
largest Lyapunov exponent is about 0.05 (Edson et al. 2019). Reference: around its mean, which
the equation conserves, u has the variance 1.41 on the attractor. Strong-constraint 4D-Var of 8 twin
windows of 25 steps at 32 points, 70 % of them observed at every fourth step with the error variance
0.01, has the mean square error 0.0006 (pyvda 0.1, the setting of
tests/models/zoo/test_kuramoto_sivashinsky.py).

Short waves are damped to nothing, so that the climatological covariance is singular to rounding; as
a background it is made regular (`pyvda.climate.background_option.of_climatology`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from pyvda.models.family import Family
from pyvda.models.model import Start
from pyvda.models.symmetry import Rotation
from pyvda.state.space import StateSpace, Variable

if TYPE_CHECKING:
    from torch import Tensor

STEP = 0.25
_CONTOUR = 32


class _Coefficients(NamedTuple):
    """ETDRK4 by wave number, each (N/2 + 1,): exp(hL), exp(hL/2), of the four stages, −ik/2."""

    whole: Tensor
    half: Tensor
    q: Tensor
    f1: Tensor
    f2: Tensor
    f3: Tensor
    derivative: Tensor


def step(x: Tensor, length: Any, state_size: int) -> Tensor:
    """Return the states (..., N) a time step of 0.25 after the states x."""
    return _stages(x, _coefficients(x, length, state_size))[-1]


def tangent_linear(x: Tensor, dx: Tensor, length: Any, state_size: int) -> Tensor:
    """Return M(x) dx with M the Jacobian of the step, (..., N)."""
    c = _coefficients(x, length, state_size)
    _, a, b, s, _ = _stages(x, c)
    d = _spectrum(dx)
    at_x = _product(c, x, dx)
    da = c.half * d + c.q * at_x
    at_a = _product(c, a, _field(da, state_size))
    db = c.half * d + c.q * at_a
    at_b = _product(c, b, _field(db, state_size))
    ds = c.half * da + c.q * (2 * at_b - at_x)
    at_s = _product(c, s, _field(ds, state_size))
    return _field(c.whole * d + c.f1 * at_x + 2 * c.f2 * (at_a + at_b) + c.f3 * at_s, state_size)


def adjoint(x: Tensor, dy: Tensor, length: Any, state_size: int) -> Tensor:
    """Return M(x)ᵀ dy with M the Jacobian of the step, (..., N)."""
    c = _coefficients(x, length, state_size)
    _, a, b, s, _ = _stages(x, c)

    # All multipliers but the derivative are real and even: transposed they are the same; the
    # derivative changes its sign.
    def back(state: Tensor, spectrum: Tensor) -> Tensor:
        return _spectrum(-2 * state * _field(c.derivative * spectrum, state_size))

    y = _spectrum(dy)
    bar_s = back(s, c.f3 * y)
    bar_b = back(b, 2 * c.f2 * y + 2 * c.q * bar_s)
    bar_a = back(a, 2 * c.f2 * y + c.q * bar_b) + c.half * bar_s
    bar_x = back(x, c.f1 * y + c.q * bar_a - c.q * bar_s)
    return _field(c.whole * y + c.half * (bar_a + bar_b) + bar_x, state_size)


def _stages(x: Tensor, c: _Coefficients) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the states at which the nonlinear term is evaluated, and the next state."""
    n = x.shape[-1]
    v = _spectrum(x)
    at_x = _nonlinear(c, x)
    a_spectrum = c.half * v + c.q * at_x
    a = _field(a_spectrum, n)
    at_a = _nonlinear(c, a)
    b = _field(c.half * v + c.q * at_a, n)
    at_b = _nonlinear(c, b)
    s = _field(c.half * a_spectrum + c.q * (2 * at_b - at_x), n)
    at_s = _nonlinear(c, s)
    end = c.whole * v + c.f1 * at_x + 2 * c.f2 * (at_a + at_b) + c.f3 * at_s
    return x, a, b, s, _field(end, n)


def _nonlinear(c: _Coefficients, u: Tensor) -> Tensor:
    """Return the spectrum of −(u²)_x / 2."""
    return c.derivative * _spectrum(u * u)


def _product(c: _Coefficients, u: Tensor, du: Tensor) -> Tensor:
    """Return the spectrum of −(u du)_x, the derivative of `_nonlinear`."""
    return c.derivative * _spectrum(2 * u * du)


def _spectrum(u: Tensor) -> Tensor:
    import torch

    return torch.fft.rfft(u, dim=-1)


def _field(spectrum: Tensor, n: int) -> Tensor:
    import torch

    return torch.fft.irfft(spectrum, n=n, dim=-1)


def _coefficients(x: Tensor, length: Any, n: int) -> _Coefficients:
    import torch

    exact = torch.float64
    period = torch.as_tensor(length, dtype=exact)
    k = 2 * math.pi / period * torch.arange(n // 2 + 1, dtype=exact)
    linear = STEP * (k**2 - k**4)
    angle = math.pi * (torch.arange(_CONTOUR, dtype=exact) + 0.5) / _CONTOUR
    z = linear[..., None] + torch.polar(torch.ones_like(angle), angle)
    e = torch.exp(z)

    def mean(values: Tensor) -> Tensor:
        return STEP * values.real.mean(-1)

    odd = -0.5 * k
    odd = torch.where(torch.arange(n // 2 + 1) * 2 == n, torch.zeros_like(odd), odd)
    found = _Coefficients(
        torch.exp(linear),
        torch.exp(linear / 2),
        mean((torch.exp(z / 2) - 1) / z),
        mean((-4 - z + e * (4 - 3 * z + z**2)) / z**3),
        mean((2 + z + e * (z - 2)) / z**3),
        mean((-4 - 3 * z - z**2 + e * (4 - z)) / z**3),
        torch.complex(torch.zeros_like(odd), odd),
    )
    real = x.dtype
    to = {exact: real, torch.complex128: torch.complex64 if real == torch.float32 else None}
    return _Coefficients(*(v.to(to[v.dtype] or v.dtype).to(x.device) for v in found))


FAMILY = Family(
    name="kuramoto-sivashinsky",
    summary="flame fronts on a circle, 64 points (Kuramoto and Sivashinsky)",
    julia="KuramotoSivashinsky",
    parameters={"length": 22.0},
    sizes={"state_size": (64, 8)},
    state_space=lambda state_size: StateSpace(
        (Variable("u", ("x",), (state_size,)),), periodic=("x",)
    ),
    time_step=STEP,
    kind="step",
    function=step,
    tangent_linear=tangent_linear,
    adjoint=adjoint,
    start=lambda **fields: Start((0.0,), 1.0),
    spinup=250.0,
    interval=5.0,
    symmetries=(Rotation(),),
    least_parameters={"length": 0.0},
)
