"""Options of optimal interpolation: what they mean, and which do not go with a field."""

import pytest
from gappy import as_mapping, field

import pyvda
from pyvda.errors import InputError
from pyvda.fields.field import opened
from pyvda.fields.interpolation_options import OptimalInterpolationOptions, check

pytestmark = pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factors": 2}, "given and not fitted"),
        ({"functions": "gaussian"}, "functions is gaussian, but the covariance is given"),
        ({"covariance": as_mapping("chl")}, "no variable sst, only chl"),
        ({"covariance": as_mapping(transform="log10")}, "transform is none"),
        ({"covariance": as_mapping(units={"sst": "K"})}, "is in 'degC'"),
    ],
)
def test_options_that_do_not_go_together(options, message) -> None:
    made = OptimalInterpolationOptions(**{"covariance": as_mapping()} | options)
    with pytest.raises(InputError, match=message):
        check(opened(field(times=3)[0]), made, made.given())


def test_functions_of_the_factors() -> None:
    kinds = OptimalInterpolationOptions(functions="gaussian, matern32/matern52").kinds()
    assert kinds == (("gaussian", "exponential"), ("matern32", "matern52"))
    assert (
        OptimalInterpolationOptions(functions="gaussian", factors=2).kinds()
        == (("gaussian", "exponential"),) * 2
    )
    for wrong, message in (
        ({"functions": "round"}, "functions has 'round'"),
        ({"functions": "gaussian,gaussian", "factors": 3}, "factors is 3, but functions has 2"),
    ):
        with pytest.raises(InputError, match=message):
            pyvda.assimilate(field(times=3)[0], method="oi", engine="torch", **wrong)


def test_how_far_data_are_used() -> None:
    found = opened(field(times=4)[0])
    step = found.days[1] - found.days[0]
    assert OptimalInterpolationOptions().reach_days(found) == pytest.approx(20 * step)
    chosen = OptimalInterpolationOptions(nearest=3, within_km=10.0, within_days=2.0)
    selection = chosen.selection(found.days)
    assert (selection.own, selection.other, selection.km) == (3, 1, 10.0)
    assert selection.days == pytest.approx(2.0)
