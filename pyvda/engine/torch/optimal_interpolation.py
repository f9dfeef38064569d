"""Optimal interpolation, one query after the other: all distances, a sort, a Cholesky solve."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from pyvda.engine.data import Array, Interpolated, InterpolationData, Selection, Targets


class _Near(NamedTuple):
    """Data near a point, (K,): km and days between them (K, K), and from the point."""

    km: torch.Tensor
    days: torch.Tensor
    same_track: torch.Tensor
    away: torch.Tensor
    lag: torch.Tensor
    noise: torch.Tensor
    value: torch.Tensor


def optimal_interpolation(
    data: InterpolationData,
    targets: Targets,
    selection: Selection,
    factors: Array,
    along: tuple[float, float] = (0.0, 1.0),
) -> Interpolated:
    """See `Engine.optimal_interpolation`."""
    return _interpolated(data, targets, selection, factors, along, None)


def interpolation_derivatives(
    data: InterpolationData,
    targets: Targets,
    selection: Selection,
    factors: Array,
    along: tuple[float, float] = (0.0, 1.0),
) -> tuple[Interpolated, Array]:
    """See `Engine.interpolation_derivatives`."""
    found = np.full((len(targets.point), 2, 1 + 3 * len(factors)), np.nan)
    return _interpolated(data, targets, selection, factors, along, found), found


def _interpolated(
    data: InterpolationData,
    targets: Targets,
    selection: Selection,
    factors: Array,
    along: tuple[float, float],
    derivatives: Array | None,
) -> Interpolated:
    found = np.full((4, len(targets.point)), np.nan)
    for q in range(len(targets.point)):
        near = _near(data, targets, selection, q)
        changes = torch.zeros(
            1 + 3 * len(factors), dtype=torch.float64, requires_grad=derivatives is not None
        )
        estimate = _estimate(changes, near, factors, along)
        if estimate is None:
            continue
        found[:2, q] = [one.item() for one in estimate]
        if len(near.value):
            best = int(_covariance(factors, near.away, near.lag.abs()).argmax())
            found[2:, q] = float(near.away[best]), float(near.lag[best])
        if derivatives is not None:
            for row, one in zip(derivatives[q], estimate, strict=True):
                row[:] = torch.autograd.grad(
                    one, changes, retain_graph=True, materialize_grads=True
                )[0]
    return Interpolated(*found)


def _near(data: InterpolationData, targets: Targets, selection: Selection, q: int) -> _Near:
    point, time, group = targets.point[q], targets.time[q], targets.group[q]
    place = targets.position[point]
    chosen = nearest(data, selection, place, targets.map[point], time, group)
    where = data.position[chosen]
    if data.velocity is not None:
        where = where + data.velocity[chosen] * (time - data.time[chosen])[:, None]
    position = torch.from_numpy(where)
    days, track, noise, value = (
        torch.from_numpy(np.asarray(one[chosen]))
        for one in (data.time, data.track, data.noise, data.value)
    )
    return _Near(
        _distances(position), (days[:, None] - days).abs(), track[:, None] == track,
        (position - torch.from_numpy(place)).norm(dim=-1), days - time, noise, value,
    )  # fmt: skip


def _estimate(
    changes: torch.Tensor, near: _Near, factors: Array, along: tuple[float, float]
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return the estimate and the variance of its error; None if A is not positive definite.

    `changes` (1 + 3 F) are of the variance of all errors, and of the logarithms of each factor's
    variance, km and days.
    """
    logs = changes[1:].reshape(-1, 3)
    a = _covariance(factors, near.km, near.days, logs)
    a = a + along[0] * near.same_track * torch.exp(-near.km / along[1])
    a = a + torch.diag(near.noise + changes[0])
    c = _covariance(factors, near.away, near.lag.abs(), logs)
    factor, info = torch.linalg.cholesky_ex(a)
    if int(info):
        return None
    rows = torch.stack([c, near.value], dim=-1)
    u = torch.linalg.solve_triangular(factor, rows, upper=False)
    variance = (torch.from_numpy(factors[:, 0]) * logs[:, 0].exp()).sum()
    return u[:, 0] @ u[:, 1], variance - u[:, 0] @ u[:, 0]


def nearest(
    data: InterpolationData,
    selection: Selection,
    position: Array,
    map_: Array,
    time: float,
    group: int,
) -> Array:
    """Return the indices of the data that an estimate uses."""
    chosen: list[Array] = []
    for g, of_group in enumerate(data.group_time):
        if abs(of_group - time) > selection.days:
            continue
        members = np.arange(data.first[g], data.first[g + 1])
        if g == group:
            members = members[~data.hidden[members].astype(bool)]
        km = np.linalg.norm(data.position[members] - position, axis=-1)
        members, km = members[km <= selection.km], km[km <= selection.km]
        du, dv = (data.map[members] - map_).T
        if data.scale[2]:
            du = du - data.scale[2] * np.round(du / data.scale[2])
        quadrants = (
            ((du > 0) & (dv >= 0)) | ((du == 0) & (dv == 0)), (du <= 0) & (dv > 0),
            (du < 0) & (dv <= 0), (du >= 0) & (dv < 0),
        )  # fmt: skip
        most = selection.own if g == group else selection.other
        for quadrant in quadrants:
            order = np.argsort(km[quadrant], kind="stable")[:most]
            chosen.append(members[quadrant][order])
    return np.concatenate(chosen) if chosen else np.zeros(0, int)


def _distances(position: torch.Tensor) -> torch.Tensor:
    return (position[:, None] - position).norm(dim=-1)


def _covariance(
    factors: Array, km: torch.Tensor, days: torch.Tensor, logs: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the sum of the factors, whose variances, km and days are those times exp(`logs`)."""
    total = torch.zeros_like(km)
    by = torch.zeros(len(factors), 3, dtype=torch.float64) if logs is None else logs
    for (variance, space, length, time, scale), (v, r, t) in zip(factors, by, strict=True):
        in_space = _shape(int(space), km / length * (-r).exp())
        total = total + variance * v.exp() * in_space * _shape(int(time), days / scale * (-t).exp())
    return total


def _shape(kind: int, s: torch.Tensor) -> torch.Tensor:
    """Return exp(-s), exp(-s²/2), or Matérn's function of order 3/2 or 5/2."""
    if kind == 1:
        return torch.exp(-(s**2) / 2)
    root = (3.0 if kind == 2 else 5.0) ** 0.5
    polynomials = (1, 0, 1 + root * s, 1 + root * s + 5 / 3 * s**2)
    return polynomials[kind] * torch.exp(-(root if kind else 1.0) * s)
