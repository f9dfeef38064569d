"""Local ensemble transforms in torch: an eigendecomposition for each centre.

Around a centre the data count with weights ρ. With the members' anomalies S (N, p) at the data and
the innovations d, in units of the errors, anomalies X of a component go to

    X w + √(N-1) X A^(-1/2),    A = ζ I + S ρ Sᵀ,    w = A⁻¹ S ρ d,    ζ = (N-1) / α²

(Hunt, Kostelich & Szunyogh 2007). Of an earlier time they get w/α and the root over α. The α of
the finite-size filter solves N/ζ = N/(N-1) + |w|² (Bocquet, Raanes & Hannart 2015), up to 2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pyvda.engine.checked import checked_analysis
from pyvda.engine.data import LocalCentres
from pyvda.engine.interface import Array
from pyvda.engine.torch.arrays import tensor
from pyvda.operators.localisation import gaspari_cohn

_AT_ONCE = 1 << 22  # numbers in the products of the centres that are solved together
_CHANGE, _CHANGES = 1e-14, 200
_MOST_INFLATION = 2.0  # that data ask for; more would be of a wrong datum or model


def local_analyses(
    ensembles: Sequence[Array],
    sensitivity: Array,
    innovation: Array,
    place: Array,
    centres: LocalCentres,
    *,
    inflation: float | None = 1.0,
    rotation: Array | None = None,
) -> None:
    """See `Engine.local_analyses`."""
    S, d, place, centres, rotation = checked_analysis(
        ensembles, sensitivity, innovation, place, centres, rotation
    )
    count = S.shape[1]
    means = [members.mean(0) for members in ensembles]
    anomalies = [members - mean for members, mean in zip(ensembles, means, strict=True)]
    changed = np.unique(centres.component)
    for members in ensembles:
        members[:, changed] = 0.0
    length = max(1, _AT_ONCE // (count * max(count, len(d))))
    for start in range(0, len(centres.place), length):
        stop = min(start + length, len(centres.place))
        weight = _weights(centres.place[start:stop], place, centres.period)
        w, root, alpha = _transforms(tensor(S), tensor(d), tensor(weight), inflation)
        if rotation is not None:
            root = root @ tensor(rotation)
        own = slice(centres.first[start], centres.first[stop])
        centre = np.repeat(np.arange(stop - start), np.diff(centres.first[start : stop + 1]))
        component, share = centres.component[own], centres.coefficient[own, None]
        for number, members in enumerate(ensembles):
            scale = (torch.ones_like(alpha) if number == 0 else 1 / alpha)[centre, None]
            X = tensor(anomalies[number][:, component].T)
            step = (X * w[centre]).sum(1, keepdim=True)
            X = torch.einsum("ma,mab->mb", X, root[centre])
            new = means[number][component, None] + (scale * (step + X)).numpy()
            np.add.at(members.T, component, share * new)


def _weights(centre: Array, place: Array, period: Array) -> Array:
    """Return the taper of the distance from each centre (G, d) to each datum (p, d), (G, p)."""
    distance = centre[:, None] - place
    wrapped = np.where(period > 0, period, 1.0)
    around = distance - wrapped * np.round(distance / wrapped)
    distance = np.where(period > 0, around, distance)
    return gaspari_cohn(np.sqrt(np.nansum(distance**2, axis=-1)), 2.0)


def _transforms(
    S: Tensor, d: Tensor, weight: Tensor, inflation: float | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return w (G, N), the root (G, N, N) and α (G,) of each centre."""
    free = S.shape[1] - 1
    values, U = torch.linalg.eigh(torch.einsum("gp,pi,pj->gij", weight, S, S))
    values = values.clamp(min=0)
    b = torch.einsum("gij,gi->gj", U, torch.einsum("gp,pi->gi", weight * d, S))
    if inflation is None:
        zeta = _finite_size(values, b, free)
    else:
        zeta = torch.full_like(values[:, 0], free / inflation**2)
    A = zeta[:, None] + values
    w = torch.einsum("gij,gj->gi", U, b / A)
    root = torch.einsum("gij,gj,gkj->gik", U, (free / A).sqrt(), U)
    return w, root, (free / zeta).sqrt()


def _finite_size(values: Tensor, b: Tensor, free: int) -> Tensor:
    """Return the largest ζ ≤ N-1 with N/ζ = N/(N-1) + |w(ζ)|², or that of the most α, (G,)."""
    N = free + 1
    zeta = torch.full_like(values[:, 0], free)
    for _ in range(_CHANGES):
        norm = (b / (zeta[:, None] + values)).square().sum(1)
        before, zeta = zeta, (N / (N / free + norm)).clamp(min=free / _MOST_INFLATION**2)
        if ((before - zeta) <= _CHANGE * before).all():
            break
    return zeta
