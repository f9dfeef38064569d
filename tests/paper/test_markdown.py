"""Results as Markdown: one row per row, one column per method, differences that are paired."""

from typing import Any

from pyvda.paper import markdown


def grid(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_patterns_have_a_column_per_method() -> None:
    def row(preset: str, pattern: str, method: str, **more: Any) -> dict[str, Any]:
        return {"preset": preset, "pattern": pattern, "method": method, "mean": 1.0, "low": 0.9,
                "high": 1.1, "median": 0.8, **more}  # fmt: skip

    found = grid(markdown.patterns({"rows": [
        row("lorenz63", "half", "fsgd"), row("lorenz63", "half", "annealed", doubtful=3),
        row("lorenz96", "all", "annealed"),
    ]}))  # fmt: skip
    assert found[0] == ["setting", "observations", "fsgd", "annealed"]
    assert found[2] == ["`lorenz63`", "half", "1 [0.9, 1.1], 0.8", "1 [0.9, 1.1], 0.8, 3 in doubt"]
    assert found[3] == ["`lorenz96`", "all", "—", "1 [0.9, 1.1], 0.8"]


def test_a_line_for_the_screen() -> None:
    scored = {"state": "scored", "seconds": 3.21, "scores": {
        "r_score": {"mean": 0.5, "low": 0.4, "high": 0.6},
        "four_dvar_score": {"mean": 0.02, "low": 0.01, "high": 0.03},
    }}  # fmt: skip
    said = markdown.line("lorenz63", "fsgd", scored)
    assert said.split() == [
        "lorenz63",
        "fsgd",
        "R",
        "0.5",
        "[0.4,",
        "0.6]",
        "4DVar",
        "0.02",
        "3.2",
        "s",
    ]
    other = markdown.line("lorenz63", "fsgd", {"state": "refused", "note": "no model"})
    assert other.endswith("refused: no model")
