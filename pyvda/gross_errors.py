"""Good and bad observations as a mixture, whose parameters are estimated from a file.

The error z of an observation, in standard deviations of the good ones, has the density

    (1 - α - β) N(z; 0, 1) + α / (2 d (1 + |z| / d)²) + β (N(z; s, τ²) + N(z; -s, τ²)) / 2.

The second term are errors of any size, of which half exceed d = 5. Alone, with α = 0.1, it is what
is assumed of an unknown file, like the uniform density of Andersson & Järvinen (1999). The third
are errors of a size s that is typical of the file. Expectation and maximisation estimate α, β, s
and τ ≥ 1 (Dempster et al. 1977).

Where z is the distance from an uncertain prediction, whose variance is v for good data, v - 1 is
added to the variance of each normal density.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from scipy.special import expit

from pyvda.engine.interface import Array

_HALF_BEYOND = 5.0  # d
_FIRST_SIZES = (3.0, 4.5, 7.0, 10.0, 20.0)  # where the search of s starts
_PRIOR_DATA = 20.0  # data that the α assumed before counts for
_LEAST = 1e-3  # of α: any datum may be wrong in a way that no other is
_ITERATIONS, _CLOSE = 500, 1e-5


@dataclass(frozen=True)
class GrossErrors:
    """Shares and sizes of the errors of bad observations.

    Attributes
    ----------
    anywhere : float
        α, the share of data with an error of any size.
    typical : float
        β, the share of data with an error of the typical size.
    size, width : float
        s and τ, in standard deviations of good data.
    """

    anywhere: float = 0.1
    typical: float = 0.0
    size: float = 0.0
    width: float = 1.0

    def log_good(self, z: Array, variance: Array | float = 1.0) -> Array:
        """Return the log of the share and density of good data."""
        share = 1 - self.anywhere - self.typical
        return np.log(share / np.sqrt(2 * np.pi * variance)) - 0.5 * z**2 / variance

    def log_bad(self, z: Array, variance: Array | float = 1.0) -> Array:
        """Return the log of the share and density of bad data."""
        return np.asarray(np.log(np.add(*self._bad(z, variance))))

    def excess_of_good(self, z: Array, variance: Array) -> float:
        """Return the mean of z² / v over good data, less 1, in its standard deviations √(2 / n).

        Each datum is weighed by how likely it is good; n is the sum of the weights. The result has
        mean 0 and standard deviation 1 where the density is right, whatever share of the data is
        bad; it is NaN without data.
        """
        if not len(z):
            return np.nan
        likely = expit(self.log_good(z, variance) - self.log_bad(z, variance))
        good = likely.sum()
        return float(((likely * z**2 / variance).sum() / good - 1) / np.sqrt(2 / good))

    def _bad(self, z: Array, variance: Array | float) -> tuple[Array, Array]:
        """Return the two terms of bad data."""
        distance, scale = np.abs(z), _HALF_BEYOND * np.sqrt(variance)
        wider = self.width**2 + variance - 1
        both = sum(np.exp(-0.5 * (distance - s) ** 2 / wider) for s in (self.size, -self.size))
        return (
            self.anywhere / (2 * scale * (1 + distance / scale) ** 2),
            self.typical / 2 * both / np.sqrt(2 * np.pi * wider),
        )

    def fitted(self, z: Array, variance: Array) -> GrossErrors:
        """Return the estimate from data, with `anywhere` of this one as prior.

        A typical size is part of it only if its three parameters are worth it (Schwarz 1978).

        Parameters
        ----------
        z, variance : (n,)
            Distances from predictions, and their variances for good data.
        """
        without = self._fitted(GrossErrors(self.anywhere), z, variance)
        share = self.anywhere / 2
        starts = [GrossErrors(share, share, size) for size in _FIRST_SIZES]
        ends = [self._fitted(start, z, variance) for start in starts]
        likelihoods = [_log_likelihood(end, z, variance) for end in ends]
        gain = max(likelihoods) - _log_likelihood(without, z, variance)
        typical = gain > 1.5 * np.log(max(len(z), 2))
        return ends[int(np.argmax(likelihoods))] if typical else without

    def _fitted(self, found: GrossErrors, z: Array, variance: Array) -> GrossErrors:
        """Return the end of expectation and maximisation from a first estimate."""
        count = len(z) + _PRIOR_DATA
        for _ in range(_ITERATIONS):
            anywhere, typical = found._bad(z, variance)
            total = np.exp(found.log_good(z, variance)) + anywhere + typical
            share = ((anywhere / total).sum() + _PRIOR_DATA * self.anywhere) / count
            after = GrossErrors(max(float(share), _LEAST))
            if found.typical:
                p = typical / total
                weight = max(p.sum(), 1e-9)
                size = float((p * np.abs(z)).sum() / weight)
                square = (p * ((np.abs(z) - size) ** 2 - variance + 1)).sum() / weight
                width = float(np.sqrt(max(square, 1.0)))
                after = GrossErrors(after.anywhere, float(p.sum() / count), size, width)
            changes = zip(asdict(after).values(), asdict(found).values(), strict=True)
            found = after
            if max(abs(a - b) for a, b in changes) < _CLOSE:
                break
        return found


UNKNOWN = GrossErrors()
"""Assumed for observations for which no estimate is possible."""


def _log_likelihood(errors: GrossErrors, z: Array, variance: Array) -> float:
    both = np.logaddexp(errors.log_good(z, variance), errors.log_bad(z, variance))
    return float(both.sum())
