"""A wind-driven quasi-geostrophic ocean of one layer on the unit square.

Sakov, P. & Oke, P. R. (2008): A deterministic formulation of the ensemble Kalman filter. Tellus A
60, 361-371. The state is the stream function ψ at n × n points, the walls included; with
q = ∇²ψ − Fψ,

    ∂q/∂t = −r J(ψ, q) − ∂ψ/∂x − κ ∇⁶ψ − 2π sin(2πy),

where ψ, whatever the state says, and each successive Laplacian are 0 on the walls and J is
Arakawa's Jacobian (1966, J. Comput. Phys. 1, 119-143, eq. (45)).

A step of 5 is four Runge-Kutta steps of 1.25 up to 129 × 129 points. Finer grids need no other
choice: the number of Runge-Kutta steps grows as n − 1, because the flow must not cross much more
than a point in a step, and the default of κ falls as (n − 1)⁻³ from 2e-12, so that the smallest
waves are damped as fast, measured by the time in which the flow crosses a point, as at 129 × 129.
A κ that the steps cannot follow is refused.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from pyvda.errors import InputError
from pyvda.models.family import Family
from pyvda.models.model import Model, Start
from pyvda.models.presets import Sampling, Tracks
from pyvda.state.space import StateSpace, Variable

if TYPE_CHECKING:
    from torch import Tensor

STEP = 5.0
_KAPPA, _POINTS = 2e-12, 128  # of the published ocean
_STABLE = 2.785  # the real axis within which Runge-Kutta 4 is stable


def step(x: Tensor, F: Any, r: Any, kappa: Any, n: int) -> Tensor:
    """Return the states (..., n²) a time step of 5 after the states x."""
    psi = _with_walls(x.reshape(*x.shape[:-1], n, n)[..., 1:-1, 1:-1])
    steps = _steps(n)
    h = STEP / steps

    def rate(psi: Tensor) -> Tensor:
        return _rate(psi, F, r, kappa)

    for _ in range(steps):
        k1 = rate(psi)
        k2 = rate(psi + h / 2 * k1)
        k3 = rate(psi + h / 2 * k2)
        k4 = rate(psi + h * k3)
        psi = psi + h / 6 * (k1 + 2 * (k2 + k3) + k4)
    return psi.reshape(x.shape)


def _steps(n: int) -> int:
    """Return the number of Runge-Kutta steps in a step."""
    return 4 * max(1, (n - 1) // _POINTS)


def _scaled(n: int) -> dict[str, float]:
    return {"kappa": _KAPPA * min(1.0, _POINTS / (n - 1)) ** 3}


def _check(F: float, r: float, kappa: float, n: int) -> None:
    """Raise InputError where friction damps the smallest wave faster than a step can follow.

    The wave has the Laplacian −8 (n − 1)², which a step multiplies by at most 1 while the rate
    times the length of the step is at most 2.785.
    """
    waves = 8 * (n - 1) ** 2
    largest = _STABLE * _steps(n) / STEP * (waves + F) / waves**3
    if not 0 <= kappa <= largest:
        raise InputError(
            f"the parameter kappa of quasi-geostrophic is {kappa:g}, expected from 0 to "
            f"{largest:.3g}, the most that a step on {n} x {n} points can follow; leave it out for "
            f"{_scaled(n)['kappa']:.3g}, or give a smaller n"
        )


def _rate(psi: Tensor, F: Any, r: Any, kappa: Any) -> Tensor:
    """Return ∂ψ/∂t of fields (..., n, n)."""
    import torch

    n = psi.shape[-1]
    laplacian = _laplacian(psi)
    q = laplacian - F * psi
    slope = 0.5 * (n - 1) * (_at(psi, 0, 1) - _at(psi, 0, -1))
    friction = _laplacian(_laplacian(laplacian))[..., 1:-1, 1:-1]
    y = torch.arange(1, n - 1, dtype=psi.dtype, device=psi.device)[:, None] / (n - 1)
    wind = 2 * math.pi * torch.sin(2 * math.pi * y)
    return _solve(-r * _jacobian(psi, q) - slope - kappa * friction - wind, F)


def _at(field: Tensor, dy: int, dx: int) -> Tensor:
    """Return the values beside the interior points, (..., n - 2, n - 2)."""
    n = field.shape[-1]
    return field[..., 1 + dy : n - 1 + dy, 1 + dx : n - 1 + dx]


def _with_walls(inside: Tensor) -> Tensor:
    import torch

    return torch.nn.functional.pad(inside, (1, 1, 1, 1))


def _laplacian(f: Tensor) -> Tensor:
    """Return ∇²f, 0 on the walls, (..., n, n)."""
    around = _at(f, 1, 0) + _at(f, -1, 0) + _at(f, 0, 1) + _at(f, 0, -1)
    return _with_walls((f.shape[-1] - 1) ** 2 * (around - 4 * _at(f, 0, 0)))


def _jacobian(a: Tensor, b: Tensor) -> Tensor:
    """Return Arakawa's J(a, b) = a_x b_y − a_y b_x at the interior points."""

    def one_way(a: Tensor, b: Tensor) -> Tensor:
        north, south, east, west = _at(b, 1, 0), _at(b, -1, 0), _at(b, 0, 1), _at(b, 0, -1)
        return (
            _at(a, 0, 1) * (north - south + _at(b, 1, 1) - _at(b, -1, 1))
            - _at(a, 0, -1) * (north - south + _at(b, 1, -1) - _at(b, -1, -1))
            - _at(a, 1, 0) * (east - west + _at(b, 1, 1) - _at(b, 1, -1))
            + _at(a, -1, 0) * (east - west + _at(b, -1, 1) - _at(b, -1, -1))
        )

    # The mixed products stand once in each of the two sums; the others must not stand twice.
    plain = (_at(a, 0, 1) - _at(a, 0, -1)) * (_at(b, 1, 0) - _at(b, -1, 0))
    plain = plain - (_at(a, 1, 0) - _at(a, -1, 0)) * (_at(b, 0, 1) - _at(b, 0, -1))
    return (a.shape[-1] - 1) ** 2 / 12 * (one_way(a, b) - one_way(b, a) - plain)


