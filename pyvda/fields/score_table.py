"""Scores of methods for fields by distance to the data and by draw: table, text and figure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from pyvda.fields.predictions import Predictions, ratio, scores

_BOUNDS = (0.0, 10.0, 25.0, 50.0, 100.0, np.inf)  # km


def table(of_methods: Mapping[str, Predictions], seed: int) -> dict[str, Any]:
    """Return the scores of each method, and their ratios to those of the first, plain data."""
    first = next(iter(of_methods.values()))
    rows = {}
    for method, predictions in of_methods.items():
        row = scores(predictions)
        row["by_distance"] = []
        for low, high in itertools.pairwise(_BOUNDS):
            within = (predictions.km >= low) & ((predictions.km < high) | np.isinf(high))
            if within.any():
                bounds = {"from_km": low, "to_km": None if np.isinf(high) else high}
                row["by_distance"].append(bounds | scores(predictions.chosen(within)))
        row["by_draw"] = [
            {"draw": int(d)} | scores(predictions.chosen(predictions.draw == d))
            for d in np.unique(predictions.draw)
        ]
        if predictions is not first:
            row["compared"] = ratio(predictions, first, seed)
        rows[method] = row
    return rows


def described(result: Mapping[str, Any]) -> list[str]:
    """Return the table of a result, line by line."""
    lines = []
    for name, methods in result["variables"].items():
        count = next(iter(methods.values()))["count"]
        lines.append(f"{name}, {count} values {result['withheld']}")
        columns = f"{'method':<10}{'RMSE':>10}{'bias':>10}{'(e/s)²':>9}{'NLL':>8}"
        lines.append(f"{columns}  ratio to the first")
        for method, row in methods.items():
            compared = row.get("compared")
            said = "" if compared is None else (
                f"{compared['ratio']:.3f} [{compared['low']:.3f}, {compared['high']:.3f}]"
            )  # fmt: skip
            lines.append(
                f"{method:<10}{row['rmse']:>10.4g}{row['bias']:>10.2g}{row['calibration']:>9.2f}"
                f"{row['nll']:>8.2f}  {said}".rstrip()
                + (" (trained on these values)" if method in result["seen"] else "")
            )
    return lines


def draw_figure(result: Mapping[str, Any], path: Any) -> None:
    """Draw RMSE by distance to the nearest datum and calibration by draw, a row a variable."""
    from pyvda.plotting.style import BLACK, BLUE, GREEN, VERMILION, new_figure, save_figure

    variables = result["variables"]
    with new_figure() as figure:
        figure.set_size_inches(6.5, 2.4 * len(variables))
        rows = figure.subplots(len(variables), 2, squeeze=False)
        for (left, right), (name, methods) in zip(rows, variables.items(), strict=True):
            for colour, (method, row) in zip(
                (BLUE, VERMILION, GREEN, BLACK) * len(methods), methods.items(), strict=False
            ):
                bins = row["by_distance"]
                labels = [f"{b['from_km']:g}" for b in bins]
                left.plot(labels, [b["rmse"] for b in bins], "o-", color=colour, label=method)
                right.plot(
                    [str(d["draw"]) for d in row["by_draw"]],
                    [d["calibration"] for d in row["by_draw"]], "o", color=colour,
                )  # fmt: skip
            left.set(xlabel="distance to the nearest datum from (km)", ylabel=f"RMSE of {name}")
            right.axhline(1.0, color=BLACK, linewidth=0.6)
            right.set(xlabel="draw", ylabel="squared error / variance")
            left.legend()
        save_figure(figure, path)
