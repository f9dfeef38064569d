"""What land masks of files mean."""

import numpy as np
import pytest
import xarray as xr

from pyvda.errors import InputError
from pyvda.fields.land_mask import is_sea, mask_of

SPACE = ("lat", "lon")
LAND = np.array([[True, False, False], [False, False, True]])
SEEN = ~LAND


def mask(values, name="mask", **attrs):
    return xr.DataArray(values, dims=SPACE, name=name, attrs=attrs)


LSM = {"long_name": "Land-sea mask"}
BITS = {"flag_masks": np.array([1, 2, 4], np.int8), "flag_meanings": "open_sea land open_lake"}


@pytest.mark.parametrize(
    "array",
    [
        mask(np.where(LAND, 0, 1)),
        mask(np.where(LAND, 1.0, 0.0), "lsm", **LSM),
        mask(np.where(LAND, 0.9, 0.2), "lsm", **LSM),
        mask(np.where(LAND, 2, 1).astype("i1"), **BITS),
        mask(np.where(LAND, 2 + 4, 1).astype("i1"), **BITS),
        mask(np.where(LAND, 0, 1), flag_values="0b, 1b", flag_meanings="land sea"),
        mask(np.where(LAND, 0, 1), "sea_land_mask"),
        mask(np.where(LAND, 1, 0), "land_sea_mask", flag_meanings="sea land"),
        mask(np.where(LAND, 100.0, 30.0), "sftlf", standard_name="land_area_fraction", units="%"),
        mask(np.where(LAND, np.nan, 1.0)),
        mask(~LAND),
    ],
)
def test_land_is_where_attributes_or_names_say_so(array) -> None:
    assert mask_of(array.to_dataset(), SPACE) == array.name
    np.testing.assert_array_equal(is_sea(array, SPACE, SEEN), ~LAND)
    np.testing.assert_array_equal(is_sea(array.transpose(), SPACE, SEEN), ~LAND)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (mask(np.where(LAND, 1, 0)), "read as 0 on land, where 4 of 4 points"),
        (mask(np.where(LAND, 0, 1), "land"), "read as nonzero on land, where 4 of 4 points"),
        (mask(np.where(LAND, "l", "s")), "expected numbers"),
        (mask(np.ones((2, 3)))[0], "one time of it"),
    ],
)
def test_masks_that_cannot_be_used(array, message) -> None:
    with pytest.raises(InputError, match=message):
        is_sea(array, SPACE, SEEN)


def test_attributes_outweigh_the_observations_and_a_part_of_the_sea_may_be_chosen() -> None:
    said = mask(np.where(LAND, 1, 0), standard_name="sea_binary_mask")
    np.testing.assert_array_equal(is_sea(said, SPACE, SEEN), LAND)
    basin = np.array([[0, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(is_sea(mask(basin), SPACE, SEEN), basin == 1)