def _solve(f: Tensor, F: Any) -> Tensor:
    """Return u with ∇²u − Fu = f at the interior points and 0 on the walls, (..., n, n)."""
    import torch

    m = f.shape[-1] + 1
    sines = _sines(m).to(f)
    k = torch.arange(1, m, dtype=f.dtype, device=f.device)
    eigenvalues = -((2 * m * torch.sin(math.pi * k / (2 * m))) ** 2)
    modes = sines @ f @ sines / (eigenvalues[:, None] + eigenvalues - F)
    return _with_walls(sines @ modes @ sines)


@cache
def _sines(m: int) -> Tensor:
    """Return the orthonormal sine transform of m − 1 interior points, its own inverse."""
    import torch

    k = torch.arange(1, m, dtype=torch.float64)
    return math.sqrt(2 / m) * torch.sin(math.pi / m * torch.outer(k, k))


def _state_space(n: int) -> StateSpace:
    if (n - 1) & (n - 2):
        raise InputError(
            f"the size n of quasi-geostrophic is {n}, expected a power of two and 1, such as 65 or "
            "129"
        )
    walls = [1 if y in (0, n - 1) or x in (0, n - 1) else 0 for y in range(n) for x in range(n)]
    points = tuple((np.arange(n) / (n - 1)).tolist())
    coordinates = (("y", points), ("x", points))
    return StateSpace((Variable("psi", ("y", "x"), (n, n)),), bytes(walls), coordinates=coordinates)


