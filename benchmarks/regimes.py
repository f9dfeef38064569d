"""Training windows needed by a learned prior and solver, compared with a regression of its size.

    python benchmarks/regimes.py [--runs DIR] [--only TEXT]

Both are trained for about the same time on the same windows: few, as many as in the paper, many, or
new ones in each epoch. The weights selected by validation windows are scored on the whole test set.
Trainings are stored in DIR and resumed; with --only, those whose name contains TEXT. When all are
complete, docs/results/regimes.json is written.
"""

from __future__ import annotations

from trainings import ROOT, Case, main

EXPERIMENTS = {
    ("lorenz63-blanked", "genn-conv"): "lorenz63_genn_conv_supervised",
    ("lorenz63-blanked", "direct-small"): "lorenz63_blanked_direct_small",
    ("lorenz96", "genn-conv"): "lorenz96_genn_conv_supervised",
    ("lorenz96", "direct-small"): "lorenz96_direct_small",
}


def case(
    preset: str,
    model: str,
    windows: int,
    epochs: int,
    fresh: bool = False,
    iterations: dict[int, int] | None = None,
) -> Case:
    """Return a training on `windows` per epoch; `iterations` are the solver's, by epoch."""
    training = {"epochs": epochs} | ({"iterations": iterations} if iterations else {})
    return Case(
        f"{preset}-{model}-{'fresh' if fresh else windows}",
        EXPERIMENTS[preset, model],
        {"preset": preset, "model": model, "fresh": fresh},
        {"data": {"windows": windows, "fresh": fresh}, "training": training},
    )


def lorenz63(windows: int, epochs: int, regression_epochs: int) -> list[Case]:
    growing = {0: 5, epochs // 5: 7, 3 * epochs // 10: 10}
    return [
        case("lorenz63-blanked", "genn-conv", windows, epochs, iterations=growing),
        case("lorenz63-blanked", "direct-small", windows, regression_epochs),
    ]


def lorenz96(fresh: bool) -> list[Case]:
    growing = {0: 5, 4: 6, 5: 7, 6: 8, 7: 9, 8: 10}
    return [
        case("lorenz96", "genn-conv", 2000, 10, fresh, growing),
        case("lorenz96", "direct-small", 2000, 66, fresh),
    ]


CASES = [
    *lorenz63(256, 700, 3600),
    *lorenz63(9984, 30, 180),
    *lorenz63(29952, 10, 60),
    *lorenz96(fresh=False),
    *lorenz96(fresh=True),
]

if __name__ == "__main__":
    main(__doc__, CASES, ROOT / "docs" / "results" / "regimes.json")
