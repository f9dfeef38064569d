"""Optimal interpolation, one query after the other: all distances, a sort, a Cholesky solve."""

from __future__ import annotations

import numpy as np
import torch

from pyvda.engine.data import Array, Interpolated, InterpolationData, Selection, Targets


def optimal_interpolation(
    data: InterpolationData,
    targets: Targets,
    selection: Selection,
    factors: Array,
    along: tuple[float, float] = (0.0, 1.0),
) -> Interpolated:
    """See `Engine.optimal_interpolation`."""
    found = np.full((4, len(targets.point)), np.nan)
    variance = factors[:, 0].sum()
    for q, (p, time, group) in enumerate(
        zip(targets.point, targets.time, targets.group, strict=True)
    ):
        chosen = nearest(data, selection, targets.position[p], targets.map[p], time, group)
        if not len(chosen):
            found[:2, q] = 0.0, variance
            continue
        where = data.position[chosen]
        if data.velocity is not None:
            where = where + data.velocity[chosen] * (time - data.time[chosen])[:, None]
        position = torch.from_numpy(where)
        days = torch.from_numpy(data.time[chosen])
        km = _distances(position)
        a = _covariance(factors, km, (days[:, None] - days).abs())
        track = torch.from_numpy(np.asarray(data.track[chosen]))
        a += along[0] * (track[:, None] == track) * torch.exp(-km / along[1])
        a += torch.diag(torch.from_numpy(data.noise[chosen]))
        away = (position - torch.from_numpy(targets.position[p])).norm(dim=-1)
        c = _covariance(factors, away, (days - time).abs())
        factor, info = torch.linalg.cholesky_ex(a)
        if int(info):
            continue
        rows = torch.stack([c, torch.from_numpy(data.value[chosen])], dim=-1)
        u = torch.linalg.solve_triangular(factor, rows, upper=False)
        found[0, q] = float(u[:, 0] @ u[:, 1])
        found[1, q] = variance - float(u[:, 0] @ u[:, 0])
        best = int(c.argmax())
        found[2:, q] = float(away[best]), float(days[best]) - time
    return Interpolated(*found)


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


def _covariance(factors: Array, km: torch.Tensor, days: torch.Tensor) -> torch.Tensor:
    total = torch.zeros_like(km)
    for variance, space, length, time, scale in factors:
        total += variance * _shape(int(space), km / length) * _shape(int(time), days / scale)
    return total


def _shape(kind: int, s: torch.Tensor) -> torch.Tensor:
    """Return exp(-s), exp(-s²/2), or Matérn's function of order 3/2 or 5/2."""
    if kind == 1:
        return torch.exp(-(s**2) / 2)
    root = (3.0 if kind == 2 else 5.0) ** 0.5
    polynomials = (1, 0, 1 + root * s, 1 + root * s + 5 / 3 * s**2)
    return polynomials[kind] * torch.exp(-(root if kind else 1.0) * s)
