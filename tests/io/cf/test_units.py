"""The same units in different spellings."""

import pytest

from pyvda.io.cf.units import recognised, same, squared


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("m/s", "m s-1"), ("m s^-1", "m.s-1"), ("m s**-1", "m/s"), ("meters/second", "m s-1"),
        ("m2 s-2", "(m s-1)2"), ("kg m-3", "kg/m^3"), ("", "1"), ("1", "dimensionless"),
        ("degree_Celsius", "degC"), ("Kelvin", "K"), ("degrees C", "\N{DEGREE CELSIUS}"),
        ("degrees", "degree"), ("degrees_north", "degree"), ("psu", "PSU"), ("Counts", "count"),
        ("mm/day", "mm d-1"), ("millimeters per day", "mm d-1"), ("1e-3", "0.001"),
        ("10^-3", "1e-3"), ("ug m-3", "\u00b5g m-3"), ("\u03bcg/m3", "\u00b5g m\u207b\u00b3"),
        ("W m-2", "J m-2 s-1"), ("mol/m3", "mmol/L"), ("hPa", "mbar"), ("%", "0.01"),
    ],
)  # fmt: skip
def test_the_same(one, other):
    assert same(one, other)
    assert same(squared(one), squared(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("m", "cm"),
        ("m s-1", "m s-2"),
        ("K", "degC"),
        ("1", "%"),
        ("m", "m2"),
        ("mPa", "MPa"),
        ("mm/day", "mm/h"),
        ("psu", "K"),
        ("(1e9)99", "1"),
        ("10-999", "1"),
    ],
)
def test_different(one, other):
    assert not same(one, other)
    assert not same(other, one)


@pytest.mark.parametrize("units", ["K", "hPa", "", "1e-3", "%", "mm/day", "(m s-1)2", "umol/kg"])
def test_recognised(units):
    assert recognised(units)
    assert recognised(squared(units))


@pytest.mark.parametrize(
    "units", ["psu", "dBZ", "kg/(m2 s)", "log(m)", "m 1e300", "(1e9)99", "m" + 5000 * "9"]
)
def test_not_recognised(units):
    assert not recognised(units)
    assert not recognised(squared(units))
