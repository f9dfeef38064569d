import numpy as np
import pytest

from pyvda.fields.learned.tiles import RAMP, tiles, weights


@pytest.mark.parametrize(("shape", "size"), [((7, 9), 32), ((64, 100), 16), ((33, 130), 20)])
def test_all_points_are_covered_by_estimates_that_see_what_they_need(shape, size) -> None:
    border = 16
    whole = np.zeros(shape)
    for tile in tiles(np.ones(shape, bool), size, border, 4):
        assert tile.y.start % 4 == tile.x.start % 4 == 0
        weight = weights(shape, tile, border)
        whole[tile] += weight
        for side, span, length in zip((weight, weight.T), tile, shape, strict=True):
            if span.start > 0:
                assert not side[: border - RAMP].any()
            if span.stop < length:
                assert not side[len(side) - (border - RAMP) :].any()
    assert whole.min() >= 1 - 1e-12


def test_land_has_no_tile() -> None:
    sea = np.zeros((64, 64), bool)
    sea[50:, 50:] = True
    found = tiles(sea, 16, 8, 4)
    assert len(found) == 1
    assert found[0].y.stop == found[0].x.stop == 64
