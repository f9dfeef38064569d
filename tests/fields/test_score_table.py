"""The table of scores: its rows by distance and by draw, and its text and figure."""

import numpy as np
import pytest

from pyvda.fields.predictions import Predictions
from pyvda.fields.score_table import described, draw_figure, table


def predictions(size: float) -> Predictions:
    """Return errors of a size that grows with the distance, in two draws."""
    draw, km = np.repeat([0, 1], 50), np.tile([5.0, 15.0, 30.0, 70.0, np.inf], 20)
    error = size * np.sqrt(np.where(np.isinf(km), 200.0, km)) * np.tile([1, -1], 50)
    return Predictions(draw, np.tile(np.arange(25), 4), error, error**2 / 1.5, km)


@pytest.fixture
def result() -> dict[str, object]:
    methods = {"oi": predictions(1.0), "eof": predictions(2.0)}
    return {"variables": {"sst": table(methods, 0)}, "seen": ["eof"], "withheld": "hidden"}


def test_rows_are_those_of_each_distance_and_draw(result) -> None:
    row = result["variables"]["sst"]["oi"]
    assert [b["from_km"] for b in row["by_distance"]] == [0, 10, 25, 50, 100]
    np.testing.assert_allclose([b["rmse"] ** 2 for b in row["by_distance"]], [5, 15, 30, 70, 200])
    assert [b["count"] for b in row["by_draw"]] == [50, 50]
    np.testing.assert_allclose(row["calibration"], 1.5)
    assert "compared" not in row
    ratio = result["variables"]["sst"]["eof"]["compared"]
    np.testing.assert_allclose([ratio["ratio"], ratio["low"], ratio["high"]], 2.0)


def test_the_text_has_a_line_a_method(result) -> None:
    first, _, oi, eof = described(result)
    assert first == "sst, 100 values hidden"
    assert oi.split()[:2] == ["oi", "8"]
    assert eof.endswith("2.000 [2.000, 2.000] (trained on these values)")


def test_the_figure_is_drawn(result, tmp_path) -> None:
    draw_figure(result, tmp_path / "scores.png")
    assert (tmp_path / "scores.png").stat().st_size > 1000
