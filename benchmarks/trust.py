"""What an analysis says of itself where data, model or settings are wrong, as a table and JSON.

    python benchmarks/trust.py [--full] [--label after] [--case TEXT] [--method TEXT] [--seed N]

A window is wrong when its mean squared error exceeds nine times the mean variance that the method
states, or when that variance exceeds four times the climatological one; it is silent when it is
wrong and its status is "converged". Windows of a method that states no variance are wrong when the
error exceeds nine times the mean error of the standard setting.

Results are kept in benchmarks/results/trust.json under a label, one row for each case and method;
rows that are there are not computed again (--again does). Small: 64 windows a case; --full: 256.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import pyvda
from pyvda import names
from pyvda.climate.climatology import climatology
from pyvda.engine import get_engine
from pyvda.io.writing.atomic import replacing
from pyvda.machine import machine
from pyvda.models.model import Model

OUT = Path(__file__).parent / "results" / "trust.json"
SEED = 20_771_133
SMALL, FULL = 64, 256
VARIANCE = 2.0
WRONG, TOO_LARGE = 9.0, 4.0  # see the module's docstring
SILENT = {int(names.Status.CONVERGED)}

STRONG = {"method": "strong-constraint"}
ANNEALED = {"method": "annealed"}
ENSEMBLE = {"method": "ensemble-smoother"}
STATISTICAL = {"method": "gauss-newton", "form": "statistical"}
POSTERIOR = {"method": "posterior-mean"}
STATING: dict[str, dict[str, Any]] = {
    "strong-constraint": STRONG, "annealed": ANNEALED, "ensemble-smoother": ENSEMBLE,
    "gauss-newton": STATISTICAL, "posterior-mean": POSTERIOR,
}  # fmt: skip
LEARNED = {name: {"checkpoint": f"lorenz63-{name}"} for name in ("direct", "genn-conv")}
# A learned model with a spread; it takes no other model or time step.
ALL = STATING | {"direct, spread": {"checkpoint": "lorenz63-direct", "spread": True}}

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Case:
    """Observations with something wrong about them, or an assimilation that assumes it.

    Attributes
    ----------
    preset : str
    observed : (steps, components)
        What is observed of each window.
    change : callable, optional
        Makes of the observations (W, T, D), with NaN, those that are assimilated.
    keywords : dict
        Of `pyvda.assimilate`, which assumes something wrong.
    noise : float
        Standard deviation of a model error in each step of the truth.
    methods : dict
    standard : bool
        Whether nothing is wrong, so that every flag is a false alarm.
    share : float
        Of the number of windows.
    draws : str
        Case whose random numbers it shares.
    """

    preset: str = "lorenz63"
    observed: tuple[range, tuple[int, ...]] = (range(0, 200, 8), (0,))
    change: Change | None = None
    keywords: dict[str, Any] = field(default_factory=dict)
    noise: float = 0.0
    methods: dict[str, dict[str, Any]] = field(default_factory=lambda: ALL)
    standard: bool = False
    share: float = 1.0
    draws: str = ""


def stuck(y: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return observations that stay at one value for 64 steps from a random time on."""
    y = y.copy()
    for window in y:
        first = int(8 * random.integers(2, 15))
        part = window[first : first + 65, 0]
        part[np.isfinite(part)] = part[0]
    return y


def gross(size: float) -> Change:
    """Return a change of every tenth datum, at random, by ± size; NaN: it is left out."""

    def changed(y: np.ndarray, random: np.random.Generator) -> np.ndarray:
        bad = random.random(y.shape) < 0.1
        return y + np.where(bad, size * random.choice([-1.0, 1.0], y.shape), 0.0)

    return changed


