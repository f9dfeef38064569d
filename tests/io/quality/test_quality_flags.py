"""Which flags say that a datum is good."""

import netCDF4
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import pyvda
from pyvda.errors import InputError
from pyvda.io.quality.quality_flags import has_flags, means_good, rules
from pyvda.notices import Notice

GOOD = """good Good_data probably_good ok nominal valid correct pass passed no_error no_errors_found
unflagged interpolated_value value_changed best_quality acceptable_quality high_quality"""
BAD = """bad probably_bad not_good no_good no_data missing_value suspect fail invalid incorrect
low_quality worst_quality no_qc_performed not_evaluated unknown probably_bad_but_correctable
out_of_range not_valid questionable land cloud"""


@pytest.mark.parametrize("meaning", GOOD.split())
def test_meanings_that_say_good(meaning):
    assert means_good(meaning)


@pytest.mark.parametrize("meaning", BAD.split())
def test_meanings_that_do_not(meaning):
    assert not means_good(meaning)


def flagged(flags, name="y_qc", ancillary=True, **attrs):
    flags = np.asarray(flags)
    values = xr.Variable("time", np.arange(float(flags.size)))
    if ancillary:
        values.attrs["ancillary_variables"] = name
    return xr.Dataset({"y": values, name: ("time", flags, attrs)})


def bad(ds, good_flags=None):
    """Return which data of `y` are rejected."""
    found = np.zeros(ds.y.size, bool)
    for rule in rules(ds, "y", good_flags):
        found |= rule.bad(ds[rule.variable].values)
    return found.tolist()


SCHEMES = {
    "CF values": (
        flagged([0, 1, 4, 9], flag_values=np.array([0, 1, 4], "i1"),
                flag_meanings="good probably_good bad"),
        [False, False, True, True],
    ),
    "CF values, filled": (
        flagged([0.0, 4.0, np.nan], standard_name="sea_water_temperature status_flag",
                flag_values=np.array([0, 4], "i1"), flag_meanings="good bad"),
        [False, True, True],
    ),
    "CF masks": (
        flagged([0, 1, 2, 3], flag_masks=np.array([1, 2], "i1"), flag_meanings="land ice"),
        [False, True, True, True],
    ),
    "CF masks, one of them good": (
        flagged([0, 1, 2, 3], flag_masks=np.array([1, 2], "i1"), flag_meanings="valid cloud"),
        [False, False, True, True],
    ),
    "CF masks and values": (  # two bits of a grade, and one of a sensor's state
        flagged([0, 1, 2, 3, 4], flag_masks=np.array([3, 3, 3, 3, 4], "i1"),
                flag_values=np.array([0, 1, 2, 3, 4], "i1"),
                flag_meanings="good probably_good suspect bad in_maintenance"),
        [False, False, True, True, True],
    ),
    "SeaDataNet": (
        flagged(np.array([b"1", b"4", b"8"]), flag_values="148",
                flag_meanings="good_value bad_value interpolated_value"),
        [False, True, False],
    ),
    "Argo": (
        flagged(np.array([b"1", b"2", b"3", b"4", b"5", b"8", b"9", b" ", b"0"]), "Y_QC", False,
                conventions="Argo reference table 2"),
        [False, False, True, True, False, False, True, True, True],
    ),
    "Argo, objects": (
        flagged(np.array(["1", "4", ""], object), "Y_QC", False), [False, True, True],
    ),
    "OceanSITES": (
        flagged(np.array([1, 4], "i1"), conventions="OceanSITES reference table 2"),
        [False, True],
    ),
    "GHRSST": (
        flagged(np.array([0, 3, 4, 5], "i1"), "quality_level", False), [True, True, False, False],
    ),
    "IODA": (flagged(np.array([0, 1, 17], "i4"), "y_PreQC", False), [False, True, True]),
}  # fmt: skip


@pytest.mark.parametrize("scheme", SCHEMES)
def test_schemes(scheme):
    ds, expected = SCHEMES[scheme]
    assert bad(ds) == expected
    assert not any(bad(ds, "all"))


@pytest.mark.parametrize("good", ["0,1", (0, 1), "good, suspect", ("good", 1)])
def test_the_choice_of_the_user(good):
    attrs = {"flag_values": np.array([0, 1, 4], "i1"), "flag_meanings": "good suspect bad"}
    assert bad(flagged([0, 1, 4], **attrs), good) == [False, False, True]
    assert bad(flagged([0, 1, 4], **attrs), 4) == [True, True, False]
    assert bad(flagged(np.array([b"A", b"B"])), "B") == [True, False]


@pytest.mark.parametrize("good", ["7", "fine", (0, 3)])
def test_a_choice_that_is_no_flag(good):
    attrs = {"flag_values": np.array([0, 4], "i1"), "flag_meanings": "good bad"}
    with pytest.raises(InputError, match=r"does not have; its flags are 0 \(good\), 4 \(bad\)"):
        rules(flagged([0, 4], **attrs), "y", good)


MASKS = {"flag_masks": np.array([1, 2, 4], "i1"), "flag_meanings": "valid cloud ice"}
FIELDS = {
    "flag_masks": np.array([3, 3, 3, 4], "i1"), "flag_values": np.array([0, 1, 2, 4], "i1"),
    "flag_meanings": "good suspect bad cloud",
}  # fmt: skip


