"""Whether truth and analysis belong together is decided by labels."""

import numpy as np
import pytest
import xarray as xr

from pyvda.errors import InputError
from pyvda.io.pairs import paired, with_truth

VALUES = np.random.default_rng(0).normal(size=(4, 6, 3))


def array(**attrs):
    coords = {
        "window": np.arange(4),
        "time": 0.01 * np.arange(6),
        "state": list("xyz"),
        "window_start": ("window", 6 * np.arange(4)),
    }
    return xr.DataArray(VALUES, coords, ("window", "time", "state"), attrs=attrs)


def test_the_order_of_dimensions_does_not_matter():
    found = paired(array().transpose("state", "window", "time"), array())
    xr.testing.assert_identical(found, array())


@pytest.mark.parametrize("name", ["window", "time", "state", "window_start"])
def test_labels_that_only_one_side_has_are_ignored(name):
    xr.testing.assert_identical(paired(array().drop_vars(name), array()), array().drop_vars(name))


def test_a_truth_of_one_window_is_that_of_a_series():
    series = array().isel(window=0, drop=True)
    xr.testing.assert_identical(paired(array().isel(window=[0]), series), series)
    with pytest.raises(InputError, match="give the truth of the same windows"):
        paired(array(), series)


def test_rounding_of_times_is_ignored():
    other = array().assign_coords(time=array().time.astype("f4"))
    xr.testing.assert_identical(paired(other, array()), other)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda a: a.isel(window=slice(None, None, -1)),
            "window is 3 in the truth and 0 in the analysis",
        ),
        (
            lambda a: a.assign_coords(window=a.window + 1),
            "window is 1 in the truth and 0 in the analysis",
        ),
        (lambda a: a.assign_coords(time=a.time + 0.01), r"time is 0.01 in the truth and 0\.0 in"),
        (lambda a: a.isel(state=[0, 2, 1]), "state is z in the truth and y in"),
        (lambda a: a.assign_coords(window_start=a.window_start + 2), "window_start is 2 in"),
        (lambda a: a.isel(window=slice(1, None)), "truth is 3 window x 6 time x 3 state, the"),
        (lambda a: a.rename(state="component"), "the truth is 4 window x 6 time x 3 component"),
        (lambda a: a.assign_attrs(units="K"), "in units of K, the analysis in m; convert"),
    ],
)
def test_mismatched_pairs_are_refused_in_one_sentence(change, sentence):
    with pytest.raises(InputError, match=sentence) as refused:
        paired(change(array()), array(units="m"))
    assert "\n" not in str(refused.value)


def test_observations_get_their_truth():
    observed = array().to_dataset(name="observation")
    found = with_truth(observed, array().to_dataset(name="truth"))
    np.testing.assert_array_equal(found.truth, VALUES)
    with pytest.raises(InputError, match="window is 3 in the truth and 0 in the observations"):
        with_truth(observed, array().isel(window=slice(None, None, -1)).to_dataset(name="truth"))
    with pytest.raises(InputError, match="no variable 'truth'"):
        with_truth(observed, xr.Dataset())


@pytest.mark.parametrize("name", ["window", "time", "state"])
def test_labels_of_a_selected_window_step_or_component_count(name):
    one, other = array().isel({name: 1}), array().isel({name: 2})
    xr.testing.assert_identical(paired(one, one), one)
    with pytest.raises(InputError, match=f"{name} is .* in the truth and .* in the analysis"):
        paired(other, one)
