"""How many training windows a learned prior and solver needs, beside a regression of its size.

    python benchmarks/regimes.py [--runs DIR] [--only TEXT]

Both are trained for about as long on the same windows: few, the paper's number of them, and many or
ever new ones. The weights that validation windows select are scored on the whole test set.
Trainings are kept in DIR and resumed; with --only, those whose name has TEXT. What DIR has at the
end is written to docs/results/regimes.json.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyvda.atomic import replacing
from pyvda.configuration import Configuration, read_configuration
from pyvda.refusals import validated
from pyvda.reproduction.held_out import HELD_OUT
from pyvda.reproduction.scoring import assimilated, scored
from pyvda.scores import score_table
from pyvda.shipped import TRAINING_FILE, record
from pyvda.train import train

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs" / "results" / "regimes.json"
RESULT = "regime.json"
EXPERIMENTS = {
    ("lorenz63-blanked", "genn-conv"): "lorenz63_genn_conv_supervised",
    ("lorenz63-blanked", "direct-small"): "lorenz63_blanked_direct_small",
    ("lorenz96", "genn-conv"): "lorenz96_genn_conv_supervised",
    ("lorenz96", "direct-small"): "lorenz96_direct_small",
}


@dataclass(frozen=True)
class Case:
    """A training.

    Attributes
    ----------
    preset, model : str
    windows : int
        Of an epoch.
    epochs : int
    fresh : bool
        Whether every epoch has new windows.
    iterations : mapping, optional
        Of the solver, by epoch.
    """

    preset: str
    model: str
    windows: int
    epochs: int
    fresh: bool = False
    iterations: dict[int, int] | None = None

    @property
    def name(self) -> str:
        regime = "fresh" if self.fresh else str(self.windows)
        return f"{self.preset}-{self.model}-{regime}"

    def configuration(self) -> Configuration:
        path = ROOT / "experiments" / f"{EXPERIMENTS[self.preset, self.model]}.yaml"
        settings = read_configuration(path).model_dump(mode="json")
        settings["data"] |= {"windows": self.windows, "fresh": self.fresh}
        settings["training"] |= {"epochs": self.epochs}
        if self.iterations is not None:
            settings["training"] |= {"iterations": self.iterations}
        return validated(Configuration, settings, self.name)


def lorenz63(windows: int, epochs: int, regression_epochs: int) -> list[Case]:
    growing = {0: 5, epochs // 5: 7, 3 * epochs // 10: 10}
    return [
        Case("lorenz63-blanked", "genn-conv", windows, epochs, iterations=growing),
        Case("lorenz63-blanked", "direct-small", windows, regression_epochs),
    ]


def lorenz96(fresh: bool) -> list[Case]:
    growing = {0: 5, 4: 6, 5: 7, 6: 8, 7: 9, 8: 10}
    return [
        Case("lorenz96", "genn-conv", 2000, 10, fresh, growing),
        Case("lorenz96", "direct-small", 2000, 180, fresh),
    ]


# With few windows the best epoch comes early, and the rest of a long training would be for nothing.
CASES = [
    *lorenz63(256, 300, 1800),
    *lorenz63(1024, 150, 900),
    *lorenz63(9984, 30, 180),
    *lorenz63(29952, 10, 60),
    *lorenz96(fresh=False),
    *lorenz96(fresh=True),
]


def run(case: Case, folder: Path) -> None:
    """Train and score a case, and keep what was found in its folder."""

    def report(epoch: dict[str, Any]) -> None:
        print(f"{case.name}: epoch {epoch['epoch']}, R {epoch.get('r_score')}", flush=True)

    model = train(case.configuration(), folder, resume=True, report=report)
    if model is None:
        raise SystemExit(f"{case.name}: no epoch had a finite score")
    held_out = HELD_OUT[case.preset]
    truth, observed = held_out.make(None)
    analysis, _ = assimilated(observed, checkpoint=folder, device="cpu")
    scores = score_table(scored(analysis, truth, folder))["scores"]
    training = record(folder, TRAINING_FILE)
    kept = ("best_epoch", "epochs", "steps", "distinct_windows_seen", "wall_seconds", "parameters",
            "hardware", "versions", "engine", "configuration")  # fmt: skip
    found = {
        "preset": case.preset, "model": case.model, "fresh": case.fresh,
        "test": {"windows": truth.sizes["window"], "truth_seed": held_out.truth_seed,
                 "observation_seed": held_out.observation_seed},
        "scores": scores,
        **{name: training[name] for name in kept},
    }  # fmt: skip
    with replacing(folder / RESULT) as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def main() -> None:
    """Train what is not trained, then write what there is."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "regimes")
    parser.add_argument("--only", default="", help="cases whose name has this")
    arguments = parser.parse_args()
    arguments.runs.mkdir(parents=True, exist_ok=True)
    for case in CASES:
        folder = arguments.runs / case.name
        if arguments.only in case.name and not (folder / RESULT).exists():
            run(case, folder)
    results = [arguments.runs / case.name / RESULT for case in CASES]
    rows = [json.loads(path.read_text("utf-8")) for path in results if path.exists()]
    with replacing(OUT) as temporary:
        temporary.write_text(json.dumps({"rows": rows}, indent=1) + "\n", "utf-8")
    for row in rows:
        r = row["scores"]["r_score"]
        print(
            f"{row['preset']:17s} {row['model']:13s} {row['distinct_windows_seen']:7d} windows "
            f"{row['wall_seconds'] / 60:5.1f} min  R {r['mean']:.3f} [{r['low']:.3f}, "
            f"{r['high']:.3f}]"
        )


if __name__ == "__main__":
    main()
