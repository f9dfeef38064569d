"""The same units in different spellings."""

import pytest

from pyvda.io.cf.units import same, squared


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("m/s", "m s-1"), ("m s^-1", "m.s-1"), ("m s**-1", "m/s"), ("meters/second", "m s-1"),
        ("m2 s-2", "(m s-1)2"), ("kg m-3", "kg/m^3"), ("", "1"), ("1", "dimensionless"),
        ("degree_Celsius", "degC"), ("Kelvin", "K"),
    ],
)  # fmt: skip
def test_the_same(one, other):
    assert same(one, other)
    assert same(squared(one), squared(other))


@pytest.mark.parametrize(
    ("one", "other"), [("m", "cm"), ("m s-1", "m s-2"), ("K", "degC"), ("1", "%"), ("m", "m2")]
)
def test_different(one, other):
    assert not same(one, other)
    assert not same(other, one)
