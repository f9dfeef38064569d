"""The local variance of a field, by loops over its points."""

import numpy as np
import pytest
from gappy import field

from pyvda.fields.field import opened
from pyvda.fields.local_variance import LocalVariance, local_scale, neighbours
from pyvda.fields.mean import mean_of_parts

pytestmark = pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")
NEAR, PRIOR = 25, 10


def test_is_the_mean_square_of_the_nearest_points_drawn_to_the_usual_one() -> None:
    found = opened(field(times=6, ny=6, nx=7, land=False)[0])
    values = found.read("sst").values

    def parts():
        return [(found.days[:2], values[:2]), (found.days[2:], values[2:])]

    mean = mean_of_parts(parts, None)
    departure = values - mean.at(found.days)
    usual = np.nanmean(departure**2)
    scale = []
    for place in found.places.position:
        near = np.linalg.norm(found.places.position - place, axis=1).argsort(kind="stable")[:NEAR]
        squares = departure[:, near][np.isfinite(departure[:, near])] ** 2
        scale.append(np.sqrt((squares.sum() + PRIOR * usual) / (len(squares) + PRIOR) / usual))
    np.testing.assert_allclose(local_scale(found, parts, mean), scale, rtol=0.05)
    made = LocalVariance.of(found, parts, mean)
    # Points at one distance may be taken in another order: with the same neighbours it is exact.
    squares, counts = np.nansum(departure**2, 0), np.isfinite(departure).sum(0)
    near = neighbours(found.places)
    exact = np.sqrt((squares[near].sum(1) + PRIOR * usual) / (counts[near].sum(1) + PRIOR) / usual)
    np.testing.assert_allclose(made.scale(), exact, rtol=1e-12)
    # Less one datum: that of a field without it, where its mean is the same.
    t, p = (one[0] for one in np.nonzero(np.isfinite(values)))
    left = values.copy()
    left[t, p] = np.nan
    expected = LocalVariance.of(found, lambda: [(found.days, left)], mean).scale()
    without = made.without(np.array([p]), departure[t, [p]] ** 2)
    np.testing.assert_allclose(without.scale(), expected, rtol=1e-12)
