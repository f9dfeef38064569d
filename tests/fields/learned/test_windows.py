"""Windows in a series: each keeps its values, and none is near another."""

import numpy as np
import pytest
import xarray as xr

from pyvda.errors import InputError
from pyvda.fields.learned.windows import has_windows, in_series, span_of


def truth(windows=3, times=4):
    psi = np.arange(windows * times * 6.0).reshape(windows, times, 2, 3)
    return xr.Dataset(
        {"psi": (("window", "time", "y", "x"), psi, {"units": "1"}),
         "depth": (("y", "x"), psi[0, 0])},
        {"time": ("time", 5.0 * np.arange(times), {"units": "1"}), "y": [0.0, 1.0]},
    )  # fmt: skip


def tracks():
    return xr.Dataset(
        {"psi": ("obs", [1.0, 2.0, 3.0]), "window": ("obs", [0, 0, 2])},
        {"time": ("obs", [0.0, 7.5, 2.5], {"units": "1"})},
    )


def test_fields_and_points_of_a_window_have_the_same_times() -> None:
    whole = truth()
    span = span_of(whole)
    fields, points = in_series(whole, span), in_series(tracks(), span)
    assert fields.psi.dims == ("time", "y", "x")
    np.testing.assert_array_equal(fields.psi.values.reshape(3, 4, 2, 3), whole.psi.values)
    np.testing.assert_allclose(fields.time.values.reshape(3, 4) - span * np.arange(3)[:, None],
                               np.tile(whole.time.values, (3, 1)))  # fmt: skip
    np.testing.assert_allclose(points.time.values, [0.0, 7.5, 2.5 + 2 * span])
    assert "window" not in points.variables
    assert fields.time.attrs == points.time.attrs == {"units": "1"}
    assert fields.depth.dims == ("y", "x")
    assert fields.y.values.tolist() == [0.0, 1.0]


def test_windows_lie_farther_apart_than_any_network_sees() -> None:
    whole = truth()
    gaps = np.diff(in_series(whole, span_of(whole)).time.values)
    assert np.unique(gaps).tolist() == [5.0, 5000.0]


def test_dates_are_refused() -> None:
    dates = np.datetime64("2020-01-01", "ns") + np.arange(4) * np.timedelta64(5, "D")
    whole = truth().assign_coords(time=dates)
    with pytest.raises(InputError, match=r"type datetime64.*expected numbers"):
        in_series(whole, span_of(whole))


@pytest.mark.parametrize(
    ("ds", "expected"),
    [(truth(), True), (truth(windows=1), False), (tracks(), True),
     (tracks().drop_vars("window"), False)],
)  # fmt: skip
def test_windows_are_a_dimension_or_a_number_of_each_datum(ds, expected) -> None:
    assert has_windows(ds) == expected
