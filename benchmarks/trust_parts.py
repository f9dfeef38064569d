"""Gross errors, estimates of error statistics, and the cost of the judgements, as tables and JSON.

    python benchmarks/trust_parts.py [--part NAME] [--method TEXT] [--again]

robust: R of `robust=True` with 10 % of gross errors over R without these data, and on good data
over R of the same analysis without `robust`; the bad data found and the good ones rejected.
limit: the same ratio of the posterior mean, given the share of the gross errors, and their size or
only that it may be any.
estimates: error statistics estimated over their true values. R is stated four times too large; the
bias is one standard deviation; the model error has the variance 0.01 in each step; the background
has a B four times too small.
spread: that of methods that state none by themselves (`spread=True`), against the error.
calibration: that of the others, on the standard settings, with 1024 windows (64 of Lorenz-96) and
the 95 % interval of (error/σ)² over windows, and its mean over the first tenth of the steps;
windows that are flagged.
models: the same on twin windows of other models, see OTHERS.
cost: processor time of the judgements over that of everything else in the same call, the least of
several.

256 windows of Lorenz-63 (32 for FSGD), 32 of Lorenz-96 (64 for estimates), if no other number is
given. Each row is kept in
benchmarks/results/trust_parts.json, with the name of its machine (`machines`), when it is there,
and not computed again.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import store
import trust
import xarray as xr

import pyvda
from pyvda import block_task, names
from pyvda.climate.climatology import climatology
from pyvda.climate.library import EVERY, LOW_DIMENSIONAL, library
from pyvda.engine import get_engine
from pyvda.io.writing.atomic import replacing
from pyvda.names import Flag

OUT = store.RESULTS / "trust_parts.json"
WINDOWS, CALIBRATION, REPEATS = 256, 1024, 5
FSGD = {"method": "fsgd", "iterations": 10_000}
ROBUST = trust.STATING | {"fsgd": FSGD}
Row = dict[str, float]
Work = tuple[str, str, Callable[[], Row]]


def robust() -> Iterator[Work]:
    """Yield the rows of gross errors of 5 and 10, and of good data (0)."""
    for size in (10, 5, 0):
        for method, options in ROBUST.items():
            yield f"+-{size}" if size else "good data", method, lambda s=size, o=options: _row(s, o)


def _row(size: int, options: dict[str, Any]) -> Row:
    name = f"10 % gross errors of {size}" if size else "standard lorenz63"
    windows = WINDOWS // 8 if options is FSGD else WINDOWS
    seed = trust.SEED + list(trust.CASES).index(name)
    given, truth, keywords = trust.made(trust.CASES[name], windows, seed)
    good = given
    if size:
        good = trust.made(trust.CASES[f"10 % left out, those of {size}"], windows, seed)[0]
    usable = good["observation"].notnull().values
    bad = given["observation"].notnull().values & ~usable

    def assimilated(ds: xr.Dataset, **more: Any) -> tuple[float, xr.Dataset]:
        found = pyvda.assimilate(ds, **keywords, **options, **more)
        return float(((found["analysis"].values - truth) ** 2).mean()), found

    best, spoilt = assimilated(good)[0], assimilated(given)[0]
    began = time.process_time()
    own, found = assimilated(given, robust=True)
    seconds = time.process_time() - began
    rejected = found["flag"].values == Flag.REJECTED
    return {
        "R left out": best, "R with": spoilt, "R robust": own, "ratio": own / best,
        "found": float(rejected[bad].mean()) if bad.any() else float("nan"),
        "false": float(rejected[usable].mean()), "core s": seconds,
    }  # fmt: skip


Density = Callable[[np.ndarray], np.ndarray]
"""Of a datum, from its deviation; the normal one of good data is 1 where that is 0."""


def limit() -> Iterator[Work]:
    """Yield what the posterior mean reaches with the true share of gross errors."""
    for size in (5, 10):
        known = ((0.9, 0.0), (0.05, size), (0.05, -size))
        for label, density in (
            ("known size", lambda d, k=known: sum(share * _normal(d - e) for share, e in k)),
            ("any size", lambda d: 0.9 * _normal(d) + 0.1 * _any_size(d)),
        ):
            yield f"+-{size}", f"posterior mean, {label}", lambda s=size, f=density: _limit(s, f)


def _normal(d: np.ndarray) -> np.ndarray:
    return np.exp(-(d**2) / (2 * trust.VARIANCE))


def _any_size(d: np.ndarray) -> np.ndarray:
    """Return the density of which half lies beyond five standard deviations of good data."""
    scaled = np.abs(d) / np.sqrt(25 * trust.VARIANCE)
    return np.sqrt(2 * np.pi) / (10 * (1 + scaled) ** 2)


def _limit(size: int, density: Density) -> Row:
    """Weigh the members of a library by the density of all data."""
    name = f"10 % gross errors of {size}"
    seed = trust.SEED + list(trust.CASES).index(name)
    given, truth, _ = trust.made(trust.CASES[name], WINDOWS, seed)
    good = trust.made(trust.CASES[f"10 % left out, those of {size}"], WINDOWS, seed)[0]
    model = pyvda.get_model("lorenz63")
    shelf = library(model, get_engine(), model.time_step, 200, 240_000)
    each = (shelf.states.shape[1] - shelf.lead - 200) // EVERY + 1
    run = np.repeat(np.arange(len(shelf.states)), each)
    first = np.tile(shelf.lead + EVERY * np.arange(each), len(shelf.states))
    seen = np.stack([shelf.states[run, first + t, 0] for t in range(0, 200, 8)], 1)
    seen = np.concatenate([seen, -seen]).astype(np.float32)  # x1 changes its sign

    def posterior_mean(y: np.ndarray, density: Density) -> np.ndarray:
        d = seen[:, np.isfinite(y)] - y[np.isfinite(y)].astype(np.float32)
        log = np.log(np.maximum(density(d), 1e-37)).sum(1)
        weight = np.exp(log - log.max())
        kept = np.flatnonzero(weight > 1e-6)
        own = kept % len(run)
        x = shelf.states[run[own][:, None], first[own][:, None] + np.arange(200)]
        signs = np.where(kept[:, None] < len(run), 1.0, shelf.signs)
        return np.einsum("n,ntd,nd->td", weight[kept] / weight[kept].sum(), x, signs)

    def error(ds: xr.Dataset, density: Density) -> float:
        data = ds["observation"].values[:, ::8, 0]
        x = np.stack([posterior_mean(y, density) for y in data])
        return float(((x - truth) ** 2).mean())

    best, own = error(good, _normal), error(given, density)
    return {"R left out": best, "R": own, "ratio": own / best}


def cost() -> Iterator[Work]:
    """Yield the rows of the standard settings."""
    for name, case in trust.CASES.items():
        if case.standard and name.startswith("standard"):
            for method, options in case.methods.items():
                if "spread" not in options:
                    yield name, method, lambda c=case, o=options: _cost(c, o)


def _cost(case: trust.Case, options: dict[str, Any]) -> Row:
    windows = int(WINDOWS * case.share)
    given, _, keywords = trust.made(case, windows, trust.SEED)
    spent = 0.0
    original = block_task.judged_solution

    def timed(*args: Any, **more: Any) -> Any:
        nonlocal spent
        began = time.process_time()
        try:
            return original(*args, **more)
        finally:
            spent += time.process_time() - began

    block_task.judged_solution = timed
    least = (float("inf"), 0.0)
    try:
        for _ in range(REPEATS + 1):
            spent, began = 0.0, time.process_time()
            pyvda.assimilate(given, **keywords, **options)
            least = min(least, (time.process_time() - began, spent))
    finally:
        block_task.judged_solution = original
    total, spent = least
    return {"core ms a window": 1e3 * total / windows, "judgements": spent / (total - spent)}


def spread() -> Iterator[Work]:
    """Yield the rows of the learned methods and of unfinished descents."""
    descent = {"fsgd, 200 iterations": {"method": "fsgd", "iterations": 200}}
    for name, case in trust.CASES.items():
        if case.standard and name.startswith("standard"):
            own = case.methods.items()
            learned = {m: o for m, o in own if "checkpoint" in o and "spread" not in o}
            for method, options in (learned | descent).items():
                yield name, method, lambda c=case, o=options: _spread(c, o)


def _spread(case: trust.Case, options: dict[str, Any]) -> Row:
    given, truth, keywords = trust.made(case, int(WINDOWS * case.share), trust.SEED + 2)
    found = pyvda.assimilate(given, **keywords, **options, spread=True)
    square = (found["analysis"].values - truth) ** 2
    variance = found["state_stdev"].values ** 2
    ratio = square / variance
    return {
        "R": float(square.mean()), "stated": float(variance.mean()), "ratio": float(ratio.mean()),
        "coverage": float((ratio < 1.96**2).mean()),
    }  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """Twin windows of a model: every how many steps which share of components is observed.

    `variance` is R over the mean climatological variance.
    """

    steps: int
    every: int
    share: float
    variance: float
    windows: int
    sizes: dict[str, float] = field(default_factory=dict)


OTHERS = {
    "lorenz84": Setting(121, 4, 0.7, 0.015, 256),
    "lorenz96-two-scale": Setting(81, 4, 0.5, 0.01, 32, {"K": 6, "J": 4}),
    "kuramoto-sivashinsky": Setting(41, 4, 0.5, 0.03, 32, {"state_size": 32}),
    "advection": Setting(41, 4, 0.3, 0.1, 32),
}


def calibration() -> Iterator[Work]:
    """Yield the rows of the standard settings."""
    for name, case in trust.CASES.items():
        if case.standard and name != "10 % left out, those of 10":  # as those of 5
            for method, options in case.methods.items():
                if "checkpoint" not in options:
                    yield name, method, lambda n=name, o=options: _calibration(n, o)


def _calibration(name: str, options: dict[str, Any]) -> Row:
    case = trust.CASES[name]
    windows = int(CALIBRATION * (case.share if case.share == 1 else case.share / 2))
    given, truth, keywords = trust.made(case, windows, trust.SEED + 97)
    return _calibrated(pyvda.assimilate(given, **keywords, **options), truth)


def models() -> Iterator[Work]:
    """Yield the rows of other models."""
    for name, setting in OTHERS.items():
        for method, options in trust.STATING.items():
            low = pyvda.get_model(name, **setting.sizes).state_size <= LOW_DIMENSIONAL
            if low or method != "posterior-mean":
                yield name, method, lambda n=name, s=setting, o=options: _of_model(n, s, o)


def _of_model(name: str, setting: Setting, options: dict[str, Any]) -> Row:
    model, random = pyvda.get_model(name, **setting.sizes), np.random.default_rng(trust.SEED)
    known = climatology(model)
    x = get_engine().simulate(
        model, known.states[: setting.windows], time_step=model.time_step, steps=setting.steps
    )
    R = setting.variance * known.variance.mean()
    y = np.full(x.shape, np.nan)
    seen = np.zeros(x.shape, bool)
    seen[:, :: setting.every] = random.random(seen[:, :: setting.every].shape) < setting.share
    y[seen] = x[seen] + np.sqrt(R) * random.standard_normal(seen.sum())
    given = xr.Dataset(
        {names.OBSERVATION: (names.DIMENSIONS, y)},
        {"time": model.time_step * np.arange(setting.steps)},
        {"observation_error_variance": R},
    )
    return _calibrated(pyvda.assimilate(given, model=model, **options), x)


def _calibrated(found: xr.Dataset, truth: np.ndarray) -> Row:
    variance = found["state_stdev"].values ** 2
    square = (found["analysis"].values - truth) ** 2
    ratio = square / variance
    each = ratio.mean((1, 2))
    return {
        "windows": len(truth), "R": float(square.mean()), "stated": float(variance.mean()),
        "ratio": float(each.mean()),
        "interval": float(1.96 * each.std(ddof=1) / np.sqrt(len(each))),
        "first tenth": float(ratio[:, : -(-ratio.shape[1] // 10)].mean()),
        "coverage": float((ratio < 1.96**2).mean()),
        "flagged": int((~found["status"].isin(_NO_FLAG)).sum()),
    }  # fmt: skip


def estimates() -> Iterator[Work]:
    """Yield the rows of R on each standard setting, then those of bias, Q and B."""
    blanked = trust.CASES["standard lorenz63-blanked"].observed
    settings = {
        "lorenz63": trust.Case(keywords={"variance": 4 * trust.VARIANCE}),
        "lorenz63-blanked": trust.Case(
            observed=blanked, keywords={"variance": 4 * trust.VARIANCE}
        ),
    }  # fmt: skip
    wanted = {"observation_variance": "estimate"}
    for name, case in settings.items():
        for method, options in trust.STATING.items():
            yield f"R, {name}", method, lambda c=case, o=options: _of_case(c, {**o, **wanted})
    for method, options in (("annealed", trust.ANNEALED), ("ensemble-smoother", trust.ENSEMBLE)):
        yield "R, lorenz96", method, lambda o=options: _of_lorenz96({**o, **wanted})
    biased = trust.Case(change=lambda y, random: y + np.sqrt(trust.VARIANCE))
    for method, options in trust.STATING.items():
        more = {**options, "correct_bias": True}
        yield "bias, lorenz63", method, lambda o=more: _of_case(biased, o)
    noisy = trust.Case(noise=np.sqrt(_MODEL_ERROR))
    of_model = {**trust.STATISTICAL, "model_error": "estimate"}
    yield "Q, lorenz63", "gauss-newton", lambda: _of_case(noisy, of_model)
    for method, options in (("strong-constraint", trust.STRONG), ("gauss-newton", _EXACT)):
        yield "B, lorenz63", method, lambda o=options: _of_background(o)


_NO_FLAG = [int(names.Status.CONVERGED), int(names.Status.ITERATION_LIMIT)]
_MODEL_ERROR, _SCALE = 0.01, 4.0
_EXACT = {**trust.STATISTICAL, "model_error": 1e-6}


def _of_case(case: trust.Case, options: dict[str, Any]) -> Row:
    given, _, keywords = trust.made(case, WINDOWS, trust.SEED + 1)
    return _estimated(given, {**keywords, **options})


def _of_lorenz96(options: dict[str, Any]) -> Row:
    truth = pyvda.simulate("lorenz96", WINDOWS // 4, trust.SEED)
    given = pyvda.observe(truth, "lorenz96", trust.SEED + 1)
    given.attrs["observation_error_variance"] = 4 * trust.VARIANCE
    return _estimated(given, {"model": "lorenz96", **options})


def _of_background(options: dict[str, Any]) -> Row:
    """Estimate the scale of B of windows that start around one state."""
    model, random = pyvda.get_model("lorenz63"), np.random.default_rng(trust.SEED)
    centre = pyvda.simulate("lorenz63", 1, trust.SEED)["truth"].values[0, 0]
    start = centre + np.sqrt(_SCALE) * random.standard_normal((WINDOWS, 3))
    x = get_engine().simulate(model, start, time_step=model.time_step, steps=200)
    y = np.full(x.shape, np.nan)
    y[:, ::8, 0] = x[:, ::8, 0]
    y += np.sqrt(trust.VARIANCE) * random.standard_normal(y.shape)
    given = xr.Dataset({names.OBSERVATION: (names.DIMENSIONS, y)})
    given = given.assign_coords(time=model.time_step * np.arange(200))
    given.attrs["observation_error_variance"] = trust.VARIANCE
    more = {"model": "lorenz63", "background": (centre, np.eye(3)), "covariance": "estimate"}
    return _estimated(given, {**more, **options})


def _estimated(given: xr.Dataset, keywords: dict[str, Any]) -> Row:
    began = time.process_time()
    found = pyvda.assimilate(given, **keywords)
    seconds = time.process_time() - began
    options = json.loads(found.attrs["pyvda_configuration"])["options"]
    if "correct_bias" in keywords:
        ratio = json.loads(found.attrs["pyvda_observation_bias"])[0] / np.sqrt(trust.VARIANCE)
    elif "covariance" in keywords:
        ratio = json.loads(found.attrs["pyvda_background_scale"]) / _SCALE
    elif "observation_variance" in keywords:
        ratio = options["observation_variance"] / trust.VARIANCE
    else:
        ratio = options["model_error"] / _MODEL_ERROR
    return {"over truth": float(ratio), "core s": seconds}


PARTS = {
    "robust": robust, "limit": limit, "estimates": estimates, "spread": spread,
    "calibration": calibration, "models": models, "cost": cost,
}  # fmt: skip


def main() -> None:
    """Compute the rows that are missing, print all, keep them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--part", choices=PARTS, help="default: all")
    parser.add_argument("--method", default="", help="methods whose name contains this")
    parser.add_argument("--again", action="store_true", help="compute rows that are there")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    kept = _kept()
    for part in [given.part] if given.part else PARTS:
        for case, method, work in PARTS[part]():
            if given.method not in method:
                continue
            key = f"{part}/{case}/{method}"
            if given.again or key not in kept:
                row = work()
                kept = _with(key, row)
            values = ", ".join(f"{n} {v:.4g}" for n, v in kept[key].items() if n != "machine")
            print(f"{part:10s} {case:26s} {method:20s} {values}", flush=True)


def _kept() -> dict[str, Any]:
    return json.loads(OUT.read_text("utf-8"))["rows"] if OUT.is_file() else {}


def _with(key: str, row: Row) -> dict[str, Any]:
    """Add a row, with the name of its machine, to those of the file, and return all."""
    content = json.loads(OUT.read_text("utf-8")) if OUT.is_file() else {"machines": {}, "rows": {}}
    machine = store.machine()
    name = f"{machine['vector_instructions']}, {machine['date']}"
    content["machines"][name] = machine
    content["rows"][key] = {**row, "machine": name}
    with replacing(OUT) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    return dict(content["rows"])


if __name__ == "__main__":
    main()
