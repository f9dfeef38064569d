"""State spaces: stacking and unstacking, against plain numpy; refusals in one sentence."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from pyvda.errors import InputError
from pyvda.state.space import StateSpace, Variable, flat


def two_scale(slow: int = 4, fast: int = 3) -> StateSpace:
    return StateSpace((Variable("X", ("k",), (slow,)), Variable("Y", ("k", "j"), (slow, fast))))


def dataset(space: StateSpace, windows: int = 2, steps: int = 3, seed: int = 0) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    return xr.Dataset(
        {
            v.name: (("window", "time", *v.dims), rng.normal(size=(windows, steps, *v.shape)))
            for v in space.variables
        }
    )


def test_the_state_vector_holds_the_variables_one_after_another() -> None:
    space = two_scale()
    ds = dataset(space)
    vector = space.stack(ds)
    assert vector.shape == (2, 3, space.size) == (2, 3, 4 + 12)
    np.testing.assert_array_equal(vector[..., :4], ds.X.values)
    np.testing.assert_array_equal(vector[..., 4:], ds.Y.values.reshape(2, 3, 12))
    assert space.slices() == {"X": slice(0, 4), "Y": slice(4, 16)}
    assert space.component_names()[3:6] == ["X[3]", "Y[0, 0]", "Y[0, 1]"]


@given(order=st.permutations(["window", "time", "k", "j"]), lazy=st.booleans())
@settings(max_examples=25, deadline=None)
def test_the_order_of_dimensions_does_not_matter_and_comes_back(
    order: list[str], lazy: bool
) -> None:
    space = two_scale()
    ds = dataset(space)
    other = ds.transpose(*order)
    vector = space.stack(other.chunk(window=1) if lazy else other)
    np.testing.assert_array_equal(np.asarray(vector), space.stack(ds))
    back = xr.Dataset(space.unstack(np.asarray(vector), other))
    xr.testing.assert_identical(back, other)
    assert back.Y.dims == tuple(order)


def test_a_lazy_dataset_stays_lazy() -> None:
    space = two_scale()
    assert space.stack(dataset(space).chunk(window=1)).chunks[0] == (1, 1)


def test_scalars_make_one_component_each_and_missing_leading_dimensions_have_length_one() -> None:
    space = flat(3, ("x", "y", "z"))
    ds = xr.Dataset({n: ("time", np.arange(5.0) + 10 * i) for i, n in enumerate("xyz")})
    vector = space.stack(ds)
    assert vector.shape == (1, 5, 3)
    np.testing.assert_array_equal(vector[0, 2], [2, 12, 22])
    xr.testing.assert_identical(xr.Dataset(space.unstack(vector[0], ds)), ds)


def test_attributes_and_coordinates_come_back() -> None:
    space = StateSpace((Variable("sst", ("y", "x"), (2, 3)),))
    ds = xr.Dataset(
        {"sst": (("y", "time", "x"), np.random.default_rng(1).normal(size=(2, 4, 3)))},
        {
            "lat": (("y", "x"), np.ones((2, 3)), {"units": "degrees_north"}),
            "time": ("time", np.arange(4.0), {"axis": "T"}),
        },
    )
    ds.sst.attrs["units"] = "K"
    xr.testing.assert_identical(space.unstack(space.stack(ds)[0], ds)["sst"], ds.sst)


def test_land_is_nan_on_both_sides_and_stays_in_the_vector() -> None:
    land = np.array([[True, False, False], [False, False, True]])
    space = StateSpace(
        (Variable("u", ("y", "x"), (2, 3)), Variable("mean"), Variable("v", ("y", "x"), (2, 3))),
        land,
    )
    vector = space.stack(dataset(space))
    assert vector.shape[-1] == 13
    expected = np.concatenate([land.ravel(), [False], land.ravel()])
    np.testing.assert_array_equal(np.isnan(vector).all((0, 1)), expected)
    np.testing.assert_array_equal(space.sea, ~expected)
    back = space.unstack(np.zeros((1, 1, 13)))
    np.testing.assert_array_equal(np.isnan(back["v"].values[0, 0]), land)


def test_a_space_is_plain_data() -> None:
    space = StateSpace((Variable("u", ("y", "x"), (2, 3)),), np.eye(2, 3, dtype=bool))
    again = pickle.loads(pickle.dumps(space))
    assert again == space
    assert hash(again) == hash(space)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda ds: ds.drop_vars("Y"), "'Y' of the state is missing, found X"),
        (lambda ds: ds.isel(j=slice(2)), r"\(k=4, j=2\).*\(k=4, j=3\)"),
        (lambda ds: ds.rename(j="jj"), r"\(k=4, jj=3\)"),
        (lambda ds: ds.isel(j=0), r"'Y' has \(k=4\)"),
        (lambda ds: ds.assign(X=ds.X.isel(window=0)), "same dimensions window and time"),
    ],
)
def test_variables_that_do_not_fit_are_refused_in_one_sentence(change, sentence) -> None:
    space = two_scale()
    with pytest.raises(InputError, match=sentence):
        space.stack(change(dataset(space)))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: StateSpace(()), "at least one variable"),
        (lambda: StateSpace((Variable("x"), Variable("x"))), "different names"),
        (lambda: Variable("x", ("y",), ()), "one length for each"),
        (lambda: Variable("x", ("time",), (3,)), "added by pyvda"),
        (lambda: Variable("x", ("y", "y"), (3, 3)), "must differ"),
        (lambda: Variable("x", ("y",), (0,)), "at least 1"),
        (lambda: Variable(""), "no name"),
        (lambda: StateSpace((Variable("x", ("k",), (3,)), Variable("y", ("k",), (4,)))), "'k'"),
        (lambda: StateSpace((Variable("x", ("k",), (3,)),), np.zeros(4, bool)), "land mask"),
        (lambda: StateSpace((Variable("x"),), b"\0\0"), "land mask"),
        (lambda: flat(3, ("x", "y")), "one for each"),
        (lambda: flat(3).unstack(np.zeros((2, 2))), "3 components"),
        (lambda: flat(3).unstack(np.zeros((1, 1, 1, 3))), "3 components"),
    ],
)
def test_impossible_spaces_and_states_are_refused_in_one_sentence(make, sentence) -> None:
    with pytest.raises(InputError, match=sentence) as refused:
        make()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["window", "time", "a\tb", "a\n", "\nb", "a b", "-x", "x=3"])
def test_names_that_files_cannot_have_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="give it a name of letters") as refused:
        Variable(name)
    assert "\n" not in str(refused.value)
    for fine in ("x", "θ", "t2m", "2m_temperature", "T_700-850"):
        assert Variable(fine).name == fine


def test_a_variable_and_a_dimension_of_one_name_are_refused() -> None:
    with pytest.raises(InputError, match="a variable of the state and a dimension are both called"):
        StateSpace((Variable("a", ("x",), (3,)), Variable("x")))
