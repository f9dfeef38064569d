"""Density of errors with a sharp peak and long, sparse tails.

A kernel density estimate of u = asinh(e / s), with s the median of |e|: in e, the kernel is narrow
in the middle and as wide as the distance from zero in the tails, where a histogram would show
single errors.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import gaussian_kde, norm

_WIDTH = 0.1  # standard deviation of the kernel in u
_BINS = 2000


def error_density(error: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the probability density of errors.

    Parameters
    ----------
    error : any shape
    at : (K,)
        Places to evaluate it at, in units of the error.

    Returns
    -------
    density : (K,)
        Per unit of the error; its integral is 1.
    """
    error = error.ravel()
    scale = float(np.median(np.abs(error))) or 1.0
    counts, edges = np.histogram(np.arcsinh(error / scale), _BINS)
    centres, u = 0.5 * (edges[1:] + edges[:-1]), np.arcsinh(at / scale)
    if np.count_nonzero(counts) == 1:  # equal errors, of which SciPy knows no width
        of_u = norm.pdf(u, centres[counts > 0], _WIDTH)
    else:
        spread = np.sqrt(np.cov(centres, aweights=counts))
        of_u = gaussian_kde(centres, bw_method=_WIDTH / spread, weights=counts)(u)
    return np.asarray(of_u / np.hypot(at, scale))
