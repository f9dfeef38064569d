"""The Kalman filter and the Rauch-Tung-Striebel smoother of a linear model, with dense matrices."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Smoothed(NamedTuple):
    """Means (T, D) and covariances (T, D, D) given all data; a filter's at the last step."""

    mean: np.ndarray
    covariance: np.ndarray

    @property
    def stdev(self) -> np.ndarray:
        """Standard deviations, (T, D)."""
        return np.sqrt(np.diagonal(self.covariance, axis1=1, axis2=2))


def smoother(
    M: np.ndarray,
    mean: np.ndarray,
    B: np.ndarray,
    rows: list[np.ndarray],
    data: list[np.ndarray],
    variances: list[np.ndarray],
    Q: np.ndarray,
    offset: np.ndarray | float = 0.0,
) -> Smoothed:
    """Smooth one window of x(t + 1) = M x(t) + offset + error of covariance Q.

    Parameters
    ----------
    M : (D, D)
    mean, B : (D,), (D, D)
        Of the first state before its data.
    rows, data, variances : (pₜ, D), (pₜ,), (pₜ,) for each step t
        H, y and the diagonal of R.
    """
    steps, size = len(data), len(mean)
    forecast, filtered = [], []
    x, P = mean, B
    for t in range(steps):
        if t:
            x, P = M @ x + offset, M @ P @ M.T + Q
        forecast.append((x, P))
        H = rows[t].reshape(-1, size)
        gain = np.linalg.solve(H @ P @ H.T + np.diag(variances[t]), H @ P).T
        x, P = x + gain @ (data[t] - H @ x), P - gain @ H @ P
        filtered.append((x, P))
    smoothed = filtered[:]
    for t in reversed(range(steps - 1)):
        (x, P), (x_next, P_next), (xs, Ps) = filtered[t], forecast[t + 1], smoothed[t + 1]
        C = np.linalg.solve(P_next, M @ P).T
        smoothed[t] = (x + C @ (xs - x_next), P + C @ (Ps - P_next) @ C.T)
    return Smoothed(*(np.stack(a) for a in zip(*smoothed, strict=True)))


def of_mask(
    M: np.ndarray,
    mean: np.ndarray,
    B: np.ndarray,
    y: np.ndarray,
    variance: np.ndarray,
    Q: np.ndarray,
    offset: np.ndarray | float = 0.0,
) -> Smoothed:
    """Smooth data of single components: y (T, D) and their error variances (T, D), inf for none."""
    seen = np.isfinite(variance)
    unit = np.eye(len(mean))
    return smoother(
        M, mean, B, [unit[s] for s in seen], [a[s] for a, s in zip(y, seen, strict=True)],
        [a[s] for a, s in zip(variance, seen, strict=True)], Q, offset,
    )  # fmt: skip