def _tracks(model: Model, time: np.ndarray, random: np.random.Generator, count: int) -> Tracks:
    """Return points of the grid at every output after the first, as DAPPER has them.

    Its model sakov2008 (`dapper/mods/QG`) observes equidistant components of the flattened state,
    which lie on oblique lines of the square, all moved by one random offset at each time; the walls
    are observed, too. `count` is the number of data on 129 x 129 points; on others their density is
    the same.
    """
    n = model.sizes["n"]
    stride = max(1.0, 129**2 / count)
    first = np.floor(np.arange(max(1, round(n**2 / stride))) * stride).astype(int)
    offset = np.floor(random.random(len(time) - 1) * stride).astype(int)
    flat = np.minimum(offset[:, None] + first, n**2 - 1)
    y, x = (index / (n - 1) for index in np.divmod(flat, n))
    when = np.broadcast_to(time[1:, None], flat.shape)
    number = np.broadcast_to(np.arange(len(time) - 1)[:, None], flat.shape)
    return Tracks(when.ravel(), {"y": y.ravel(), "x": x.ravel()}, number.ravel())


def _altimetry(
    model: Model,
    time: np.ndarray,
    random: np.random.Generator,
    satellites: int,
    passes: int,
    period: float,
    sampling: float,
    duration: float,
    inclination: float,
) -> Tracks:
    """Return the nadir tracks of satellites with repeating ground tracks.

    In each repeat period a satellite crosses the square on `passes` equidistant straight lines that
    lean by ±`inclination` (in x across the height in y), upwards and downwards in turn; the next
    pass lies two fifths of them further on. A crossing takes `duration`; data lie `sampling` apart
    along the track, in lengths of the square's side. The satellites differ in place and time by a
    fraction of the distance between passes.
    """
    length = np.hypot(1.0, inclination)
    along = np.arange(0.0, length * (1 + 1e-12), sampling) / length
    whole = int(np.ceil((time[-1] - time[0]) / period)) + 1
    cycle, number, satellite = np.meshgrid(
        np.arange(whole), np.arange(passes), np.arange(satellites), indexing="ij"
    )
    share = satellite / satellites
    begin = time[0] + period * (cycle + (number + share) / passes)
    stride = next(k for k in range(max(1, 2 * passes // 5), 2 * passes) if math.gcd(k, passes) == 1)
    place = (number * stride % passes + 0.5 * (1 + share)) / passes
    middle = place * (1 + inclination) - 0.5 * inclination
    upwards = np.where(number % 2 == 0, 1.0, -1.0)[..., None]
    y = 0.5 + upwards * (along - 0.5)
    x = middle[..., None] + inclination * (along - 0.5)
    when = begin[..., None] + duration * along
    inside = (x >= 0) & (x <= 1) & (when <= time[-1])
    track = np.broadcast_to(np.arange(begin.size).reshape(begin.shape)[..., None], inside.shape)
    return Tracks(when[inside], {"y": y[inside], "x": x[inside]}, track[inside])


FAMILY = Family(
    name="quasi-geostrophic",
    aliases=("qg",),
    summary="wind-driven ocean on the unit square, 129 x 129 points (Sakov and Oke 2008)",
    julia="QuasiGeostrophic",
    parameters={"F": 1600.0, "r": 1e-5, "kappa": _KAPPA},
    sizes={"n": (129, 9)},
    state_space=_state_space,
    time_step=STEP,
    scaled=_scaled,
    check=_check,
    kind="step",
    function=step,
    start=lambda **fields: Start((0.0,), 1e-3),
    spinup=10000.0,
    interval=50.0,
)

SAMPLINGS = {
    "qg-tracks": Sampling(FAMILY.name, _tracks, 4.0, {"count": 300}),
    "qg-altimetry": Sampling(
        FAMILY.name, _altimetry, 4.0,
        {
            "satellites": 2, "passes": 10, "period": 50.0, "sampling": 1 / 128, "duration": 0.5,
            "inclination": 0.4,
        },
    ),
}  # fmt: skip
