"""The attribute observation_error_variance of a file."""

import numpy as np
import pytest
import xarray as xr

from pyvda.errors import InputError
from pyvda.io.quality.stated_variance import stated_variance


@pytest.mark.parametrize(
    ("given", "expected"),
    [(0.5, 0.5), (2, 2.0), (0, 0.0), (np.float32(0.25), 0.25), ([4.0], 4.0), (None, None)],
)
def test_one_number_is_the_variance(given: object, expected: float | None) -> None:
    attrs = {} if given is None else {"observation_error_variance": given}
    assert stated_variance(xr.Dataset(attrs=attrs)) == expected


@pytest.mark.parametrize("given", [-1.0, np.nan, np.inf, "0.5", [1.0, 2.0], [], True])
def test_anything_else_is_refused_in_one_sentence(given: object) -> None:
    with pytest.raises(InputError, match=r"expected one number.*; correct or remove it") as refused:
        stated_variance(xr.Dataset(attrs={"observation_error_variance": given}))
    assert "\n" not in str(refused.value)