RHO = Model("lorenz63", 3, (10.0, 1.05 * 28.0, 8.0 / 3.0), 0.01)
X1 = (0,)
CASES: dict[str, Case] = {
    "standard lorenz63": Case(standard=True, methods=ALL | LEARNED),
    "standard lorenz63-blanked": Case(
        observed=(range(16, 185, 8), X1), standard=True,
        methods=STATING | {
            "direct": {"checkpoint": "lorenz63-blanked-direct"},
            "direct, spread": {"checkpoint": "lorenz63-blanked-direct", "spread": True},
        },
    ),
    "standard lorenz96": Case(
        "lorenz96", standard=True, share=1 / 8,
        methods={"annealed": ANNEALED, "ensemble-smoother": ENSEMBLE,
                 "direct": {"checkpoint": "lorenz96-direct"},
                 "direct, spread": {"checkpoint": "lorenz96-direct", "spread": True}},
    ),
    "x3 only": Case(observed=(range(0, 200, 8), (2,))),
    "two data a window": Case(observed=(range(64, 129, 64), X1)),
    "sensor stuck for 64 steps": Case(change=stuck),
    "time step 10 % wrong": Case(keywords={"time_step": 0.011}, methods=STATING),
    "model error 0.1 a step, untold": Case(noise=0.1),
    "x1 every 32 steps": Case(observed=(range(0, 200, 32), X1)),
    "second half unobserved": Case(
        observed=(range(0, 100, 8), X1), methods=ALL | LEARNED
    ),
    "rho 5 % wrong": Case(keywords={"model": RHO}, methods=STATING),
    "bias of one standard deviation": Case(change=lambda y, random: y + np.sqrt(VARIANCE)),
    "10 % gross errors of 5": Case(change=gross(5)),
    "10 % gross errors of 10": Case(change=gross(10)),
    "R overstated four times": Case(keywords={"variance": 4 * VARIANCE}),
    "x1 to step 88 only": Case(observed=(range(0, 89, 8), X1)),
    **{
        f"10 % left out, those of {size}": Case(
            change=gross(np.nan), standard=True, draws=f"10 % gross errors of {size}",
            methods=STATING,  # it is no pattern that a learned model was trained for
        )
        for size in (5, 10)
    },
}  # fmt: skip


