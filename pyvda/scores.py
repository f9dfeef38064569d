"""R-score, 4DVar-score and ODE-score of each window, and their means with confidence intervals.

Definitions as in the paper's section 4: mean squared errors in physical units over all components
and steps. Each score is a mean over one window, so that windows are the independent samples from
which confidence intervals are computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy.stats

_BLOCK = 4_000_000  # random indices held at once while resampling


@dataclass(frozen=True)
class Score:
    """A mean over windows, with its bootstrap confidence interval.

    Attributes
    ----------
    mean, low, high, median : float
        Over the windows with a finite value; NaN when there are none.
    n : int
        Windows with a finite value.
    not_finite : int
        Windows without a finite value (their analysis diverged); the other attributes exclude them.
    """

    mean: float
    low: float
    high: float
    median: float
    n: int
    not_finite: int

    def __str__(self) -> str:
        text = f"{self.mean:.4g} [{self.low:.4g}, {self.high:.4g}]"
        if self.not_finite:
            windows = self.n + self.not_finite
            text += f" ({self.not_finite} of {windows} windows excluded: not finite)"
        return text


def r_score(analysis: np.ndarray, truth: np.ndarray, *, steps: slice | None = None) -> np.ndarray:
    """Return the mean squared error of the analysis, (W,).

    Parameters
    ----------
    analysis, truth : (W, T, D)
    steps : slice, optional
        Restricts the mean to these steps: `slice(20, 180)` where the edges are not observed.
    """
    analysis, truth = _same_shape(analysis=analysis, truth=truth)
    part = slice(None) if steps is None else steps
    return _mean_square(analysis[:, part], truth[:, part])


def four_dvar_score(
    analysis: np.ndarray,
    observation: np.ndarray,
    mask: np.ndarray,
    forecast: np.ndarray,
    *,
    lambda1: float = 0.01,
    lambda2: float = 1.0,
) -> np.ndarray:
    """Return the variational cost (4) of the analysis under the model's own Φ, (W,).

    λ₁ Σ mask (x − y)² / n_obs + λ₂ mean((x − Φ(x))²), the mean over steps 1 … T−1: Φ cannot
    predict the first. A window without observations has no first term.

    Parameters
    ----------
    analysis, observation, mask : (W, T, D)
        As in `Batch`; `observation` may have any value, including NaN, where `mask` is 0.
    forecast : (W, T, D)
        Φ(x): step t predicted from step t−1 of the analysis.
    """
    analysis, observation, mask, forecast = _same_shape(
        analysis=analysis, observation=observation, mask=mask, forecast=forecast
    )
    observed = mask > 0
    with np.errstate(over="ignore", invalid="ignore"):
        misfit = np.where(observed, mask * (analysis - observation) ** 2, 0.0).sum(axis=(1, 2))
    count = observed.sum(axis=(1, 2))
    return lambda1 * misfit / np.maximum(count, 1) + lambda2 * ode_score(analysis, forecast)


def ode_score(truth: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    """Return mean((x − Φ(x))²) over steps 1 … T−1, (W,): how well Φ predicts the true states.

    Parameters
    ----------
    truth, forecast : (W, T, D)
        True states x, and Φ(x).
    """
    truth, forecast = _same_shape(truth=truth, forecast=forecast)
    return _mean_square(truth[:, 1:], forecast[:, 1:])


def bootstrap_interval(
    values: np.ndarray, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean of `values` (W,), all finite.

    With a fixed seed, equal values give equal intervals.

    >>> bootstrap_interval(np.array([1.0, 1.0, 1.0]))
    (1.0, 1.0)
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.all(np.isfinite(values)):
        raise ValueError(f"values have shape {values.shape}, expected (window,), finite, not empty")
    if not 0.0 < level < 1.0:
        raise ValueError(f"the level is {level}, expected a number between 0 and 1, such as 0.95")
    if len(values) == 1:  # SciPy refuses it
        return float(values[0]), float(values[0])
    found = scipy.stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=resamples,
        batch=max(1, _BLOCK // len(values)),
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def summarise(
    values: np.ndarray, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Score:
    """Return mean, interval and median of a score (W,), and how many windows are not finite."""
    values = np.asarray(values, dtype=np.float64)
    finite = values[np.isfinite(values)]
    missing = len(values) - len(finite)
    if not len(finite):
        return Score(np.nan, np.nan, np.nan, np.nan, 0, missing)
    low, high = bootstrap_interval(finite, level=level, resamples=resamples, seed=seed)
    return Score(float(finite.mean()), low, high, float(np.median(finite)), len(finite), missing)


def score_table(
    scores: Mapping[str, np.ndarray],
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Summarise several scores (W,) as a dictionary ready for JSON, where NaN becomes null.

    >>> table = score_table({"r_score": np.array([1.0, 3.0, np.nan])})
    >>> table["scores"]["r_score"]["mean"], table["scores"]["r_score"]["not_finite"]
    (2.0, 1)
    """
    rows = {}
    for name, values in scores.items():
        score = asdict(summarise(values, level=level, resamples=resamples, seed=seed))
        rows[name] = {k: None if isinstance(v, float) and v != v else v for k, v in score.items()}
    return {"level": level, "resamples": resamples, "seed": seed, "scores": rows}


def _mean_square(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    if first[:1].size == 0 and len(first):
        raise ValueError(f"no steps are left, the shape is {first.shape}; choose other steps")
    with np.errstate(over="ignore", invalid="ignore"):  # diverged windows are counted later
        squares: np.ndarray = np.mean((first - second) ** 2, axis=(1, 2))
    return squares


def _same_shape(**arrays: np.ndarray) -> list[np.ndarray]:
    found = [np.asarray(array, dtype=np.float64) for array in arrays.values()]
    for name, array in zip(arrays, found, strict=True):
        if array.ndim != 3 or array.shape != found[0].shape:
            expected = "(window, time, state)" if array is found[0] else f"{found[0].shape}"
            raise ValueError(f"{name} has shape {array.shape}, expected {expected}")
    return found
