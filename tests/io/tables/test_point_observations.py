"""Data at arbitrary times in Datasets: where they lie, which window has them, as arrays."""

import numpy as np
import pytest
import xarray as xr

from pyvda.errors import InputError
from pyvda.io.tables.point_observations import cut_points, located, positions, to_points


def series(**changes: object) -> xr.Dataset:
    """Ten steps of 0.5 from 2.0, with four data of which one is missing."""
    data = {
        "observation": (("time", "state"), np.full((10, 2), np.nan)),
        "point_time": ("datum", [2.0, 3.2, 4.0, 6.9]),
        "point_observation": ("datum", [1.0, 2.0, np.nan, 4.0]),
        "point_operator": (("datum", "state"), [[1.0, 0], [0, 1], [0, 0], [1, -1]]),
        "point_error": ("datum", [1.0, 2.0, np.nan, 0.5]),
    }
    return xr.Dataset({**data, **changes}, {"time": 2.0 + 0.5 * np.arange(10)})


def test_positions_are_in_steps_from_the_first() -> None:
    axis = 2.0 + 0.5 * np.arange(10)
    np.testing.assert_allclose(positions(np.array([2.0, 3.2, 1.5]), axis), [0, 2.4, -1])
    assert positions(np.array([2.5 + 1e-9]), axis)[0] == 1.0  # as good as at the step
    dates = np.datetime64("2000-01-01", "ns") + np.arange(4) * np.timedelta64(6, "h")
    when = np.array(["2000-01-01T09:00", "NaT"], "datetime64[ns]")
    np.testing.assert_array_equal(positions(when, dates), [1.5, np.nan])
    with pytest.raises(InputError, match=r"times of type float64, the analysis times datetime64"):
        positions(np.array([1.0]), dates)


def test_data_are_located() -> None:
    found = located(series())["point_position"]
    np.testing.assert_allclose(found, [0, 2.4, np.nan, 9.8])
    plain = series().drop_vars([name for name in series() if str(name).startswith("point")])
    assert located(plain) is plain


def test_windows_have_the_data_between_their_first_step_and_one_after_their_last() -> None:
    found = cut_points(located(series()), np.array([0, 2, 5]), 5)
    position, value = found["point_position"].values, found["point_observation"].values
    kept = [row[np.isfinite(row)].tolist() for row in value]
    assert kept == [[1.0, 2.0], [2.0], [4.0]]
    np.testing.assert_allclose(position[0, :2], [0, 2.4])
    np.testing.assert_allclose(position[1, 0], 0.4)
    np.testing.assert_allclose(position[2, 0], 4.8)
    assert cut_points(xr.Dataset(), np.array([0]), 5) == {}


def test_as_arrays() -> None:
    block = located(series()).expand_dims(window=1)
    points = to_points(block, 2.0)
    assert points.step.tolist() == [[0, 2, 0, 9]]
    np.testing.assert_allclose(points.fraction, [[0, 0.4, 0, 0.8]], atol=1e-12)
    assert points.value.tolist() == [[1, 2, 0, 4]]
    assert points.weight.tolist() == [[2, 0.5, 0, 8]]
    assert np.asarray(points.operator[0, 3]).tolist() == [1, -1]
    assert to_points(block, None).weight.tolist() == [[1, 1, 0, 1]]
    assert to_points(xr.Dataset(), None) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"point_observation": ("datum", [1.0, np.inf, 1, 1])}, "1 infinite value;"),
        ({"point_operator": (("datum", "state"), np.zeros((4, 2)))}, "rows of zeros or NaN"),
        ({"point_error": ("datum", [1.0, 0.0, 1, 1])}, "not a positive number at some data"),
        ({"point_time": ("datum", [2.0, 3.2, 4.0, 7.0])}, "1 data lie outside the analysis times"),
        ({"point_time": ("datum", [2.0, np.nan, 4.0, 6.0])}, "1 data lie outside"),
    ],
)
def test_data_that_cannot_be_placed_are_refused(changes: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        located(series(**changes))


def test_what_is_missing_is_named() -> None:
    with pytest.raises(InputError, match="point_observation needs point_time; add it"):
        located(series().drop_vars("point_time"))
    with pytest.raises(InputError, match="need a coordinate of analysis times; add 'time'"):
        located(series().drop_vars("time"))
