"""Optimal interpolation corrected with its differences from other interpolations.

The covariance of real data is not of the form that is fitted. So data of passes that are left out,
a fifth at a time, are estimated with the fitted constants, with shorter and longer scales in space
and in time, and with independent errors; a ridge regression gives the weights of the differences
(a stacked regression, Breiman 1996). Its strength is that with the least error in fifths that the
weights do not know. Where none is better than the interpolation itself, weights are 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pyvda.engine import Engine
from pyvda.engine.data import Array, Interpolated, Selection
from pyvda.errors import InputError
from pyvda.fields.covariance import SpaceTimeCovariance
from pyvda.fields.passes import LEAST_PASSES, count_passes
from pyvda.fields.scattered import NO_TRACK, ScatteredRows, interpolated_at
from pyvda.progress import ProgressReport, silent

_SCALES = ((0.6, 1.0), (1.6, 1.0), (1.0, 0.4), (1.0, 2.5))  # of lengths and of times
_DATA = (15, 5)  # in a quadrant, of the others at most
_FOLDS = 5
_SAMPLE = 5000  # data that are estimated
_ROWS = 60_000  # data that are used
_STRENGTHS = (1e-3, 1e-2, 0.1, 1.0, 10.0)


def others(covariance: SpaceTimeCovariance) -> list[SpaceTimeCovariance]:
    """Return a covariance with other scales, and with errors of a pass that are independent."""
    scaled = [
        covariance.model_copy(update={"factors": tuple(
            one.model_copy(update={"km": km * one.km, "days": days * one.days})
            for one in covariance.factors
        )}) for km, days in _SCALES
    ]  # fmt: skip
    return [*scaled, covariance.model_copy(update={"track_variance": 0.0})]


def corrected(
    interpolated: Callable[[SpaceTimeCovariance, Selection], Interpolated],
    covariance: SpaceTimeCovariance,
    selection: Selection,
    weights: Array,
) -> Interpolated:
    """Return an interpolation whose value is corrected; the variance stays.

    Parameters
    ----------
    interpolated : callable
        Interpolates with a covariance and a selection of data, see `scattered.interpolated_at`.
    covariance : SpaceTimeCovariance
    selection : Selection
    weights : (n,)
        As from `learned`; empty: nothing is corrected.
    """
    found = interpolated(covariance, selection)
    value = found.value.copy()
    for weight, other in zip(weights, others(covariance), strict=False):
        if weight:
            value += weight * (interpolated(other, _fewer(selection)).value - found.value)
    return found._replace(value=value)


def learned(
    engine: Engine,
    rows: ScatteredRows,
    covariance: SpaceTimeCovariance,
    selection: Selection,
    width: float,
    seed: int = 0,
    report: ProgressReport = silent,
) -> Array:
    """Return the weights of the differences from each of `others`, (n,).

    Parameters
    ----------
    engine : Engine
    rows : ScatteredRows
        With the variance of their errors, the nugget included.
    covariance : SpaceTimeCovariance
    selection : Selection
    width : float
        Days of a group.
    seed : int
        Seed of the fifths and of the sample.
    report : ProgressReport

    Raises
    ------
    InputError
        There are fewer than 10 passes.
    """
    passes = count_passes(rows)
    if passes < LEAST_PASSES:
        raise InputError(
            f"interpolations cannot be combined by passes that are left out, since there are "
            f"{passes}, expected at least {LEAST_PASSES}; leave out combined"
        )
    surplus = len(rows.value) - _ROWS
    if surplus > 0:  # of many rows, those of the times in the middle
        rows = rows.at(np.argsort(rows.days, kind="stable")[surplus // 2 :][:_ROWS])
    rng = np.random.default_rng(seed)
    of_passes = np.flatnonzero(rows.track != NO_TRACK)
    dealt = rng.permutation(np.unique(rows.track[of_passes]))
    sample = rng.permutation(of_passes)[:_SAMPLE]
    errors, folds = [], []
    for fold in range(_FOLDS):
        report(fold, _FOLDS, "weights of interpolations")
        hidden = np.isin(rows.track, dealt[fold::_FOLDS])
        asked = sample[hidden[sample]]
        left = rows.at(~hidden)
        parts = [
            interpolated_at(
                engine, left, rows.places.at(asked), np.arange(len(asked)), rows.days[asked],
                one, selection if number == 0 else _fewer(selection), width,
            ).value
            for number, one in enumerate((covariance, *others(covariance)))
        ]  # fmt: skip
        errors.append(rows.value[asked] - parts)
        folds.append(np.full(len(asked), fold))
    report(_FOLDS, _FOLDS, "weights of interpolations")
    return weights_of(np.concatenate(errors, 1), np.concatenate(folds))


def weights_of(errors: Array, folds: Array, strengths: Sequence[float] = _STRENGTHS) -> Array:
    """Return weights by which errors of an interpolation become smaller in folds left out, (n,).

    Parameters
    ----------
    errors : (n + 1, m)
        Of the interpolation, then of the others.
    folds : (m,) of int
    strengths : sequence of float
        Of the ridge regressions among which the one with the least error is chosen, over the
        squares of the differences.
    """
    error, apart = errors[0], (errors[0] - errors[1:]).T

    def ridge(at: Array, strength: float) -> Array:
        x = apart[at]
        matrix = x.T @ x + strength * np.diag(np.maximum((x**2).sum(0), 1e-100))
        return np.asarray(np.linalg.solve(matrix, x.T @ error[at]))

    best, chosen = float((error**2).sum()), None
    for strength in strengths:
        squares = sum(
            ((error - apart @ ridge(folds != fold, strength))[folds == fold] ** 2).sum()
            for fold in np.unique(folds)
        )
        if squares < best:
            best, chosen = float(squares), strength
    if chosen is None:
        return np.zeros(len(errors) - 1)
    return ridge(np.ones(len(error), bool), chosen)


def _fewer(selection: Selection) -> Selection:
    own, other = _DATA
    return selection._replace(own=min(selection.own, own), other=min(selection.other, other))
