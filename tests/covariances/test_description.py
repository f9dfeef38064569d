"""A description is read back as the operator; nothing of a file is trusted."""

import numpy as np
import pytest
import xarray as xr

from pyvda.covariances.description import operator_of, space_of
from pyvda.errors import InputError
from pyvda.operators import Dense, Diffusion, FromEnsemble, Spectral, Sum
from pyvda.operators.fitted import interpolated
from pyvda.operators.localisation import taper
from pyvda.state.space import StateSpace, Variable

Y, X = SHAPE = (5, 6)
RNG = np.random.default_rng(4)
K, C = np.array([0.0, 1.0, 5.0]), np.array([1.0, 0.5, 0.01])
STDEV = 0.5 + RNG.random(SHAPE)
MEMBERS = RNG.normal(size=(4, *SHAPE))
LAND = np.zeros(SHAPE, bool)
LAND[2, 1:3] = True


def spectral(boundary="open", stdev=STDEV, **attrs) -> xr.Dataset:
    return xr.Dataset(
        {
            "a_stdev": (("y", "x"), stdev),
            "a_spectrum": ("a_wave_number", C, {"boundary": boundary}),
        },
        {"a_wave_number": K},
        {"pyvda_covariance": 1, "form": "spectral", "variables": "a", **attrs},
    )


def diffusion() -> xr.Dataset:
    fields = {f"a_spacing_{axis}": (("y", "x"), np.full(SHAPE, 2.0)) for axis in "yx"}
    fields["a_length"] = (("y", "x"), np.full(SHAPE, 5.0), {"steps": 6})
    fields["a_stdev"] = (("y", "x"), np.where(LAND, np.nan, STDEV))
    return xr.Dataset(fields, attrs={"pyvda_covariance": 1, "form": "diffusion", "variables": "a"})


def ensemble(radius=0.0) -> xr.Dataset:
    found = spectral(form="ensemble", localisation_radius=radius).drop_vars("a_spectrum")
    return found.assign(a_member=(("member", "y", "x"), MEMBERS))


def dense() -> xr.Dataset:
    attrs = {"pyvda_covariance": 1, "form": "dense", "variables": "a b"}
    matrix = (("state1", "state2"), [[2.0, 0.5], [0.5, 1.0]])
    return xr.Dataset({"a_stdev": 1.4, "b_stdev": 1.0, "covariance": matrix}, attrs=attrs)


def test_spectral() -> None:
    expected = Spectral(SHAPE, interpolated(K, C), STDEV)
    np.testing.assert_array_equal(operator_of(spectral()).dense(), expected.dense())
    walls = np.pad(STDEV[1:-1, 1:-1], 1, constant_values=np.nan)
    found = operator_of(spectral("wall", walls))
    expected = Spectral(SHAPE, interpolated(K, C), np.nan_to_num(walls), boundary="wall")
    np.testing.assert_array_equal(found.dense(), expected.dense())


def test_diffusion() -> None:
    expected = Diffusion(5.0, STDEV, LAND, spacing=(2.0, 2.0), steps=6)
    np.testing.assert_array_equal(operator_of(diffusion()).dense(), expected.dense())
    assert (space_of(diffusion()).sea.reshape(SHAPE) == ~LAND).all()


def test_ensembles_and_hybrids() -> None:
    members = MEMBERS.reshape(4, -1)
    np.testing.assert_allclose(
        operator_of(ensemble()).dense(), FromEnsemble(members).dense(), atol=1e-15
    )
    space = StateSpace((Variable("a", ("y", "x"), SHAPE),))
    localised = FromEnsemble(members, taper(space, 4.0))
    np.testing.assert_allclose(operator_of(ensemble(4.0)).dense(), localised.dense(), atol=1e-15)
    weights = {"static_form": "spectral", "static_weight": 0.7, "ensemble_weight": 0.3}
    hybrid = xr.merge([spectral(), ensemble(4.0)], combine_attrs="override")
    hybrid = hybrid.assign_attrs(form="hybrid", localisation_radius=4.0, **weights)
    expected = Sum([operator_of(spectral()), localised], [0.7, 0.3])
    np.testing.assert_allclose(operator_of(hybrid).dense(), expected.dense(), atol=1e-15)


