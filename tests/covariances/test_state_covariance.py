"""Covariances in files: the same operator after a round trip, and what is refused."""

import numpy as np
import pytest
import xarray as xr

from pyvda.covariances.fit import fit_covariance
from pyvda.covariances.state_covariance import StateCovariance
from pyvda.errors import InputError
from pyvda.operators.covariance_input import as_covariance
from pyvda.state.space import StateSpace, Variable

LAND = np.zeros((8, 9), bool)
LAND[3:5, 4] = True


def samples(land=None, count=40):
    x = np.random.default_rng(1).normal(size=(count, 8, 9)).cumsum(1).cumsum(2)
    coords = {
        "y": ("y", np.arange(8.0), {"units": "m"}),
        "x": ("x", np.arange(9.0), {"units": "m"}),
    }
    x = x if land is None else np.where(land, np.nan, x)
    return xr.Dataset({"ssh": (("time", "y", "x"), x, {"units": "m"})}, coords)


FITS = {
    "spectral": lambda: fit_covariance(samples(), spectrum="power"),
    "diffusion": lambda: fit_covariance(samples(LAND)),
    "ensemble": lambda: fit_covariance(samples(LAND, 5), form="ensemble", localisation=4.0),
    "hybrid": lambda: fit_covariance(samples(count=5), form="hybrid", localisation=4.0, weight=0.3),
    "dense": lambda: fit_covariance(samples(count=100), form="dense"),
}


@pytest.mark.parametrize("name", FITS)
def test_a_file_gives_back_the_operator(name, tmp_path) -> None:
    B = FITS[name]()
    B.save(tmp_path / "B.nc")
    found = as_covariance(str(tmp_path / "B.nc"), 72, "covariance", B.space)
    assert isinstance(found, StateCovariance)
    assert (found.space, found.size, found.rank) == (B.space, B.size, B.rank)
    assert found.summary() == B.summary()
    v, w = np.random.default_rng(2).normal(size=(2, 3, 72)), np.ones((2, B.rank))
    np.testing.assert_array_equal(found.apply(v), B.apply(v))
    np.testing.assert_array_equal(found.sqrt(w), B.sqrt(w))
    np.testing.assert_array_equal(found.sqrt_adjoint(v), B.sqrt_adjoint(v))
    np.testing.assert_array_equal(found.variance(), B.variance())
    S = B.sqrt(np.eye(B.rank)).T
    np.testing.assert_allclose(S @ S.T, B.dense(), atol=1e-11 * np.abs(B.dense()).max())
    if name == "dense":
        np.testing.assert_allclose(found.solve(found.apply(v)), v, atol=1e-6)


def test_the_summary_has_deviation_and_length() -> None:
    lines = FITS["spectral"]().summary()
    assert lines[0] == "spectral covariance of ssh (y=8, x=9), from 40 states"
    assert "sigma" in lines[1]
    assert " m (" in lines[1]
    assert "grid spacings, spectrum (1 + (" in lines[1]
    assert FITS["diffusion"]().summary()[1].endswith(" m")
    assert FITS["hybrid"]().summary()[0].startswith("0.7 spectral + 0.3 ensemble covariance")
    assert FITS["hybrid"]().summary()[-1] == "localisation radius: 4 grid spacings"


def test_a_covariance_in_another_order_or_unit_is_refused() -> None:
    axes = (("y", tuple(np.arange(8.0))), ("x", tuple(np.arange(9.0))))
    space = StateSpace((Variable("ssh", ("y", "x"), (8, 9), units="m"),), coordinates=axes)
    fit_covariance(samples()).expect_space(space)
    turned = fit_covariance(samples().isel(y=slice(None, None, -1)))
    with pytest.raises(InputError, match="coordinate y runs from 7 to 0, and the model's from 0"):
        turned.expect_space(space)
    scaled = samples()
    scaled["ssh"] = (100 * scaled["ssh"]).assign_attrs(units="cm")
    with pytest.raises(InputError, match="covariance of ssh in cm, and the model's is in m"):
        fit_covariance(scaled).expect_space(space)


def test_a_covariance_at_other_points_is_refused() -> None:
    def space(y, x):
        axes = (("y", tuple(y)), ("x", tuple(x)))
        return StateSpace((Variable("ssh", ("y", "x"), (8, 9)),), coordinates=axes)

    y, x = np.arange(8.0), np.arange(9.0)
    B = fit_covariance(samples())
    uneven = np.append(x[:-1], 9.0)
    for other, said in (
        (x + 10, "x is 0 at the point 0 from 0, and the model's is 10"),
        (uneven, "x is 8 at the point 8 from 0, and the model's is 9"),
    ):
        with pytest.raises(InputError, match=said) as refused:
            B.expect_space(space(y, other))
        assert "\n" not in str(refused.value)
    B.expect_space(StateSpace((Variable("ssh", ("y", "x"), (8, 9)),)))  # the model says none
    B.expect_space(space(1000 * y, x))  # in another unit
    degrees = {"units": "degrees_east"}
    west = samples().assign_coords(x=("x", np.float32(-60 + 0.1 * x), degrees))
    fit_covariance(west).expect_space(space(y, 300 + 0.1 * x))


@pytest.mark.parametrize(
    ("variables", "land", "message"),
    [
        ((Variable("ssh", ("y", "x"), (9, 8)),), None, r"ssh \(y=8, x=9\), and the model's"),
        ((Variable("sst", ("y", "x"), (8, 9)),), None, "model's state is sst"),
        ((Variable("ssh", ("y", "x"), (8, 9)),), LAND, "variance at 2 points that are land"),
    ],
)
def test_a_covariance_of_another_grid_is_refused(variables, land, message) -> None:
    with pytest.raises(InputError, match=message) as refused:
        as_covariance(FITS["spectral"](), 72, "covariance", StateSpace(variables, land))
    assert str(refused.value).startswith("covariance: it ")
    assert "\n" not in str(refused.value)


def test_a_file_that_is_no_covariance_is_refused(tmp_path) -> None:
    samples().to_netcdf(tmp_path / "a.nc")
    with pytest.raises(InputError, match=r"a\.nc: the Dataset is not a covariance made by pyvda"):
        as_covariance(tmp_path / "a.nc", 72, "covariance")
    (tmp_path / "b.nc").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"b\.nc"):
        StateCovariance.read(tmp_path / "b.nc")
    with pytest.raises(InputError, match=r"c\.nc"):
        StateCovariance.read(tmp_path / "c.nc")
