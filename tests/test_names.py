"""Names in files: numbers of flags that stored files rely on, and CF attributes with units."""

import re

import pytest

from pyvda.names import OUTPUT_DIMENSIONS, Flag, Status, attributes, flag_attributes


def test_files_of_before_keep_their_meaning() -> None:
    assert {flag.name: flag.value for flag in Flag}.items() >= {
        "GAP": 0, "OBSERVED": 1, "EDGE": 2, "LAND": 3,
    }.items()  # fmt: skip
    assert {status.name: status.value for status in Status}.items() >= {
        "CONVERGED": 0, "ITERATION_LIMIT": 1, "NO_OBSERVATIONS": 2, "DIVERGED": 3, "DOUBTFUL": 4,
    }.items()  # fmt: skip


@pytest.mark.parametrize("kind", [Flag, Status])
def test_flags_are_described_as_cf_asks(kind) -> None:
    found = flag_attributes(kind)
    meanings = found["flag_meanings"].split(" ")
    assert len(meanings) == len(found["flag_values"]) == len(set(meanings)) == len(kind)
    assert all(re.fullmatch(r"[a-z_]+", word) for word in meanings)
    assert found["flag_values"].dtype == "int8"
    for value, word in zip(found["flag_values"], meanings, strict=True):
        assert kind(value).name.lower() == word


@pytest.mark.parametrize(
    ("name", "units"),
    [
        ("cost", "(K)2"), ("final_covariance", "(K)2"), ("gradient_norm", "K"),
        ("final_ensemble", "K"), ("iterations", "1"), ("analysis", None), ("innovation", None),
    ],
)  # fmt: skip
def test_units_follow_from_those_of_the_state(name: str, units: str | None) -> None:
    assert attributes(name, "K").get("units") == units
    assert attributes(name, "1").get("units") == (None if units is None else "1")
    alone = attributes(name).get("units")
    assert alone == ("1" if units == "1" else None)


def test_every_output_is_described_and_nothing_else() -> None:
    for name in (*OUTPUT_DIMENSIONS, "flag", "status"):
        assert attributes(name)["long_name"]
    assert attributes("temperature", "K") == {}
    attributes("cost")["long_name"] = "changed"  # is a dictionary of the caller's own
    assert attributes("cost")["long_name"] != "changed"
