"""Densities of errors, whose middle is sharp and whose tails are rare and long.

A kernel estimate of u = asinh(e / s), s the median of |e|: the kernel is as narrow as the errors
in the middle and as wide as their distance from zero in the tails, where single errors would stand
alone in a histogram.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

_WIDTH = 0.1  # standard deviation of the kernel in u
_CELLS = 2000


def error_density(error: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the density of errors at some places.

    Parameters
    ----------
    error : any shape
    at : (K,)
        In units of the error.

    Returns
    -------
    density : (K,)
        Its integral over all places is 1.
    """
    error = error.ravel()
    scale = float(np.median(np.abs(error))) or 1.0
    u = np.arcsinh(error / scale)
    end = float(np.abs(u).max()) + 5 * _WIDTH
    counts, edges = np.histogram(u, _CELLS, (-end, end))
    cell = edges[1] - edges[0]
    smooth = gaussian_filter1d(counts / (len(u) * cell), _WIDTH / cell, mode="constant")
    of_u = np.interp(np.arcsinh(at / scale), 0.5 * (edges[1:] + edges[:-1]), smooth, 0.0, 0.0)
    return np.asarray(of_u / np.hypot(at, scale))