@pytest.mark.parametrize(
    ("attrs", "good", "expected"),
    [
        (MASKS, "cloud", [0, 1, 2, 3]),
        (MASKS, "cloud,ice", range(8)),
        (MASKS, "valid", [0, 1]),
        (MASKS, (0, 6), [0, 6]),
        (MASKS, ("cloud", 6), [0, 1, 2, 3, 6]),
        (FIELDS, "suspect", [1]),
        (FIELDS, "good,suspect", [0, 1]),
        (FIELDS, "good,cloud", [0, 4]),
        (FIELDS, "cloud", [0, 3, 4, 7]),
    ],
)
def test_the_choice_among_bits(attrs, good, expected):
    flags = range(8)
    rejected = bad(flagged(flags, **attrs), good)
    assert [flag for flag in flags if not rejected[flag]] == list(expected)


def test_a_choice_that_is_no_bit():
    with pytest.raises(InputError, match=r"has snow, which 'y_qc' does not have.*2 \(cloud\)"):
        rules(flagged([0, 1], **MASKS), "y", "cloud,snow")


@pytest.mark.parametrize("kind", [object, "S4", "U4"])
def test_words_are_not_the_characters_of_argo(kind):
    ds = flagged(np.array(["good", "bad"], kind))
    with pytest.warns(Notice, match="y_qc of y are not used, because no flag_meanings says"):
        assert rules(ds, "y") == []
    assert bad(ds, "good") == [False, True]


def test_flags_that_nothing_explains_are_not_used_and_the_remedy_works():
    ds = flagged([0, 1])
    with pytest.warns(Notice, match="y_qc of y are not used, because no flag_meanings says"):
        assert rules(ds, "y") == []
    assert bad(ds, (0,)) == [False, True]


@pytest.mark.parametrize("key", ["flag_values", "flag_masks", "flag_meanings", "standard_name"])
@pytest.mark.parametrize("value", [3, "x y", [np.nan], ["a", "b", "c"], 1e300, ""])
@pytest.mark.filterwarnings("ignore::pyvda.notices.Notice")
def test_spoilt_attributes_do_not_fail(key, value):
    attrs = {"flag_values": [0, 4], "flag_meanings": "good bad", "standard_name": "status_flag"}
    assert len(bad(flagged([0, 4], **{**attrs, key: value}))) == 2


def test_flags_of_something_else():
    origin = {"flag_values": [0, 1], "flag_meanings": "ascending descending"}
    with pytest.warns(Notice, match=r"none of their meanings \(ascending, descending\)"):
        assert rules(flagged([0, 1], **origin), "y") == []
    own = flagged([0, 1], "flag", flag_values=[0, 1], flag_meanings="gap observed")
    assert rules(own, "y") == []  # and no notice of what pyvda wrote itself


def test_other_variables_are_no_flags():
    ds = xr.Dataset({"y": ("time", [1.0]), "z_qc": ("time", [1]), "qc": ("x", [1])})
    assert not has_flags(ds, "y")
    assert not has_flags(ds.assign(y_quality=("time", [0.25])), "y")


def test_flags_of_other_dimensions():
    ds = flagged([0, 1], flag_values=[0, 1], flag_meanings="good bad").rename_dims(time="t")
    ds["y"] = ("time", [1.0, 2.0], {"ancillary_variables": "y_qc"})
    with pytest.raises(InputError, match=r"have dimensions \('t',\), expected those of 'y'"):
        rules(ds, "y")
    assert rules(ds, "y", "all") == []


def test_a_column_that_is_called_qc_is_not_passed_over() -> None:
    table = pd.DataFrame(
        {"time": np.arange(4.0), "component": [0, 1, 2, 0], "value": 1.0, "qc": [0, 1, 0, 0]}
    )
    with pytest.warns(Notice, match="the flags qc of value are not used, because no flag_meanings"):
        assert pyvda.on_grid(table, 1.0, 3)["point_observation"].notnull().sum() == 4
    found = pyvda.on_grid(table, 1.0, 3, good_flags=0)["point_observation"]
    assert found.notnull().sum() == 3


@pytest.mark.parametrize("described", [
    {"flag_masks": np.array([1, -128], "i1"), "flag_meanings": "ice cloud"},
    {"flag_values": np.array([0, -2], "i1"), "flag_meanings": "good acceptable"},
])  # fmt: skip
def test_attributes_of_unsigned_flags_are_unsigned(tmp_path, described):
    """The flags 0, 1, 128, 129 and 254 as signed bytes."""
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        file.createDimension("time", 5)
        file.createVariable("y", "f4", ("time",))[:] = 1.0
        flags = file.createVariable("y_qc", "i1", ("time",))
        flags.set_auto_maskandscale(False)
        flags.setncatts({"_Unsigned": "true", **described})
        flags[:] = np.array([0, 1, -128, -127, -2], "i1")
    with xr.open_dataset(tmp_path / "a.nc") as ds:
        by_value = "flag_values" in described
        expected = [False, True, True, True, not by_value]
        assert bad(ds) == expected
        if by_value:
            assert bad(ds, "254") == [True] * 4 + [False]


def test_an_enumeration_of_netcdf_says_what_is_good(tmp_path):
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        file.createDimension("time", 3)
        file.createVariable("y", "f4", ("time",))[:] = 1.0
        kind = file.createEnumType("u1", "quality_t", {"good": 0, "bad": 1, "missing": 2})
        flags = file.createVariable("y_qc", kind, ("time",), fill_value=False)
        flags[:] = np.array([0, 1, 2], "u1")
    with xr.open_dataset(tmp_path / "a.nc") as ds:
        assert bad(ds) == [False, True, True]
        assert bad(ds, "good,bad") == [False, False, True]


def test_more_meanings_than_values_are_not_understood_which_is_said():
    ds = flagged([1, 4], flag_values=np.array([1, 4], "i1"), flag_meanings="good bad ugly")
    with pytest.warns(Notice, match=r"no list of as many values as flag_meanings \(good, bad, ug"):
        assert bad(ds) == [False, False]
    assert bad(ds, "1") == [False, True]
