"""Cells of a table: digits, daggers, dashes for what is not known."""

import pytest

from pyvda.paper import table_cells as cells
from pyvda.paper.table_cells import DAGGER, DASH
from pyvda.scores import Score

ENTRY = {
    "state": "scored", "windows": 200, "seconds": 12.345, "r_score_median": 0.456789,
    "trained_for": "lorenz63",
    "scores": {
        "r_score": {"mean": 1.23456, "low": 1.1999, "high": 1.2777},
        "four_dvar_score": {"mean": 0.00123456, "low": 0.0011, "high": 0.0013},
        "ode_score": {"mean": None, "low": None, "high": None},
    },
    "parameters": {"prior": 1000, "solver": 234},
    "training": {"distinct_windows_seen": 5000, "wall_seconds": 150.0},
}  # fmt: skip
EMPTY = {"state": "missing"}


def test_scores_have_three_digits_and_their_interval() -> None:
    assert cells.score(ENTRY, "r_score") == "1.23 [1.2, 1.28]"
    assert cells.score(ENTRY, "four_dvar_score") == "1.23e-03 [1.10e-03, 1.30e-03]"
    assert cells.mean(ENTRY, "r_score") == "1.23"
    assert cells.median(ENTRY) == "0.457"
    assert (
        cells.signed_interval(
            Score(mean=-0.5, low=-0.75, high=0.25, median=-0.4, n=8, not_finite=0)
        )
        == "-0.5 [-0.75, +0.25]"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.01, "0.01"), (0.009999, "1.00e-02"), (-2.5, "-2.5"), (1234.0, "1.23e+03")],
)
def test_small_numbers_have_an_exponent(value: float, text: str) -> None:
    assert cells.short(value) == text


def test_weights_of_another_setting_have_a_dagger() -> None:
    assert cells.marked(ENTRY, "r_score", "lorenz63") == "1.23 [1.2, 1.28]"
    assert cells.marked(ENTRY, "r_score", "lorenz96") == f"1.23 [1.2, 1.28] {DAGGER}"
    assert cells.marked(ENTRY, "ode_score", "lorenz96") == DASH
    assert not cells.elsewhere({}, "lorenz96")


def test_what_is_not_known_is_a_dash() -> None:
    assert cells.score(ENTRY, "ode_score") == DASH
    found = [cells.score(EMPTY, "r_score"), cells.mean(EMPTY, "r_score"), cells.median(EMPTY),
             cells.parameters(EMPTY), cells.windows_seen(EMPTY), cells.training_minutes(EMPTY),
             *cells.seconds(EMPTY)]  # fmt: skip
    assert found == [DASH] * 8


def test_counts_and_times() -> None:
    assert cells.parameters(ENTRY) == "1234"
    assert cells.windows_seen(ENTRY) == "5000"
    assert cells.training_minutes(ENTRY) == "2"
    assert cells.seconds(ENTRY) == ["12.3", "61.7"]
    assert (cells.number(7.0), cells.number(7.25)) == ("7", "7.2")
    assert cells.name({"scheme": "learned", "prior": "none", "solver": "LSTM"}) == "learned LSTM"