def main() -> None:
    """Assimilate, print the table, keep the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--full", action="store_true", help="256 windows a case instead of 64")
    parser.add_argument("--label", default="after", help="of the rows in the JSON")
    parser.add_argument("--case", default="", help="cases whose name contains this")
    parser.add_argument("--method", default="", help="methods whose name contains this")
    parser.add_argument("--seed", type=int, default=SEED, help="of truths and observations")
    parser.add_argument("--again", action="store_true", help="compute rows that are there")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    count = FULL if given.full else SMALL
    kept = json.loads(OUT.read_text("utf-8")) if OUT.is_file() else {"rows": {}}
    for name, case in CASES.items():
        methods = {m: k for m, k in case.methods.items() if given.method in m}
        if given.case not in name or not methods:
            continue
        keys = {method: f"{given.label}/{name}/{method}/{count}" for method in methods}
        wanted = [m for m in methods if given.again or keys[m] not in kept["rows"]]
        if wanted:
            seed = given.seed + list(CASES).index(case.draws or name)
            observed, truth, settings = made(case, max(8, int(count * case.share)), seed)
            # The first call compiles, and fills the caches.
            pyvda.assimilate(observed.isel(window=slice(0, 8)), **settings, **methods[wanted[0]])
        for method in wanted:
            row = measured(observed, truth, case, {**settings, **methods[method]})
            kept["rows"][keys[method]] = row | {"seed": given.seed}
            kept["machine"] = machine()
            with replacing(OUT) as temporary:
                temporary.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
        for method in methods:
            print(line(name, method, kept["rows"][keys[method]]), flush=True)
    print(total(kept["rows"], given.label, count))


def made(case: Case, windows: int, seed: int) -> tuple[xr.Dataset, np.ndarray, dict[str, Any]]:
    """Return observations, truth (W, T, D) and the keywords of the assimilation."""
    random = np.random.default_rng(seed)
    truth = pyvda.simulate(case.preset, windows, seed)
    if case.preset == "lorenz96":
        observed = pyvda.observe(truth, case.preset, seed)
        return observed, truth["truth"].values, {"model": case.preset}
    x = truth["truth"].values
    if case.noise:
        x = with_model_error(x, case, random)
    steps, components = case.observed
    y = np.full(x.shape, np.nan)
    at = np.ix_(range(len(x)), list(steps), components)
    y[at] = x[at] + np.sqrt(VARIANCE) * random.standard_normal(x[at].shape)
    if case.change is not None:
        y = case.change(y, random)
    keywords = {"model": case.preset, **case.keywords}
    stated = keywords.pop("variance", VARIANCE)
    observed = truth.drop_vars("truth").assign(observation=(names.DIMENSIONS, y))
    return observed.assign_attrs(observation_error_variance=stated), x, keywords


def with_model_error(x: np.ndarray, case: Case, random: np.random.Generator) -> np.ndarray:
    """Return trajectories from the same starts with noise in each step."""
    model = pyvda.get_model(case.preset)
    found = x.copy()
    for t in range(1, x.shape[1]):
        state = np.ascontiguousarray(found[:, t - 1])
        forecast = get_engine().forecast(model, state, time_step=model.time_step)
        found[:, t] = forecast + case.noise * random.standard_normal(state.shape)
    return found


def measured(
    observed: xr.Dataset, truth: np.ndarray, case: Case, keywords: dict[str, Any]
) -> dict[str, Any]:
    """Assimilate, and compare what the analysis states with its error."""
    spent = _timed_judgements()
    began = time.perf_counter()
    analysis = pyvda.assimilate(observed, **keywords)
    seconds = time.perf_counter() - began
    x, status = analysis["analysis"].values, analysis["status"].values
    square = (x - truth) ** 2
    error = square.mean((1, 2))
    climate = climatology(pyvda.get_model(case.preset)).variance
    row: dict[str, Any] = {
        "windows": len(x), "R": float(np.nanmean(error)), "flagged": int((status != 0).sum()),
        "standard": case.standard, "seconds": seconds, "judgements": spent[0] / seconds,
        "status": {s.name: int((status == s).sum()) for s in names.Status if (status == s).any()},
    }  # fmt: skip
    if "state_stdev" in analysis:
        variance = analysis["state_stdev"].values ** 2
        stated = variance.mean((1, 2))
        wrong = ~(error <= WRONG * stated) | ~(stated <= TOO_LARGE * climate.mean())
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = square / variance
        good = np.isfinite(ratio)
        row |= {
            "stated": float(np.nanmean(stated)),
            "ratio": float(ratio[good].mean()),
            "coverage": float((ratio[good] < 1.96**2).mean()),
            "largest": float(np.nanmax(np.sqrt(variance / climate))),
        }
    else:  # learned: no variance is stated
        wrong = ~(error <= WRONG * STANDARD_ERROR[case.preset])
    row |= {"wrong": int(wrong.sum()), "silent": int((wrong & np.isin(status, list(SILENT))).sum())}
    return row


STANDARD_ERROR = {"lorenz63": 0.5, "lorenz96": 0.7}  # of the regressions on windows as trained


def _timed_judgements() -> list[float]:
    """Return a list whose only number grows by the seconds that judgements take."""
    spent = [0.0]
    try:
        from pyvda import block_task
    except ImportError:
        return spent
    if not hasattr(block_task, "judged_solution"):
        return spent
    from pyvda.judgements.judge import judged_solution as original

    def timed(*args: Any, **keywords: Any) -> Any:
        began = time.perf_counter()
        try:
            return original(*args, **keywords)
        finally:
            spent[0] += time.perf_counter() - began

    block_task.judged_solution = timed
    return spent


def line(case: str, method: str, row: dict[str, Any]) -> str:
    """Return a row of the table."""
    stated = f"{row['stated']:9.3g}" if "stated" in row else f"{'-':>9s}"
    ratio = f"{row['ratio']:8.3g} {row['coverage']:6.3f} {row['largest']:8.3g}" if (
        "ratio" in row
    ) else f"{'-':>8s} {'-':>6s} {'-':>8s}"  # fmt: skip
    return (
        f"{case:32s} {method:18s} R {row['R']:8.3g} stated {stated} (e/s)2 {ratio} "
        f"wrong {row['wrong']:4d} silent {row['silent']:4d} flagged {row['flagged']:4d} of "
        f"{row['windows']:4d}; judgements {100 * row['judgements']:5.1f} %"
    )


def total(rows: dict[str, Any], label: str, count: int) -> str:
    """Return the sums over all cases, of the methods that state a variance and of the others."""
    own = {
        key: row for key, row in rows.items()
        if key.startswith(label + "/") and key.endswith(f"/{count}")
    }  # fmt: skip
    found = []
    for kind, there in (("stating a variance", True), ("learned", False)):
        part = [row for row in own.values() if ("stated" in row) == there]
        hard = [row for row in part if not row["standard"]]
        easy = [row for row in part if row["standard"]]
        silent, wrong = (sum(row[n] for row in hard) for n in ("silent", "wrong"))
        alarms, windows = (sum(row[n] for row in easy) for n in ("flagged", "windows"))
        found.append(
            f"{label}, methods {kind}: {silent} of {wrong} wrong windows silent "
            f"({100 * silent / max(wrong, 1):.1f} %); {alarms} of {windows} windows of standard "
            f"settings flagged ({100 * alarms / max(windows, 1):.2f} %)"
        )
    return "\n".join(found)


if __name__ == "__main__":
    main()