def test_dense() -> None:
    assert space_of(dense()).names == ("a", "b")
    np.testing.assert_array_equal(operator_of(dense()).dense(), Dense([[2, 0.5], [0.5, 1]]).dense())


def test_variables_are_independent() -> None:
    both = spectral(variables="a b").assign(b_stdev=spectral()["a_stdev"] * 2)
    both["b_spectrum"] = ("b_wave_number", C, {"boundary": "open"})
    both = both.assign_coords(b_wave_number=K)
    found = operator_of(both).dense()
    np.testing.assert_allclose(found[30:, 30:], 4 * found[:30, :30])
    assert not found[:30, 30:].any()


def test_a_taper_among_islands_is_a_diffusion() -> None:
    variables = (Variable("a", ("y", "x"), SHAPE), Variable("b", ("y", "x"), SHAPE))
    found = taper(StateSpace(variables, LAND), 4.0)
    np.testing.assert_allclose(found.variance(), np.tile(~LAND.ravel(), 2).astype(float))
    other = (Variable("a", ("y", "x"), SHAPE), Variable("b"))
    with pytest.raises(InputError, match="cannot be localised"):
        taper(StateSpace(other), 4.0)


@pytest.mark.parametrize(
    ("ds", "message"),
    [
        (xr.Dataset(), "is not a covariance made by pyvda"),
        (spectral(pyvda_covariance=2), "is not a covariance made by pyvda"),
        (spectral(pyvda_covariance=[1, 1]), "is not a covariance made by pyvda"),
        (spectral(form="triangular"), "form is 'triangular', expected one of"),
        (spectral(form=3), "form is 3"),
        (spectral(variables=""), "names no variables"),
        (spectral(variables="b"), "no variable b_stdev"),
        (spectral().drop_vars("a_spectrum"), "no variable a_spectrum"),
        (spectral("round"), "boundary is 'round'"),
        (spectral().assign(a_spectrum=("a_wave_number", -C, {"boundary": "open"})), "not positive"),
        (spectral().assign_coords(a_wave_number=K[::-1]), "wave numbers do not increase"),
        (spectral(stdev=-STDEV), "negative values"),
        (spectral(stdev=STDEV * np.inf), "NaN or infinite"),
        (spectral(stdev=STDEV.astype(str)), "of type"),
        (spectral(stdev=np.where(LAND, np.nan, STDEV)), "choose the form diffusion"),
        (spectral(stdev=STDEV[:2]), "at least three points"),
        (diffusion().drop_vars("a_length"), "no variable a_length"),
        (diffusion().assign(a_length=(("y", "x"), np.zeros(SHAPE), {"steps": 6})), "smallest len"),
        (diffusion().assign(a_length=(("y", "x"), np.ones(SHAPE), {"steps": 6.5})), "whole number"),
        (diffusion().assign(a_length=(("y", "x"), np.ones(SHAPE), {"steps": "x"})), "expected a n"),
        (diffusion().assign(a_length=("y", np.ones(Y))), "has the dimensions"),
        (ensemble().assign(a_member=(("member", "y", "x"), MEMBERS * np.nan)), "at other points"),
        (ensemble().isel(member=[0]), "1 members"),
        (ensemble(-1.0), "localisation radius is -1"),
        (ensemble().assign_attrs(form="hybrid", static_form="ensemble"), "static_form"),
        (dense().assign(covariance=(("state1", "state2"), np.eye(3))), "shape"),
        (dense().assign(covariance=(("state1", "state2"), np.ones((2, 2)))), "positive definite"),
    ],
)
def test_invalid_descriptions(ds, message) -> None:
    with pytest.raises(InputError, match=message) as refused:
        operator_of(ds)
    assert "\n" not in str(refused.value)
